// UTF-8 as PostgreSQL wants it: checked, and made of other encodings.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
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

/// Appends a character. Half of a pair of surrogates becomes bytes that `is_text` refuses.
///
/// Parameters: `character` up to U+10FFFF.
inline void append_utf8(std::string& into, std::uint32_t character) {
    const auto put = [&](std::uint32_t octet) { into.push_back(static_cast<char>(octet)); };
    if (character < 0x80) {
        put(character);
    } else if (character < 0x800) {
        put(0xc0 | character >> 6);
        put(0x80 | (character & 0x3f));
    } else if (character < 0x10000) {
        put(0xe0 | character >> 12);
        put(0x80 | (character >> 6 & 0x3f));
        put(0x80 | (character & 0x3f));
    } else {
        put(0xf0 | character >> 18);
        put(0x80 | (character >> 12 & 0x3f));
        put(0x80 | (character >> 6 & 0x3f));
        put(0x80 | (character & 0x3f));
    }
}

/// Makes UTF-8 of UTF-16, unit by unit.
class utf16_units {
public:
    void put(std::uint16_t unit, std::string& into) {
        if (high_ != 0 && unit >= 0xdc00 && unit < 0xe000) {
            append_utf8(into, 0x10000 + ((high_ - 0xd800u) << 10) + (unit - 0xdc00u));
            high_ = 0;
            return;
        }
        end(into);
        if (unit >= 0xd800 && unit < 0xdc00) {
            high_ = unit;
        } else {
            append_utf8(into, unit);
        }
    }

    /// Appends what waits for its second half.
    void end(std::string& into) {
        if (high_ != 0) append_utf8(into, high_);
        high_ = 0;
    }

private:
    std::uint16_t high_ = 0;
};

}  // namespace bitdotio
