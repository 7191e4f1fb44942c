// Writes the escapes of a URL, and decodes only valid ones.
#include "base/percent_encoding.hpp"

#include "base/ascii.hpp"

namespace bitdotio {

std::string percent_escape(char octet) {
    constexpr char digits[] = "0123456789ABCDEF";
    const auto value = static_cast<unsigned char>(octet);
    return {'%', digits[value >> 4], digits[value & 0xf]};
}

std::string percent_encoded(std::string_view text) {
    std::string encoded;
    for (const char c : text) {
        if (ascii::is_word(c) || c == '-' || c == '.' || c == '~') {
            encoded.push_back(c);
        } else {
            encoded += percent_escape(c);
        }
    }
    return encoded;
}

std::string percent_decoded(std::string_view text) {
    std::string decoded;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] == '%' && i + 2 < text.size()) {
            const auto high = ascii::hex_digit(text[i + 1]);
            const auto low = ascii::hex_digit(text[i + 2]);
            if (high && low) {
                decoded.push_back(static_cast<char>(*high * 16 + *low));
                i += 2;
                continue;
            }
        }
        decoded.push_back(text[i]);
    }
    return decoded;
}

}  // namespace bitdotio
