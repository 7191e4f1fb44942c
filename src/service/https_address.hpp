// Where an API is: a URL of https, taken apart.
#pragma once

#include "base/http_url.hpp"

#include <cstdint>
#include <string>
#include <string_view>

namespace bitdotio {

/// Where an API is.
struct https_address {
    https_address() = default;
    /// The place of a URL of https, without its target.
    explicit https_address(const http_url& url) : host(url.host), port(url.port) {}

    /// Takes "https://host[:port][/path]", also with an IPv6 address in brackets.
    ///
    /// Errors: errc::bad_input naming what is wrong.
    static https_address parse(const std::string& url);

    std::string host;
    std::uint16_t port = 443;
    std::string path;  ///< put before every target; has no slash at its end
};

/// "host:port", an IPv6 address in brackets.
std::string place_of(const https_address& address);

/// Where a redirection leads, as it may be shown: without what is secret, such as a key in its
/// query or a password before its host, and not longer than 200 bytes.
std::string shown_location(std::string_view location);

}  // namespace bitdotio
