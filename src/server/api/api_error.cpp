// Builds the three error bodies as JSON.
#include "server/api/api_error.hpp"
#include "server/base/event_log.hpp"
#include "server/catalog/key_secret.hpp"
#include "server/formats/utf8.hpp"

#include <boost/json.hpp>

namespace bitdotio {

namespace {

namespace json = boost::json;

// Messages repeat parts of the request, and JSON must be UTF-8 whatever those were.
json::string readable_text(std::string_view value) {
    if (is_text(value)) return json::string(value.data(), value.size());
    json::string readable;
    for (const char c : value) {
        if (static_cast<unsigned char>(c) < 0x80) {
            readable.push_back(c);
        } else {
            readable += "\ufffd";
        }
    }
    return readable;
}

}  // namespace

namespace {

http_response with_id(const std::string& error_id, int status, std::string_view message,
                      std::string_view type, std::string_view help) {
    json::object body;
    body["status_code"] = status;
    body["error_id"] = error_id;
    body["message"] = readable_text(message);
    if (!help.empty()) body["help"] = readable_text(help);
    if (!type.empty()) body["error"] = json::object{{"type", readable_text(type)}};
    return http_response(status, json::serialize(body));
}

}  // namespace

http_response api_error(int status, std::string_view message, std::string_view type,
                        std::string_view help) {
    return with_id(new_id(), status, message, type, help);
}

http_response internal_error(int status, const std::string& error_id) {
    const char* type = status == 503 ? "unavailable" : "internal";
    return with_id(error_id, status, words_for_caller(error_id), type, {});
}

http_response unauthorized(std::string_view detail) {
    json::object body;
    body["detail"] = readable_text(detail);
    body["uuid"] = new_id();
    return http_response(401, json::serialize(body));
}

http_response unprocessable(std::string_view field, std::string_view message, std::string_view type,
                            std::string_view part) {
    json::array place;
    place.emplace_back(readable_text(part));
    if (!field.empty()) place.emplace_back(readable_text(field));
    json::object entry;
    entry["loc"] = std::move(place);
    entry["msg"] = readable_text(message);
    entry["type"] = readable_text(type);
    json::object body;
    body["detail"] = json::array{std::move(entry)};
    return http_response(422, json::serialize(body));
}

}  // namespace bitdotio
