// The parts of a URL, in their order.
#include "base/http_url.hpp"

#include <bitdotio/error.hpp>

#include <algorithm>
#include <charconv>

namespace bitdotio {

namespace {

error malformed(const char* why) {
    return error(errc::bad_input, why);
}

// A port with its colon; 0 for none.
std::uint16_t port_in(std::string_view text) {
    if (text.empty()) return 0;
    std::uint16_t port = 0;
    const char* const end = text.data() + text.size();
    const auto read = std::from_chars(text.data() + 1, end, port);
    if (text.front() != ':' || read.ec != std::errc() || read.ptr != end || port == 0) {
        throw malformed("its port is not a number from 1 to 65535");
    }
    return port;
}

}  // namespace

http_url http_url::parse(std::string_view url) {
    http_url found;
    found.secure = url.starts_with("https://");
    if (!found.secure && !url.starts_with("http://")) {
        throw malformed("it must begin with http:// or https://");
    }
    url.remove_prefix(found.secure ? 8 : 7);
    const bool odd = std::any_of(url.begin(), url.end(), [](char c) {
        return static_cast<unsigned char>(c) <= 0x20 || c == 0x7f || c == '\\';
    });
    if (odd) throw malformed("it has a space, a backslash or a control character");
    url = url.substr(0, url.find('#'));
    std::string_view place = url.substr(0, url.find_first_of("/?"));
    found.target = url.substr(place.size());
    if (!found.target.starts_with('/')) found.target.insert(0, "/");
    if (place.find('@') != std::string_view::npos) throw malformed("it must not have a user");
    const std::size_t bracket = place.starts_with('[') ? place.find(']') : std::string_view::npos;
    if (bracket == std::string_view::npos) {
        const std::size_t colon = std::min(place.find(':'), place.size());
        found.host = place.substr(0, colon);
        found.port = port_in(place.substr(colon));
    } else {
        found.host = place.substr(1, bracket - 1);
        found.port = port_in(place.substr(bracket + 1));
    }
    if (found.host.empty()) throw malformed("it has no host");
    if (found.host.find_first_of("[]") != std::string::npos) throw malformed("its host is odd");
    if (found.port == 0) found.port = found.secure ? 443 : 80;
    return found;
}

}  // namespace bitdotio
