// A URL of http or https, taken apart: where to connect, and what to ask for there.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace bitdotio {

/// Boost.URL could do this; it would be one more compiled library for every user of ours, for two
/// addresses, and knows no limits of a port.
struct http_url {
    http_url() = default;

    /// Errors: errc::bad_input, saying what is wrong with it and not repeating it: it may have
    ///     secrets in it.
    static http_url parse(std::string_view url);

    bool secure = false;     ///< https
    std::string host;        ///< an IPv6 address without its brackets
    std::uint16_t port = 0;  ///< as it says, or the scheme's
    std::string target;      ///< path and query, at least "/"
};

}  // namespace bitdotio
