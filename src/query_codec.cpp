// Rows of values to JSON and back.
#include "query_codec.hpp"
#include "json_fields.hpp"

#include <boost/json.hpp>

#include <cmath>

namespace bitdotio::api {

namespace json = boost::json;

namespace {

json::value query_json(const query_value& value, const std::string& type) {
    struct visitor {
        const std::string& type;
        json::value operator()(std::monostate) const { return nullptr; }
        json::value operator()(bool v) const { return v; }
        json::value operator()(std::int64_t v) const { return v; }
        json::value operator()(double v) const {
            if (std::isfinite(v)) return v;
            return std::isnan(v) ? "NaN" : v > 0 ? "Infinity" : "-Infinity";  // JSON has none
        }
        json::value operator()(const std::string& v) const {
            if (type == "json" || type == "jsonb") {
                return json::parse(v);
            }
            return json::string_view(v);
        }
    };
    return std::visit(visitor{type}, value);
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
    json::array data;
    for (const std::vector<query_value>& row : value.rows) {
        json::array list;
        json::object object;
        for (std::size_t i = 0; i < row.size(); ++i) {
            json::value field = query_json(row[i], value.columns[i].type);
            if (format == data_format::objects) {
                object[value.columns[i].name] = std::move(field);
            } else {
                list.push_back(std::move(field));
            }
        }
        data.push_back(format == data_format::objects ? json::value(std::move(object))
                                                      : json::value(std::move(list)));
    }
    return json::serialize(json::object{{"query_string", value.query_string},
                                        {"metadata", std::move(metadata)},
                                        {"data", std::move(data)}});
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
    value.data_json = data ? json::serialize(*data) : "[]";
    if (data) {
        for (const json::value& row : data->as_array()) {
            value.rows.push_back(decode_row(row, value.columns));
        }
    }
    return value;
}

}  // namespace bitdotio::api
