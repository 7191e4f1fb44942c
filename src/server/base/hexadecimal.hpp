// Writes octets as hexadecimal text.
#pragma once

#include <span>
#include <string>

namespace bitdotio {

/// Two digits for each octet, in lower case.
inline std::string hexadecimal(std::span<const unsigned char> octets) {
    constexpr char digits[] = "0123456789abcdef";
    std::string text;
    for (const unsigned char octet : octets) {
        text += {digits[octet >> 4], digits[octet & 0xf]};
    }
    return text;
}

}  // namespace bitdotio
