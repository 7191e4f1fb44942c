// Formats events as lines.
#include <bitdotio/server_event.hpp>

#include "base/rfc3339.hpp"

#include <boost/json.hpp>

#include <algorithm>

namespace bitdotio {

namespace json = boost::json;

namespace {

json::value json_of(const server_event::value& what) {
    return std::visit(
        [](const auto& held) {
            if constexpr (std::is_same_v<std::decay_t<decltype(held)>, std::string>) {
                return json::value(json::string(held));
            } else {
                return json::value(held);
            }
        },
        what);
}

}  // namespace

server_event::server_event(std::string kind_)
    : time(std::chrono::floor<std::chrono::microseconds>(std::chrono::system_clock::now())),
      kind(std::move(kind_)) {}

server_event& server_event::with(std::string name, value what) {
    fields.emplace_back(std::move(name), std::move(what));
    return *this;
}

std::string server_event::text_of(std::string_view name) const {
    const auto found = std::find_if(fields.begin(), fields.end(),
                                    [&](const auto& one) { return one.first == name; });
    if (found == fields.end()) return {};
    const auto* text = std::get_if<std::string>(&found->second);
    return text ? *text : json::serialize(json_of(found->second));
}

// By hand, to keep the order of the fields.
std::string server_event::json() const {
    std::string line = "{\"time\":\"" + api::encode_time(time) +
                       "\",\"event\":" + json::serialize(json::string(kind));
    for (const auto& [name, what] : fields) {
        line += "," + json::serialize(json::string(name)) + ":" + json::serialize(json_of(what));
    }
    return line + "}";
}

// Texts are quoted as in JSON, so that a line stays one line.
std::string server_event::text() const {
    std::string line = api::encode_time(time) + " " + kind;
    for (const auto& [name, what] : fields) {
        line += " " + name + "=" + json::serialize(json_of(what));
    }
    return line;
}

}  // namespace bitdotio
