// Reads statements, and checks that they are UTF-8.
#include "cli/query_input.hpp"

#include "base/ascii.hpp"
#include "cli/interrupts.hpp"
#include "values/sql_scanner.hpp"

#include <fcntl.h>
#include <unistd.h>
#include <utf8proc.h>
#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

namespace bitdotio::cli {

namespace {

error unreadable(const std::string& name, const char* why) {
    return error(errc::bad_input, "cannot read the statement from " + name + ": " + why);
}

// The place of the first byte that is not part of a character, the text's size for none.
std::size_t first_foreign_byte(std::string_view text) {
    const auto* const begin = reinterpret_cast<const utf8proc_uint8_t*>(text.data());
    const auto size = static_cast<utf8proc_ssize_t>(text.size());
    for (utf8proc_ssize_t at = 0; at < size;) {
        utf8proc_int32_t character = 0;
        const utf8proc_ssize_t length = utf8proc_iterate(begin + at, size - at, &character);
        if (length <= 0) return static_cast<std::size_t>(at);
        at += length;
    }
    return text.size();
}

bool is_parameter_name(std::string_view name) {
    return !name.empty() && !ascii::is_digit(name[0]) &&
           std::all_of(name.begin(), name.end(), [](char c) { return ascii::is_word(c); });
}

}  // namespace

std::string read_text(const std::string& file) {
    const bool input = file == "-";
    const std::string name = input ? "standard input" : "\"" + file + "\"";
    const int opened = input ? STDIN_FILENO : ::open(file.c_str(), O_RDONLY | O_CLOEXEC);
    if (opened < 0) throw unreadable(name, std::strerror(errno));
    std::string text;
    std::array<char, 65'536> piece{};
    ssize_t got = 0;
    const interrupts watched;
    while ((got = read_some(opened, piece.data(), piece.size())) > 0)
        text.append(piece.data(), static_cast<std::size_t>(got));
    const int failure = errno;
    if (!input) ::close(opened);
    if (got < 0) throw unreadable(name, std::strerror(failure));  // such as for a directory
    const bool marked = text.starts_with("\xef\xbb\xbf");
    const std::size_t foreign = first_foreign_byte(text);
    if (foreign < text.size()) {
        throw error(errc::bad_input, name + " is not UTF-8 at byte " + std::to_string(foreign + 1) +
                                         "; convert it, such as with iconv -t UTF-8");
    }
    return marked ? text.substr(3) : text;
}

std::vector<std::string> statements_of(const arguments& words) {
    std::vector<std::string> all = words.get_all("--query");
    const std::vector<std::string> files = words.get_all("--query_file");
    if (all.empty() == files.empty()) {
        throw error(errc::bad_input, all.empty()
                                         ? "give the statement with -q/--query SQL, or "
                                           "-qf/--query_file FILE"
                                         : "give either -q/--query or -qf/--query_file, not both");
    }
    for (const std::string& file : files)
        all.push_back(read_text(file));
    return all;
}

std::vector<std::pair<std::string, std::string>> parameters_of(const arguments& words) {
    std::vector<std::pair<std::string, std::string>> values;
    for (const std::string& one : words.get_all("--parameter")) {
        const std::size_t equals = one.find('=');
        const std::string name = one.substr(0, equals);
        if (equals == std::string::npos || !is_parameter_name(name)) {
            throw error(errc::bad_input,
                        "option -p/--parameter must be NAME=VALUE, for :NAME in "
                        "the statement; a name has letters, digits and \"_\"");
        }
        for (const auto& [before, value] : values) {
            if (before == name) {
                throw error(errc::bad_input, "the parameter \"" + name + "\" is given twice");
            }
        }
        values.emplace_back(name, one.substr(equals + 1));
    }
    return values;
}

std::vector<bound_statement> bind_parameters(
    const std::vector<std::string>& statements,
    const std::vector<std::pair<std::string, std::string>>& values) {
    std::vector<bound_statement> all;
    std::vector<bool> used(values.size());
    for (const std::string& statement : statements) {
        bound_statement& one = all.emplace_back();
        if (values.empty()) {
            one.sql = statement;
            continue;
        }
        std::vector<std::size_t> numbers(values.size());
        sql::scanner scanner(statement);
        while (!scanner.at_end()) {
            const std::string_view part = scanner.next();
            if (scanner.kind() != sql::part_kind::parameter) {
                one.sql += part;
                continue;
            }
            const std::string name(part.substr(1));
            const auto found = std::find_if(values.begin(), values.end(),
                                            [&](const auto& value) { return value.first == name; });
            if (found == values.end()) {
                throw error(errc::bad_input, "the statement has the parameter :" + name +
                                                 "; give its value with -p " + name + "=VALUE");
            }
            const auto index = static_cast<std::size_t>(found - values.begin());
            used[index] = true;
            if (numbers[index] == 0) {
                one.values.push_back(found->second);
                numbers[index] = one.values.size();
            }
            one.sql += "$" + std::to_string(numbers[index]);
        }
    }
    for (std::size_t i = 0; i < used.size(); ++i) {
        if (!used[i]) {
            throw error(errc::bad_input, "no statement has the parameter :" + values[i].first);
        }
    }
    return all;
}

std::string binding_hint(const error& failure, const std::string& text, bool direct) {
    constexpr std::string_view syntax_error = "42601";
    if (failure.sqlstate() != syntax_error) return "";
    sql::scanner scanner(text);
    while (!scanner.at_end()) {
        const std::string_view part = scanner.next();
        if (scanner.kind() != sql::part_kind::parameter) continue;
        return std::string("; \"") + (direct ? "" : "--direct ") + "-p " +
               std::string(part.substr(1)) + "=VALUE\" binds " + std::string(part);
    }
    return "";
}

}  // namespace bitdotio::cli
