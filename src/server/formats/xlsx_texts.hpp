// How the texts of an XLSX file are escaped.
#pragma once

#include <bitdotio/error.hpp>

#include "base/ascii.hpp"
#include "server/formats/utf8.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace bitdotio {

inline error malformed_xlsx(const std::string& why) {
    return error(errc::bad_input, "the XLSX file is damaged: " + why);
}

/// The number of an escape such as _x000D_ at the beginning of a text; nothing if there is none.
///
/// See: ECMA-376, Part 1, 22.9.2.19, ST_Xstring.
inline std::optional<std::uint32_t> xlsx_escape(std::string_view text) noexcept {
    if (text.size() < 7 || text[0] != '_' || text[1] != 'x' || text[6] != '_') return std::nullopt;
    std::uint32_t number = 0;
    for (std::size_t i = 2; i < 6; ++i) {
        const auto digit = ascii::hex_digit(text[i]);
        if (!digit) return std::nullopt;
        number = number * 16 + static_cast<std::uint32_t>(*digit);
    }
    return number;
}

/// Puts characters in the place of their escapes. What no text of a database can have stays as it
/// is: U+0000, and half of a pair of surrogates.
inline std::string decode_xlsx_text(std::string text) {
    if (text.find("_x") == std::string::npos) return text;
    std::string decoded;
    const std::string_view from = text;
    for (std::size_t i = 0; i < from.size();) {
        auto number = xlsx_escape(from.substr(i));
        std::size_t length = 7;
        if (number && *number >= 0xd800 && *number < 0xdc00) {
            const auto low = xlsx_escape(from.substr(i + length));
            if (low && *low >= 0xdc00 && *low < 0xe000) {
                number = 0x10000 + ((*number - 0xd800) << 10) + (*low - 0xdc00);
                length = 14;
            }
        }
        if (!number || *number == 0 || (*number >= 0xd800 && *number < 0xe000)) {
            decoded.push_back(from[i++]);
            continue;
        }
        append_utf8(decoded, *number);
        i += length;
    }
    return decoded;
}

}  // namespace bitdotio
