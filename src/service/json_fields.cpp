// Takes JSON bodies apart, and words the errors of wrong fields.
#include "service/json_fields.hpp"
#include "base/rfc3339.hpp"

#include <boost/json.hpp>

#include <charconv>

namespace bitdotio::api {

namespace json = boost::json;

malformed_body wrong(std::string_view field, std::string_view wanted) {
    return malformed_body(std::string(field),
                          "field \"" + std::string(field) + "\" must be " + std::string(wanted));
}

json::value parse(std::string_view body) {
    boost::system::error_code failure;
    json::parse_options options;
    options.max_depth = deepest_body;
    // All values of a body come and go together: their memory is taken in few pieces.
    json::value value =
        json::parse(json::string_view(body.data(), body.size()), failure,
                    json::make_shared_resource<json::monotonic_resource>(), options);
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
        const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), number);
        if (failure == std::errc() && end == text.data() + text.size()) {
            return number;
        }
    }
    throw wrong(field, "an integer of 64 bits");
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

json::string text(std::string_view value) {
    return json::string(value.data(), value.size());
}

}  // namespace bitdotio::api
