// Writes the header of a request as one text, which TLS sends as one record.
#include "service/https_message.hpp"

#include <algorithm>
#include <string_view>

namespace bitdotio {

namespace {

bool is_control(char c) {
    return static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
}

void append(std::string& header, std::string_view name, std::string_view value) {
    const auto is_refused = [](char c) { return is_control(c) && c != '\t'; };
    if (std::any_of(value.begin(), value.end(), is_refused)) {
        throw error(errc::bad_input, "the header " + std::string(name) +
                                         " has a line break or another control character: leave "
                                         "it out")
            .with(outcome::not_sent);
    }
    header.append(name).append(": ").append(value).append("\r\n");
}

}  // namespace

std::string header_of(const https_address& address, const https_request& request) {
    const std::string target = address.path + request.target;
    // A space would end the target, and what follows be taken for the version.
    const auto ends = [](char c) { return c == ' ' || is_control(c); };
    if (std::any_of(target.begin(), target.end(), ends)) {
        throw error(errc::bad_input,
                    "the path of the request has a space or a control character: percent-encode it")
            .with(outcome::not_sent);
    }
    std::string header;
    header.reserve(512);
    header.append(request.method).append(" ").append(target).append(" HTTP/1.1\r\n");
    append(header, "Host", place_of(address));
    append(header, "Accept", "application/json");
    if (!request.authorization.empty()) append(header, "Authorization", request.authorization);
    append(header, "User-Agent", request.user_agent);
    const bool has_body = request.source || !request.body.empty();
    if (has_body) append(header, "Content-Type", request.content_type);
    if (has_body || request.method == "POST" || request.method == "PATCH") {
        const std::uint64_t length = request.source ? request.source->size() : request.body.size();
        append(header, "Content-Length", std::to_string(length));
    }
    return header.append("\r\n");
}

}  // namespace bitdotio
