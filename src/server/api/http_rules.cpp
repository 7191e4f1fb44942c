// Writes headers.
#include "server/api/http_rules.hpp"

#include <bitdotio/error.hpp>

#include <boost/beast/http/status.hpp>

#include <cstdint>
#include <string>
#include <string_view>

namespace bitdotio {

std::string encode_header(const http_response& answer, unsigned version, bool keep_alive) {
    namespace http = boost::beast::http;
    std::string text;
    text.reserve(256);
    const auto add = [&](std::string_view name, std::string_view value) {
        if (value.find_first_of("\r\n") != std::string_view::npos) {
            throw error(errc::system_failed,
                        "the header " + std::string(name) + " would have had a line break");
        }
        ((text += name) += ": ") += value;
        text += "\r\n";
    };
    text += version < 11 ? "HTTP/1.0 " : "HTTP/1.1 ";
    const auto status = static_cast<unsigned>(answer.status);
    text += std::to_string(status) + " ";
    text += std::string_view(http::obsolete_reason(http::int_to_status(status)));
    text += "\r\n";
    add("Server", "bitdotio/" BITDOTIO_VERSION);
    add("Content-Type", answer.content_type);
    if (!answer.allow.empty()) add("Allow", answer.allow);
    if (answer.status == 401) add("WWW-Authenticate", "Bearer");
    for (const auto& [name, value] : answer.headers) {
        // Beside others of its name: browsers read one challenge of each WWW-Authenticate.
        add(name, value);
    }
    if (!keep_alive && version >= 11) add("Connection", "close");
    if (keep_alive && version < 11) add("Connection", "keep-alive");
    if (answer.status != 204) {  // which may not say a length (RFC 9110, 8.6)
        const std::uint64_t length = answer.stream ? answer.length : answer.body.size();
        add("Content-Length", std::to_string(length));
    }
    text += "\r\n";
    return text;
}

}  // namespace bitdotio
