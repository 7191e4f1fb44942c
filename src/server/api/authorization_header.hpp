// Reads the value after the scheme in the header Authorization.
#pragma once

#include "base/ascii.hpp"

#include <optional>
#include <string_view>

namespace bitdotio {

/// The value after "Bearer " or "Basic ", in any case; nothing for another scheme.
///
/// Parameters: `scheme` in any case.
/// See: RFC 7235, section 2.1.
inline std::optional<std::string_view> authorization_value(std::string_view header,
                                                           std::string_view scheme) {
    if (header.size() <= scheme.size() || header[scheme.size()] != ' ') return std::nullopt;
    if (!ascii::equal_ignoring_case(header.substr(0, scheme.size()), scheme)) return std::nullopt;
    header.remove_prefix(scheme.size());
    while (header.starts_with(' ')) {
        header.remove_prefix(1);
    }
    return header;
}

}  // namespace bitdotio
