// Converts models to JSON and back.
#include "service/api_codec.hpp"
#include "base/rfc3339.hpp"

#include <boost/json.hpp>

#include <array>

namespace bitdotio::api {

namespace json = boost::json;

std::string_view role_name(role value) {
    switch (value) {
        case role::owner: return "OWNER";
        case role::admin: return "ADMIN";
        case role::writer: return "WRITER";
        case role::reader: return "READER";
    }
    return "READER";
}

std::optional<role> role_named(std::string_view name) {
    for (const role value : {role::owner, role::admin, role::writer, role::reader}) {
        if (name == role_name(value)) return value;
    }
    return std::nullopt;
}

namespace {

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

template <class T>
json::value nullable(const std::optional<T>& value) {
    return value ? json::value(*value) : json::value(nullptr);
}

role decode_role(const json::object& object) {
    const std::optional<role> value = role_named(required_string(object, "role"));
    if (!value) {
        throw wrong("role", "OWNER, ADMIN, WRITER or READER");
    }
    return *value;
}

json::value role_value(role value) {
    const std::string_view name = role_name(value);
    return json::string_view(name.data(), name.size());
}

json::value usage_value(const std::optional<usage>& value, const json::storage_ptr& memory) {
    if (!value) {
        return json::value(nullptr, memory);
    }
    return json::value({{"rows_queried", value->rows_queried},
                        {"period_start", encode_date(value->period_start)},
                        {"period_end", encode_date(value->period_end)}},
                       memory);
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
    // The service's own description calls these dates without a time.
    const auto seconds = [&](std::string_view name) -> std::chrono::sys_seconds {
        const json::value* text = find(period, name);
        if (text && text->is_string()) {
            if (const auto date =
                    decode_date({text->as_string().data(), text->as_string().size()})) {
                return *date;
            }
        }
        return std::chrono::floor<std::chrono::seconds>(
            optional_time(period, name).value_or(instant()));
    };
    decoded.period_start = seconds("period_start");
    decoded.period_end = seconds("period_end");
    return decoded;
}

json::object database_object(const database& value, const json::storage_ptr& memory) {
    json::object object(9, memory);
    object["id"] = value.id;
    object["name"] = value.name.full();
    object["date_created"] =
        value.date_created ? json::value(encode_time(*value.date_created)) : json::value(nullptr);
    object["is_private"] = value.visible == visibility::private_;
    object["role"] = role_value(value.role);
    object["storage_limit_bytes"] = nullable(value.storage_limit_bytes);
    object["storage_usage_bytes"] = value.storage_usage_bytes;
    object["usage_current"] = usage_value(value.usage_current, memory);
    object["usage_previous"] = usage_value(value.usage_previous, memory);
    return object;
}

database_name decode_name(const json::object& object) {
    try {
        return database_name(required_string(object, "name"));
    } catch (const malformed_body&) {
        throw;
    } catch (const error& failure) {
        throw malformed_body("name", std::string("field \"name\": ") + failure.what());
    }
}

database decode_database(const json::object& object) {
    database value;
    value.id = required_string(object, "id");
    value.name = decode_name(object);
    value.date_created = optional_time(object, "date_created");
    value.visible = optional_visibility(object).value_or(visibility::private_);
    value.role = decode_role(object);
    value.storage_limit_bytes = optional_integer(object, "storage_limit_bytes");
    value.storage_usage_bytes = optional_integer(object, "storage_usage_bytes").value_or(0);
    value.usage_current = decode_usage(object, "usage_current");
    value.usage_previous = decode_usage(object, "usage_previous");
    return value;
}

// A list may be long, so each value of it has this memory, one after the other.
using room_of_one = std::array<unsigned char, 4096>;

void append(std::string& text, const database& value, room_of_one& room) {
    json::monotonic_resource memory(room.data(), room.size());
    const json::object object = database_object(value, &memory);
    json::serializer writer;
    writer.reset(&object);
    std::array<char, 1024> piece;
    while (!writer.done()) {
        text += std::string_view(writer.read(piece.data(), piece.size()));
    }
}

json::object account_object(const service_account& value) {
    json::array databases;
    for (const service_account::grant& each : value.databases) {
        databases.push_back(json::object{{"id", each.id}, {"name", each.name.full()}});
    }
    json::object object;
    object["id"] = value.id;
    object["name"] = value.name;
    object["date_created"] =
        value.date_created ? json::value(encode_time(*value.date_created)) : json::value(nullptr);
    object["role"] = role_value(value.role);
    object["databases"] = std::move(databases);
    object["token_count"] = value.token_count;
    object["active_token_count"] = value.active_token_count;
    return object;
}

// Decodes each object of a list field.
template <class Decode>
auto decode_list(const json::object& object, std::string_view field, Decode decode) {
    const json::value* list = find(object, field);
    if (!list || !list->is_array()) {
        throw wrong(field, "a list");
    }
    std::vector<decltype(decode(object))> values;
    for (const json::value& entry : list->as_array()) {
        if (!entry.is_object()) {
            throw wrong(field, "a list of objects");
        }
        values.push_back(decode(entry.as_object()));
    }
    return values;
}

service_account decode_account(const json::object& object) {
    service_account value;
    value.id = required_string(object, "id");
    value.name = required_string(object, "name");
    value.date_created = optional_time(object, "date_created");
    value.role = decode_role(object);
    if (find(object, "databases")) {
        value.databases = decode_list(object, "databases", [](const json::object& entry) {
            service_account::grant grant;
            grant.id = required_string(entry, "id");
            grant.name = decode_name(entry);
            return grant;
        });
    }
    value.token_count = optional_integer(object, "token_count").value_or(0);
    value.active_token_count = optional_integer(object, "active_token_count").value_or(0);
    return value;
}

}  // namespace

std::string encode(const database& value) {
    std::string text;
    room_of_one room;
    append(text, value, room);
    return text;
}

std::string encode(const std::vector<database>& values) {
    constexpr std::size_t usual_size = 512;
    std::string text = R"({"databases":[)";
    text.reserve(text.size() + values.size() * usual_size);
    room_of_one room;
    for (const database& value : values) {
        if (text.back() != '[') text += ',';
        append(text, value, room);
    }
    return text.append("]}");
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
    return json::serialize(
        json::object{{"database_name", value.database_name}, {"query_string", value.query_string}});
}

std::string encode(const service_account& value) {
    return json::serialize(account_object(value));
}

std::string encode(const std::vector<service_account>& values) {
    json::array list;
    for (const service_account& value : values) {
        list.push_back(account_object(value));
    }
    return json::serialize(json::object{{"service_accounts", std::move(list)}});
}

std::string encode(const issued_key& value) {
    return json::serialize(
        json::object{{"api_key", value.key.reveal()}, {"username", value.username}});
}

database decode_database(std::string_view body) {
    return decode_database(parse_object(body));
}

std::vector<database> decode_databases(std::string_view body) {
    return decode_list(parse_object(body), "databases",
                       [](const json::object& entry) { return decode_database(entry); });
}

service_account decode_service_account(std::string_view body) {
    return decode_account(parse_object(body));
}

std::vector<service_account> decode_service_accounts(std::string_view body) {
    return decode_list(parse_object(body), "service_accounts", decode_account);
}

issued_key decode_issued_key(std::string_view body) {
    const json::object object = parse_object(body);
    issued_key value;
    try {
        value.key = api_key(required_string(object, "api_key"));
    } catch (const malformed_body&) {
        throw;
    } catch (const error& failure) {  // its words do not repeat the key
        throw malformed_body("api_key", std::string("field \"api_key\": ") + failure.what());
    }
    value.username = required_string(object, "username");
    return value;
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
        if (const json::value* type = find(error->as_object(), "type"); type && type->is_string()) {
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

}  // namespace bitdotio::api
