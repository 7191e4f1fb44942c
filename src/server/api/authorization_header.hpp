// What stands in the header Authorization behind its scheme.
#pragma once

#include <cstddef>
#include <optional>
#include <string_view>

namespace bitdotio {

/// The value behind "Bearer " or "Basic ", in whatever case; nothing for another scheme.
///
/// Parameters: `scheme` in small letters.
/// See: RFC 7235, section 2.1.
inline std::optional<std::string_view> value_behind(std::string_view header,
                                                    std::string_view scheme) {
    if (header.size() <= scheme.size() || header[scheme.size()] != ' ') return std::nullopt;
    for (std::size_t i = 0; i < scheme.size(); ++i) {
        const char c = header[i];
        if ((c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c) != scheme[i]) return std::nullopt;
    }
    header.remove_prefix(scheme.size());
    while (header.starts_with(' ')) {
        header.remove_prefix(1);
    }
    return header;
}

}  // namespace bitdotio
