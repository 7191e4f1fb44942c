// Takes addresses apart, and shows them without secrets.
#include "service/https_address.hpp"

#include <bitdotio/error.hpp>

#include <algorithm>
#include <utility>

namespace bitdotio {

https_address https_address::parse(const std::string& url) {
    const auto malformed = [&](const char* why) {
        return error(errc::bad_input, "the API address \"" + url + "\" is malformed: " + why +
                                          "; it must look like https://host:port");
    };
    http_url found;
    try {
        found = http_url::parse(url);
    } catch (const error& failure) {
        throw malformed(failure.what());
    }
    if (!found.secure) {
        throw malformed("it does not begin with https://");
    }
    if (url.find_first_of("?#") != std::string::npos) {
        throw malformed("it has a query or a fragment");
    }
    https_address address(found);
    address.path = std::move(found.target);
    while (address.path.ends_with('/')) {
        address.path.pop_back();
    }
    return address;
}

std::string place_of(const https_address& address) {
    const bool is_v6 = address.host.find(':') != std::string::npos;
    return (is_v6 ? "[" + address.host + "]" : address.host) + ":" + std::to_string(address.port);
}

std::string shown_location(std::string_view location) {
    std::string shown(location.substr(0, std::min(location.find_first_of("?#"), std::size_t{200})));
    const std::size_t host = shown.find("//");
    const std::size_t at = shown.find('@');
    if (host != std::string::npos && at != std::string::npos && at > host) {
        shown.erase(host + 2, at - host - 1);
    }
    std::erase_if(shown, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
    return shown;
}

}  // namespace bitdotio
