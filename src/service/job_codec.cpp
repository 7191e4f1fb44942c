// Converts jobs to JSON and back.
#include "service/job_codec.hpp"

#include "base/rfc3339.hpp"
#include "service/json_fields.hpp"

#include <boost/json.hpp>

#include <array>
#include <utility>

namespace bitdotio::api {

namespace {

namespace json = boost::json;

constexpr std::array<std::string_view, 4> states{"RECEIVED", "PROCESSING", "DONE", "FAILED"};
constexpr std::array<std::string_view, 3> headers{"auto", "first_row", "no_header"};
constexpr std::array<std::string_view, 4> formats{"csv", "json", "xls", "parquet"};

template <class Value, std::size_t N>
std::optional<Value> named(const std::array<std::string_view, N>& names, std::string_view name) {
    for (std::size_t i = 0; i < N; ++i) {
        if (names[i] == name) return static_cast<Value>(i);
    }
    return std::nullopt;
}

json::value time_or_null(const std::optional<instant>& value) {
    return value ? json::value(encode_time(*value)) : json::value(nullptr);
}

json::value text_or_null(const std::string& value) {
    return value.empty() ? json::value(nullptr) : json::value(text(value));
}

json::object job_object(const job_status& value) {
    json::object object;
    object["id"] = value.id;
    object["date_created"] = time_or_null(value.date_created);
    object["date_finished"] = time_or_null(value.date_finished);
    object["state"] = text(name_of(value.state));
    object["retries"] = value.retries;
    object["error_type"] = text_or_null(value.error_type);
    object["error_id"] = text_or_null(value.error_id);
    object["error_details"] = nullptr;
    if (value.state == job_state::failed || !value.error_message.empty()) {
        object["error_details"] = json::object{{"message", text(value.error_message)}};
    }
    object["status_url"] = value.status_url;
    return object;
}

// A string field that may be absent or null.
std::string text_field(const json::object& object, std::string_view field) {
    const json::value* found = find(object, field);
    if (!found) return {};
    if (!found->is_string()) throw wrong(field, "a string");
    return std::string(std::string_view(found->as_string()));
}

void decode_job(const json::object& object, job_status& value) {
    value.id = required_string(object, "id");
    value.date_created = optional_time(object, "date_created");
    value.date_finished = optional_time(object, "date_finished");
    const auto state = state_named(required_string(object, "state"));
    if (!state) throw wrong("state", "RECEIVED, PROCESSING, DONE or FAILED");
    value.state = *state;
    value.retries = optional_integer(object, "retries").value_or(0);
    value.error_type = text_field(object, "error_type");
    value.error_id = text_field(object, "error_id");
    value.status_url = text_field(object, "status_url");
    if (const json::value* details = find(object, "error_details")) {
        // Details of other servers have other members: all of them are the message then.
        const json::value* message =
            details->is_object() ? details->as_object().if_contains("message") : nullptr;
        value.error_message = message && message->is_string()
                                  ? std::string(std::string_view(message->as_string()))
                                  : json::serialize(*details);
    }
}

}  // namespace

std::string_view name_of(job_state state) {
    return states[static_cast<std::size_t>(state)];
}

std::string_view name_of(header_row header) {
    return headers[static_cast<std::size_t>(header)];
}

std::string_view name_of(export_format format) {
    return formats[static_cast<std::size_t>(format)];
}

std::optional<header_row> header_named(std::string_view name) {
    return name == "header" ? header_row::first_row : named<header_row>(headers, name);
}

std::optional<export_format> format_named(std::string_view name) {
    return named<export_format>(formats, name);
}

std::optional<job_state> state_named(std::string_view name) {
    return named<job_state>(states, name);
}

std::string encode(const import_job& value) {
    return json::serialize(job_object(value));
}

std::string encode(const export_job& value) {
    json::object object = job_object(value);
    object["export_format"] = text(name_of(value.format));
    object["file_name"] = text_or_null(value.file_name);
    object["download_url"] = text_or_null(value.download_url);
    return json::serialize(object);
}

std::string encode(const export_options& value) {
    json::object object;
    object["export_format"] = text(name_of(value.format));
    if (!value.query.empty()) object["query_string"] = value.query;
    if (!value.table_name.empty()) {
        object["table_name"] = value.table_name;
        object["schema_name"] = value.schema_name;
    }
    if (!value.file_name.empty()) object["file_name"] = value.file_name;
    return json::serialize(object);
}

import_job decode_import_job(std::string_view body) {
    import_job value;
    decode_job(parse_object(body), value);
    return value;
}

export_job decode_export_job(std::string_view body) {
    const json::object object = parse_object(body);
    export_job value;
    decode_job(object, value);
    const auto format = format_named(text_field(object, "export_format"));
    if (!format) throw wrong("export_format", "csv, json, xls or parquet");
    value.format = *format;
    value.file_name = text_field(object, "file_name");
    value.download_url = text_field(object, "download_url");
    return value;
}

export_options decode_export_options(std::string_view body) {
    const json::object object = parse_object(body);
    export_options value;
    const auto format = format_named(text_field(object, "export_format"));
    if (!format) throw wrong("export_format", "csv, json, xls or parquet");
    value.format = *format;
    value.query = text_field(object, "query_string");
    value.table_name = text_field(object, "table_name");
    if (const std::string schema = text_field(object, "schema_name"); !schema.empty()) {
        value.schema_name = schema;
    }
    value.file_name = text_field(object, "file_name");
    if (value.query.empty() && value.table_name.empty()) {
        throw malformed_body("query_string",
                             "an export needs the field \"query_string\" or \"table_name\"");
    }
    if (!value.query.empty() && !value.table_name.empty()) {
        throw malformed_body(
            "query_string",
            "an export takes either the field \"query_string\" or \"table_name\", not both");
    }
    return value;
}

}  // namespace bitdotio::api
