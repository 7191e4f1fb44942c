// Checks whether bytes are UTF-8, as PostgreSQL wants it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace bitdotio {

/// Whether the text is UTF-8 without zero bytes: overlong forms, surrogates and anything beyond
/// U+10FFFF are not UTF-8.
///
/// See: RFC 3629.
inline bool is_text(std::string_view text) noexcept {
    std::size_t i = 0;
    while (i < text.size()) {
        // Eight at once, if all are ASCII and none is zero.
        if (i + 8 <= text.size()) {
            std::uint64_t eight = 0;
            std::memcpy(&eight, text.data() + i, 8);
            constexpr std::uint64_t high = 0x8080808080808080;
            constexpr std::uint64_t ones = 0x0101010101010101;
            if (((eight | (eight - ones)) & high) == 0) {
                i += 8;
                continue;
            }
        }
        const auto octet = [&](std::size_t at) {
            return at < text.size() ? static_cast<unsigned char>(text[at]) : 0u;
        };
        const unsigned first = octet(i);
        std::size_t length = 1;
        unsigned least = 0x80;
        unsigned most = 0xbf;
        if (first == 0) {
            return false;
        } else if (first < 0x80) {
            ++i;
            continue;
        } else if (first >= 0xc2 && first <= 0xdf) {
            length = 2;
        } else if (first >= 0xe0 && first <= 0xef) {
            length = 3;
            if (first == 0xe0) least = 0xa0;
            if (first == 0xed) most = 0x9f;
        } else if (first >= 0xf0 && first <= 0xf4) {
            length = 4;
            if (first == 0xf0) least = 0x90;
            if (first == 0xf4) most = 0x8f;
        } else {
            return false;
        }
        if (octet(i + 1) < least || octet(i + 1) > most) return false;
        for (std::size_t k = 2; k < length; ++k) {
            if (octet(i + k) < 0x80 || octet(i + k) > 0xbf) return false;
        }
        i += length;
    }
    return true;
}

}  // namespace bitdotio
