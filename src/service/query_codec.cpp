// Converts rows of values to JSON and back.
#include "service/query_codec.hpp"
#include "service/json_fields.hpp"
#include "service/json_text.hpp"

#include <boost/json.hpp>

#include <cmath>
#include <cstddef>
#include <map>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace bitdotio::api {

namespace json = boost::json;

namespace {

std::string string_text(std::string_view text) {
    return json::serialize(json::string_view(text.data(), text.size()));
}

// A value as JSON text. A value that is JSON already is copied as it is: if it were read and
// written again, its numbers would lose digits.
std::string value_text(const query_value& value, const std::string& type) {
    struct visitor {
        const std::string& type;
        std::string operator()(std::monostate) const { return "null"; }
        std::string operator()(bool v) const { return v ? "true" : "false"; }
        std::string operator()(std::int64_t v) const { return std::to_string(v); }
        std::string operator()(double v) const {
            if (std::isfinite(v)) return json::serialize(json::value(v));
            return std::isnan(v) ? R"("NaN")" : v > 0 ? R"("Infinity")" : R"("-Infinity")";
        }
        std::string operator()(const std::string& v) const {
            return type == "json" || type == "jsonb" ? v : string_text(v);
        }
    };
    return std::visit(visitor{type}, value);
}

// The columns that rows show: an object has room for one of each name, the last.
std::vector<std::size_t> shown_columns(const std::vector<query_result::column>& columns,
                                       data_format format) {
    std::map<std::string_view, std::size_t> last;
    for (std::size_t i = 0; i < columns.size(); ++i) {
        last[columns[i].name] = i;
    }
    std::vector<std::size_t> shown;
    for (std::size_t i = 0; i < columns.size(); ++i) {
        if (format == data_format::rows || last[columns[i].name] == i) {
            shown.push_back(i);
        }
    }
    return shown;
}

query_value decode_value(const json::value& value) {
    switch (value.kind()) {
        case json::kind::null: return std::monostate();
        case json::kind::bool_: return value.as_bool();
        case json::kind::int64: return value.as_int64();
        case json::kind::uint64: return static_cast<double>(value.as_uint64());
        case json::kind::double_: return value.as_double();
        case json::kind::string: return std::string(value.as_string());
        case json::kind::array:
        case json::kind::object: return json::serialize(value);
    }
    return std::monostate();
}

std::vector<query_value> decode_row(const json::value& row,
                                    const std::vector<query_result::column>& columns) {
    std::vector<query_value> values;
    if (row.is_array()) {
        for (const json::value& value : row.as_array()) {
            values.push_back(decode_value(value));
        }
    } else if (row.is_object()) {
        for (const query_result::column& column : columns) {
            const json::value* value = row.as_object().if_contains(column.name);
            values.push_back(value ? decode_value(*value) : query_value());
        }
    } else {
        throw wrong("data", "a list of lists or of objects");
    }
    return values;
}

}  // namespace

std::string encode_query_answer(const query_result& value, data_format format) {
    json::object metadata;
    for (const query_result::column& column : value.columns) {
        metadata[column.name] = column.type;
    }
    const bool named = format == data_format::objects;
    const std::vector<std::size_t> shown = shown_columns(value.columns, format);
    std::string data;
    for (const std::vector<query_value>& row : value.rows) {
        std::string fields;
        for (const std::size_t i : shown) {
            fields += fields.empty() ? "" : ",";
            fields += named ? string_text(value.columns[i].name) + ":" : "";
            fields += value_text(row[i], value.columns[i].type);
        }
        data += data.empty() ? "" : ",";
        data += named ? "{" + fields + "}" : "[" + fields + "]";
    }
    return R"({"query_string":)" + string_text(value.query_string) + R"(,"metadata":)" +
           json::serialize(metadata) + R"(,"data":[)" + data + "]}";
}

query_result decode_query_answer(std::string_view body) {
    const json::object object = parse_object(body);
    query_result value;
    if (find(object, "query_string")) {
        value.query_string = required_string(object, "query_string");
    }
    if (const json::value* metadata = find(object, "metadata")) {
        if (!metadata->is_object()) {
            throw wrong("metadata", "an object");
        }
        for (const auto& member : metadata->as_object()) {
            if (!member.value().is_string()) {
                throw wrong("metadata", "an object of strings");
            }
            value.columns.push_back(
                {std::string(member.key()), std::string(member.value().as_string())});
        }
    }
    const json::value* data = find(object, "data");
    if (data && !data->is_array()) {
        throw wrong("data", "a list");
    }
    value.data_json = "[]";
    if (data) {
        const std::string_view text = text_of(body, "data");
        value.data_json = text.empty() ? json::serialize(*data) : std::string(text);
        for (const json::value& row : data->as_array()) {
            value.rows.push_back(decode_row(row, value.columns));
        }
    }
    return value;
}

}  // namespace bitdotio::api
