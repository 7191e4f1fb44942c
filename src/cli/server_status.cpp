// Shows what a running server tells about its databases, connections and jobs.
#include "cli/commands.hpp"
#include "cli/output.hpp"
#include "cli/row_writer.hpp"
#include "service/json_fields.hpp"

#include <boost/json.hpp>

#include <unistd.h>
#include <algorithm>

namespace bitdotio::cli {

namespace {

namespace json = boost::json;
using table_row = std::vector<cell>;

std::string size_of(const json::object& one, std::string_view field) {
    const std::int64_t bytes = api::optional_integer(one, field).value_or(0);
    return size_text(static_cast<std::uint64_t>(std::max<std::int64_t>(bytes, 0)));
}

std::string count_of(const json::object& one, std::string_view field) {
    return std::to_string(api::optional_integer(one, field).value_or(0));
}

std::string text_of(const json::object& one, std::string_view field) {
    return api::find(one, field) ? api::required_string(one, field) : "";
}

// "2024-05-06 07:08"
std::string minute_of(const json::object& one, std::string_view field) {
    const std::optional<api::instant> when = api::optional_time(one, field);
    return when ? api::encode_date(*when) + " " + api::encode_time(*when).substr(11, 5) : "";
}

table_row database_row(const json::object& one) {
    const std::string failed = count_of(one, "failed_wakes");
    return {text_of(one, "name"),
            text_of(one, "state"),
            count_of(one, "connections"),
            count_of(one, "wakes") + (failed == "0" ? "" : " (" + failed + " failed)"),
            size_of(one, "storage_usage_bytes"),
            minute_of(one, "last_used")};
}

table_row connection_row(const json::object& one) {
    return {text_of(one, "database"), text_of(one, "account"), text_of(one, "peer"),
            minute_of(one, "since")};
}

table_row job_row(const json::object& one) {
    const std::string why = text_of(one, "error_type");
    return {text_of(one, "id"), text_of(one, "kind"), text_of(one, "database"),
            text_of(one, "state") + (why.empty() ? "" : ": " + why), minute_of(one, "created")};
}

std::vector<table_row> rows_of(const json::object& status, std::string_view list,
                               table_row (*row_of)(const json::object&)) {
    std::vector<table_row> rows;
    const json::value* const found = api::find(status, list);
    if (!found || !found->is_array()) return rows;
    for (const json::value& each : found->get_array()) {
        if (each.is_object()) rows.push_back(row_of(each.get_object()));
    }
    return rows;
}

void add_head(const json::object& status, paged_output& out) {
    out.write("Server       bit serve " + printable(text_of(status, "version")) + ", since " +
              minute_of(status, "started") + " UTC\n");
    const json::value* const disk = api::find(status, "disk");
    if (!disk || !disk->is_object()) return;
    const json::object& figures = disk->get_object();
    out.write("Disk         " + size_of(figures, "free_bytes") + " free of " +
              size_of(figures, "size_bytes") + ", reserve " + size_of(figures, "reserve_bytes") +
              "\n");
}

}  // namespace

void print_server_status(const arguments& words, const std::string& body) {
    if (wants_json(words)) {
        print_json(body);
        return;
    }
    const json::object status = api::parse_object(body);
    paged_output out(true);
    add_head(status, out);
    const auto writer = make_table_writer(out, columns_of_screen(STDOUT_FILENO),
                                          may_use_color(words, STDOUT_FILENO));
    const auto add = [&](const char* title, const std::vector<answer_column>& columns,
                         const std::vector<table_row>& rows) {
        if (rows.empty()) {
            out.write(std::string(title) + "none\n");
            return;
        }
        out.write(std::string(title) + std::to_string(rows.size()) + "\n\n");
        writer->begin(columns);
        for (const table_row& each : rows)
            writer->row(each);
        writer->end();
        out.write("\n");
    };
    add("Databases    ",
        {{"database", ""},
         {"state", ""},
         {"connections", "bigint"},
         {"wakes", "bigint"},
         {"used", "numeric"},
         {"last used (UTC)", ""}},
        rows_of(status, "databases", &database_row));
    add("Connections  ", {{"database", ""}, {"account", ""}, {"peer", ""}, {"since (UTC)", ""}},
        rows_of(status, "connections", &connection_row));
    add("Jobs         ",
        {{"id", ""}, {"kind", ""}, {"database", ""}, {"state", ""}, {"made (UTC)", ""}},
        rows_of(status, "jobs", &job_row));
    out.finish();
}

}  // namespace bitdotio::cli
