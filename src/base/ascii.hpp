// ASCII characters, classified and folded without the process's locale.
#pragma once

#include <algorithm>
#include <optional>
#include <string>
#include <string_view>

namespace bitdotio::ascii {

constexpr bool is_digit(char c) noexcept {
    return c >= '0' && c <= '9';
}

constexpr bool is_letter(char c) noexcept {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/// A letter, a digit or an underscore.
constexpr bool is_word(char c) noexcept {
    return is_letter(c) || is_digit(c) || c == '_';
}

constexpr char to_lower(char c) noexcept {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

constexpr char to_upper(char c) noexcept {
    return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
}

inline std::string to_lower(std::string_view text) {
    std::string lower(text);
    for (char& c : lower) {
        c = to_lower(c);
    }
    return lower;
}

inline bool same_letters(char left, char right) noexcept {
    return to_lower(left) == to_lower(right);
}

/// Whether two texts are equal, ignoring the case of letters.
inline bool equal_ignoring_case(std::string_view left, std::string_view right) noexcept {
    return std::equal(left.begin(), left.end(), right.begin(), right.end(), same_letters);
}

/// The value of a hexadecimal digit; nothing for another character.
constexpr std::optional<int> hex_digit(char c) noexcept {
    if (is_digit(c)) return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return std::nullopt;
}

}  // namespace bitdotio::ascii
