// UUIDs to and from text.
#include <bitdotio/error.hpp>
#include <bitdotio/types.hpp>

#include "base/ascii.hpp"

#include <ostream>

namespace bitdotio {

uuid uuid::parse(std::string_view text) {
    const auto malformed = [&] {
        return error(errc::bad_input, "\"" + std::string(text) +
                                          "\" is not a UUID, which has 32 hexadecimal digits as "
                                          "in 123e4567-e89b-12d3-a456-426614174000");
    };
    const auto digit = [&](char c) -> std::uint8_t {
        const auto value = ascii::hex_digit(c);
        if (!value) throw malformed();
        return static_cast<std::uint8_t>(*value);
    };
    const bool hyphens = text.size() == 36;
    if (!hyphens && text.size() != 32) {
        throw malformed();
    }
    uuid value;
    std::size_t at = 0;
    for (std::size_t i = 0; i < value.octets.size(); ++i) {
        if (hyphens && (i == 4 || i == 6 || i == 8 || i == 10) && text[at++] != '-') {
            throw malformed();
        }
        const auto high = digit(text[at++]);
        const auto low = digit(text[at++]);
        value.octets[i] = static_cast<std::uint8_t>(high << 4 | low);
    }
    return value;
}

std::string to_string(const uuid& value) {
    constexpr char digits[] = "0123456789abcdef";
    std::string text;
    text.reserve(36);
    for (std::size_t i = 0; i < value.octets.size(); ++i) {
        if (i == 4 || i == 6 || i == 8 || i == 10) {
            text.push_back('-');
        }
        text.push_back(digits[value.octets[i] >> 4]);
        text.push_back(digits[value.octets[i] & 0xf]);
    }
    return text;
}

std::ostream& operator<<(std::ostream& out, const uuid& value) {
    return out << to_string(value);
}

}  // namespace bitdotio
