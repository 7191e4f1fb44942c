// Finds :name in SQL, and nothing that only looks like it.
#include <bitdotio/error.hpp>
#include <bitdotio/named.hpp>

#include "values/sql_scanner.hpp"

#include <algorithm>
#include <charconv>
#include <string>
#include <vector>

namespace bitdotio {

namespace {

std::string quoted(std::string_view name) {
    return "\"" + std::string(name) + "\"";
}

}  // namespace

statement number_parameters(statement sql, std::initializer_list<std::string_view> names) {
    std::string text;
    std::vector<bool> used(names.size(), false);
    for (auto name = names.begin(); name != names.end(); ++name) {
        if (std::find(names.begin(), name, *name) != name) {
            throw error(errc::bad_input, "the parameter " + quoted(*name) + " is given twice");
        }
    }
    bitdotio::sql::scanner scan(sql.sql());
    while (!scan.at_end()) {
        const std::string_view part = scan.next();
        if (scan.kind() != bitdotio::sql::part_kind::parameter) {
            text += part;
            continue;
        }
        const std::string_view name = part.substr(1);
        const auto found = std::find(names.begin(), names.end(), name);
        if (found == names.end()) {
            throw error(errc::bad_input, "the statement has the parameter :" + std::string(name) +
                                             ", and no value is named " + quoted(name));
        }
        const auto index = static_cast<std::size_t>(found - names.begin());
        used[index] = true;
        text += "$" + std::to_string(index + 1);
    }
    for (std::size_t i = 0; i < used.size(); ++i) {
        if (!used[i]) {
            const std::string_view name = names.begin()[i];
            throw error(errc::bad_input,
                        "a value is named " + quoted(name) +
                            ", and the statement has no parameter :" + std::string(name));
        }
    }
    sql.replace_sql(std::move(text));
    return sql;
}

std::optional<std::size_t> greatest_parameter(std::string_view text) {
    std::size_t greatest = 0;
    sql::scanner scan(text);
    while (!scan.at_end()) {
        const std::string_view part = scan.next();
        if (scan.kind() == sql::part_kind::number) {
            std::size_t number = 0;
            std::from_chars(part.data() + 1, part.data() + part.size(), number);
            greatest = std::max(greatest, number);
        }
    }
    if (scan.is_doubtful()) {
        return std::nullopt;
    }
    return greatest;
}

namespace wire {

error not_bound(const error& failure) {
    return failure.outcome() == outcome::none ? failure.with(outcome::not_sent) : failure;
}

void check_count(std::string_view sql, std::size_t given) {
    constexpr std::size_t most = 65'535;  // more are refused for that
    if (given == 0 || given > most) {
        return;
    }
    const auto taken = greatest_parameter(sql);
    if (taken && given > *taken) {
        const auto counted = [](std::size_t count, const char* what) {
            return std::to_string(count) + " " + what + (count == 1 ? "" : "s");
        };
        throw error(errc::bad_input,
                    counted(given, "value") + (given == 1 ? " is" : " are") +
                        " given, and the statement takes " +
                        (*taken == 0 ? "none: it has no $1"
                                     : counted(*taken, "value") + ": its last parameter is $" +
                                           std::to_string(*taken)))
            .with(outcome::not_sent);
    }
}

void check_count_early(std::string_view sql, std::size_t given) {
    char last[24] = "$";
    const char* const end = std::to_chars(last + 1, last + sizeof last, given).ptr;
    const std::string_view wanted(last, static_cast<std::size_t>(end - last));
    if (sql.find(wanted) == std::string_view::npos) {
        check_count(sql, given);
    }
}

}  // namespace wire

}  // namespace bitdotio
