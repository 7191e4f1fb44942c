// Models to JSON and back.
#include "api_codec.hpp"

#include <boost/json.hpp>

#include <charconv>
#include <cmath>
#include <cstdio>

namespace bitdotio::api {

namespace json = boost::json;

namespace {

using instant = std::chrono::sys_time<std::chrono::microseconds>;

malformed_body wrong(std::string_view field, std::string_view wanted) {
    return malformed_body(std::string(field),
                          "field \"" + std::string(field) + "\" must be " + std::string(wanted));
}

json::value parse(std::string_view body) {
    boost::system::error_code failure;
    json::value value = json::parse(json::string_view(body.data(), body.size()), failure);
    if (failure) {
        throw malformed_body("", "the body is not JSON: " + failure.message());
    }
    return value;
}

json::object parse_object(std::string_view body) {
    json::value value = parse(body);
    if (!value.is_object()) {
        throw malformed_body("", "the body must be a JSON object");
    }
    return std::move(value.as_object());
}

// The field if it is there and not null.
const json::value* find(const json::object& object, std::string_view field) {
    const json::value* value = object.if_contains(json::string_view(field.data(), field.size()));
    return value && !value->is_null() ? value : nullptr;
}

std::string required_string(const json::object& object, std::string_view field) {
    const json::value* value = find(object, field);
    if (!value) {
        throw malformed_body(std::string(field),
                             "field \"" + std::string(field) + "\" is required, a string");
    }
    if (!value->is_string()) {
        throw wrong(field, "a string");
    }
    return std::string(value->as_string());
}

std::optional<bool> optional_bool(const json::object& object, std::string_view field) {
    const json::value* value = find(object, field);
    if (!value) {
        return std::nullopt;
    }
    if (value->is_bool()) {
        return value->as_bool();
    }
    if (value->is_string()) {
        const std::string_view text(value->as_string().data(), value->as_string().size());
        if (text == "true" || text == "True" || text == "1") return true;
        if (text == "false" || text == "False" || text == "0") return false;
    }
    throw wrong(field, "true or false");
}

std::optional<std::int64_t> optional_integer(const json::object& object, std::string_view field) {
    const json::value* value = find(object, field);
    if (!value) {
        return std::nullopt;
    }
    if (value->is_int64()) {
        return value->as_int64();
    }
    if (value->is_string()) {
        const json::string& text = value->as_string();
        std::int64_t number = 0;
        const auto [end, failure] =
            std::from_chars(text.data(), text.data() + text.size(), number);
        if (failure == std::errc() && end == text.data() + text.size()) {
            return number;
        }
    }
    throw wrong(field, "an integer of 64 bits");
}

std::optional<std::int64_t> optional_limit(const json::object& object) {
    const auto limit = optional_integer(object, "storage_limit_bytes");
    if (limit && *limit < 0) {
        throw wrong("storage_limit_bytes", "0 or more");
    }
    return limit;
}

std::optional<visibility> optional_visibility(const json::object& object) {
    const auto is_private = optional_bool(object, "is_private");
    if (!is_private) {
        return std::nullopt;
    }
    return *is_private ? visibility::private_ : visibility::public_;
}

std::optional<instant> optional_time(const json::object& object, std::string_view field) {
    const json::value* value = find(object, field);
    if (!value) {
        return std::nullopt;
    }
    if (value->is_string()) {
        const json::string& text = value->as_string();
        if (const auto time = decode_time({text.data(), text.size()})) {
            return time;
        }
    }
    throw wrong(field, "a date and time of RFC 3339");
}

template <class T>
json::value nullable(const std::optional<T>& value) {
    return value ? json::value(*value) : json::value(nullptr);
}

std::string_view role_name(role value) {
    switch (value) {
        case role::owner: return "OWNER";
        case role::admin: return "ADMIN";
        case role::writer: return "WRITER";
        case role::reader: return "READER";
    }
    return "READER";
}

role decode_role(const json::object& object) {
    const std::string name = required_string(object, "role");
    for (const role value : {role::owner, role::admin, role::writer, role::reader}) {
        if (name == role_name(value)) {
            return value;
        }
    }
    throw wrong("role", "OWNER, ADMIN, WRITER or READER");
}

json::value usage_value(const std::optional<usage>& value) {
    if (!value) {
        return nullptr;
    }
    return {{"rows_queried", value->rows_queried},
            {"period_start", encode_time(value->period_start)},
            {"period_end", encode_time(value->period_end)}};
}

std::optional<usage> decode_usage(const json::object& object, std::string_view field) {
    const json::value* value = find(object, field);
    if (!value) {
        return std::nullopt;
    }
    if (!value->is_object()) {
        throw wrong(field, "an object or null");
    }
    const json::object& period = value->as_object();
    usage decoded;
    decoded.rows_queried = optional_integer(period, "rows_queried").value_or(0);
    const auto seconds = [&](std::string_view name) {
        return std::chrono::floor<std::chrono::seconds>(
            optional_time(period, name).value_or(instant()));
    };
    decoded.period_start = seconds("period_start");
    decoded.period_end = seconds("period_end");
    return decoded;
}

json::object database_object(const database& value) {
    json::object object;
    object["id"] = value.id;
    object["name"] = value.name.full();
    object["date_created"] =
        value.date_created ? json::value(encode_time(*value.date_created)) : json::value(nullptr);
    object["is_private"] = value.is_private;
    object["role"] = json::string_view(role_name(value.role).data(), role_name(value.role).size());
    object["storage_limit_bytes"] = nullable(value.storage_limit_bytes);
    object["storage_usage_bytes"] = value.storage_usage_bytes;
    object["usage_current"] = usage_value(value.usage_current);
    object["usage_previous"] = usage_value(value.usage_previous);
    return object;
}

database decode_database(const json::object& object) {
    database value;
    value.id = required_string(object, "id");
    value.name = database_name(required_string(object, "name"));
    value.date_created = optional_time(object, "date_created");
    value.is_private = optional_bool(object, "is_private").value_or(true);
    value.role = decode_role(object);
    value.storage_limit_bytes = optional_integer(object, "storage_limit_bytes");
    value.storage_usage_bytes = optional_integer(object, "storage_usage_bytes").value_or(0);
    value.usage_current = decode_usage(object, "usage_current");
    value.usage_previous = decode_usage(object, "usage_previous");
    return value;
}

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

void indent(std::string& out, const json::value& value, std::size_t depth) {
    const auto line = [&](std::size_t at) { out.append("\n").append(at * 2, ' '); };
    if (value.is_object() && !value.as_object().empty()) {
        out += '{';
        const char* separator = "";
        for (const auto& member : value.as_object()) {
            out += separator;
            line(depth + 1);
            out += json::serialize(json::value(member.key())) + ": ";
            indent(out, member.value(), depth + 1);
            separator = ",";
        }
        line(depth);
        out += '}';
    } else if (value.is_array() && !value.as_array().empty()) {
        out += '[';
        const char* separator = "";
        for (const json::value& element : value.as_array()) {
            out += separator;
            line(depth + 1);
            indent(out, element, depth + 1);
            separator = ",";
        }
        line(depth);
        out += ']';
    } else {
        out += json::serialize(value);
    }
}

}  // namespace

std::string encode_time(instant value) {
    const auto day = std::chrono::floor<std::chrono::days>(value);
    const std::chrono::year_month_day date(day);
    const std::chrono::hh_mm_ss time(value - day);
    char text[64];
    std::snprintf(text, sizeof text, "%04d-%02u-%02uT%02d:%02d:%02d.%06d+00:00",
                  static_cast<int>(date.year()), static_cast<unsigned>(date.month()),
                  static_cast<unsigned>(date.day()), static_cast<int>(time.hours().count()),
                  static_cast<int>(time.minutes().count()),
                  static_cast<int>(time.seconds().count()),
                  static_cast<int>(time.subseconds().count()));
    return text;
}

std::optional<instant> decode_time(std::string_view text) {
    int y = 0, h = 0, mi = 0, s = 0, oh = 0, om = 0, used = 0;
    unsigned mo = 0, d = 0;
    const std::string copy(text);
    if (std::sscanf(copy.c_str(), "%4d-%2u-%2u%*1[Tt ]%2d:%2d:%2d%n", &y, &mo, &d, &h, &mi, &s,
                    &used) != 6 ||
        used == 0) {
        return std::nullopt;
    }
    std::string_view rest = std::string_view(copy).substr(static_cast<std::size_t>(used));
    std::int64_t micros = 0;
    if (rest.starts_with('.')) {
        std::size_t digits = 1;
        for (; digits < rest.size() && rest[digits] >= '0' && rest[digits] <= '9'; ++digits) {
            if (digits <= 6) {
                micros = micros * 10 + (rest[digits] - '0');
            }
        }
        for (std::size_t i = digits; i <= 6; ++i) {
            micros *= 10;
        }
        if (digits == 1) {
            return std::nullopt;
        }
        rest.remove_prefix(digits);
    }
    int sign = 0;
    if (rest != "Z" && rest != "z") {
        const std::string zone(rest);
        if (rest.size() != 6 || (rest[0] != '+' && rest[0] != '-') ||
            std::sscanf(zone.c_str() + 1, "%2d:%2d", &oh, &om) != 2) {
            return std::nullopt;
        }
        sign = rest[0] == '-' ? -1 : 1;
    }
    const auto date = std::chrono::year(y) / static_cast<int>(mo) / static_cast<int>(d);
    if (!date.ok() || h > 23 || mi > 59 || s > 60 || oh > 23 || om > 59) {
        return std::nullopt;
    }
    using namespace std::chrono;
    return instant(sys_days(date) + hours(h) + minutes(mi) + seconds(s) + microseconds(micros) -
                   sign * (hours(oh) + minutes(om)));
}

std::string encode(const database& value) {
    return json::serialize(database_object(value));
}

std::string encode(const std::vector<database>& values) {
    json::array list;
    for (const database& value : values) {
        list.push_back(database_object(value));
    }
    return json::serialize(json::object{{"databases", std::move(list)}});
}

std::string encode(const create_request& value) {
    json::object object{{"name", value.name},
                        {"is_private", value.visible == visibility::private_}};
    if (value.storage_limit_bytes) {
        object["storage_limit_bytes"] = *value.storage_limit_bytes;
    }
    return json::serialize(object);
}

std::string encode(const database_changes& value) {
    json::object object;
    if (value.name) {
        object["name"] = *value.name;
    }
    if (value.visible) {
        object["is_private"] = *value.visible == visibility::private_;
    }
    if (value.storage_limit_bytes) {
        object["storage_limit_bytes"] = *value.storage_limit_bytes;
    }
    return json::serialize(object);
}

std::string encode(const query_request& value) {
    return json::serialize(json::object{{"database_name", value.database_name},
                                        {"query_string", value.query_string}});
}

database decode_database(std::string_view body) {
    return decode_database(parse_object(body));
}

std::vector<database> decode_databases(std::string_view body) {
    const json::object object = parse_object(body);
    const json::value* list = find(object, "databases");
    if (!list || !list->is_array()) {
        throw wrong("databases", "a list");
    }
    std::vector<database> values;
    for (const json::value& entry : list->as_array()) {
        if (!entry.is_object()) {
            throw wrong("databases", "a list of objects");
        }
        values.push_back(decode_database(entry.as_object()));
    }
    return values;
}

create_request decode_create_request(std::string_view body) {
    const json::object object = parse_object(body);
    create_request value;
    value.name = required_string(object, "name");
    value.visible = optional_visibility(object).value_or(visibility::private_);
    value.storage_limit_bytes = optional_limit(object);
    return value;
}

database_changes decode_database_changes(std::string_view body) {
    const json::object object = parse_object(body);
    database_changes value;
    if (find(object, "name")) {
        value.name = required_string(object, "name");
    }
    value.visible = optional_visibility(object);
    value.storage_limit_bytes = optional_limit(object);
    return value;
}

query_request decode_query_request(std::string_view body) {
    const json::object object = parse_object(body);
    query_request value;
    value.database_name = required_string(object, "database_name");
    value.query_string = required_string(object, "query_string");
    return value;
}

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

error_answer decode_error(std::string_view body) {
    error_answer answer;
    boost::system::error_code failure;
    const json::value value = json::parse(json::string_view(body.data(), body.size()), failure);
    if (failure || !value.is_object()) {
        return answer;
    }
    const json::object& object = value.as_object();
    const auto add = [&](const json::value* text) {
        if (text && text->is_string()) {
            answer.message += answer.message.empty() ? "" : "; ";
            answer.message.append(text->as_string().data(), text->as_string().size());
        }
    };
    add(find(object, "message"));
    add(find(object, "help"));
    if (const json::value* error = find(object, "error"); error && error->is_object()) {
        if (const json::value* type = find(error->as_object(), "type");
            type && type->is_string()) {
            answer.type = std::string(type->as_string());
        }
    }
    const json::value* detail = find(object, "detail");
    add(detail);
    if (detail && detail->is_array()) {
        for (const json::value& entry : detail->as_array()) {
            if (entry.is_object()) {
                add(find(entry.as_object(), "msg"));
            }
        }
    }
    return answer;
}

std::string indented(std::string_view text) {
    std::string out;
    indent(out, parse(text), 0);
    return out;
}

}  // namespace bitdotio::api
