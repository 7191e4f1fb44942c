// The texts that the sheets of an XLSX file share, and how its texts are escaped.
#pragma once

#include <bitdotio/error.hpp>

#include "base/ascii.hpp"

#include <cstddef>
#include <cstdint>
#include <deque>
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
        const auto put = [&](std::uint32_t octet) { decoded.push_back(static_cast<char>(octet)); };
        if (*number < 0x80) {
            put(*number);
        } else if (*number < 0x800) {
            put(0xc0 | *number >> 6);
            put(0x80 | (*number & 0x3f));
        } else if (*number < 0x10000) {
            put(0xe0 | *number >> 12);
            put(0x80 | (*number >> 6 & 0x3f));
            put(0x80 | (*number & 0x3f));
        } else {
            put(0xf0 | *number >> 18);
            put(0x80 | (*number >> 12 & 0x3f));
            put(0x80 | (*number >> 6 & 0x3f));
            put(0x80 | (*number & 0x3f));
        }
        i += length;
    }
    return decoded;
}

/// The texts that all sheets share. They are kept in blocks, so that growing never takes twice the
/// memory.
class shared_strings {
public:
    void add(std::string_view text) {
        if (places_.size() == most_strings) {
            throw malformed_xlsx("it has more than 10,000,000 shared texts");
        }
        size_ += text.size();
        if (size_ > most_string_bytes)
            throw malformed_xlsx("its shared texts have more than 256 MiB");
        if (blocks_.empty() || blocks_.back().size() + text.size() > block_size) {
            blocks_.emplace_back().reserve(block_size);
        }
        place_in_block place;
        place.block = static_cast<std::uint32_t>(blocks_.size() - 1);
        place.begin = static_cast<std::uint32_t>(blocks_.back().size());
        blocks_.back().append(text);
        places_.push_back(place);
    }

    std::string_view get(std::size_t index) const {
        if (index >= places_.size())
            throw malformed_xlsx("a cell refers to a text that is not there");
        const auto [block, begin] = places_[index];
        const std::string_view whole = blocks_[block];
        const bool last = index + 1 == places_.size() || places_[index + 1].block != block;
        return whole.substr(begin, (last ? whole.size() : places_[index + 1].begin) - begin);
    }

private:
    static constexpr std::size_t block_size = 1024 * 1024;
    static constexpr std::size_t most_strings = 10'000'000;
    static constexpr std::size_t most_string_bytes = 256 * 1024 * 1024;
    struct place_in_block {
        std::uint32_t block = 0;
        std::uint32_t begin = 0;
    };

    std::deque<std::string> blocks_;
    std::deque<place_in_block> places_;
    std::size_t size_ = 0;
};

}  // namespace bitdotio
