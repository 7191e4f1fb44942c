// Writes one form of RFC 3339, and reads every form of it.
#include "base/rfc3339.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>

namespace bitdotio::api {

namespace {

// Takes a number of exactly `count` digits off the front of `text`.
std::optional<int> take_number(std::string_view& text, std::size_t count) {
    if (text.size() < count) {
        return std::nullopt;
    }
    int number = 0;
    for (const char c : text.substr(0, count)) {
        if (c < '0' || c > '9') {
            return std::nullopt;
        }
        number = number * 10 + (c - '0');
    }
    text.remove_prefix(count);
    return number;
}

// Takes one character off the front of `text` if it is one of `choice`, else returns 0.
char take(std::string_view& text, std::string_view choice) {
    if (text.empty() || choice.find(text.front()) == std::string_view::npos) {
        return 0;
    }
    const char taken = text.front();
    text.remove_prefix(1);
    return taken;
}

std::optional<std::chrono::sys_days> take_date(std::string_view& text) {
    const auto year = take_number(text, 4);
    const bool first = take(text, "-");
    const auto month = take_number(text, 2);
    const bool second = take(text, "-");
    const auto day = take_number(text, 2);
    if (!year || !first || !month || !second || !day) {
        return std::nullopt;
    }
    const auto date = std::chrono::year(*year) / *month / *day;
    if (!date.ok()) {
        return std::nullopt;
    }
    return std::chrono::sys_days(date);
}

// The digits after the point; beyond the sixth they are dropped.
std::optional<std::chrono::microseconds> take_fraction(std::string_view& text) {
    const std::size_t digits = std::min(text.find_first_not_of("0123456789"), text.size());
    if (digits == 0) {
        return std::nullopt;
    }
    std::string six(text.substr(0, std::min<std::size_t>(digits, 6)));
    six.resize(6, '0');
    text.remove_prefix(digits);
    std::string_view rest = six;
    return std::chrono::microseconds(*take_number(rest, 6));
}

// "Z" or "+05:30", the latter as the distance from UTC.
std::optional<std::chrono::minutes> take_offset(std::string_view& text) {
    if (take(text, "Zz")) {
        return std::chrono::minutes(0);
    }
    const char sign = take(text, "+-");
    const auto hours = take_number(text, 2);
    const bool colon = take(text, ":");
    const auto minutes = take_number(text, 2);
    if (!sign || !hours || !colon || !minutes || *hours > 23 || *minutes > 59) {
        return std::nullopt;
    }
    const std::chrono::minutes distance =
        std::chrono::hours(*hours) + std::chrono::minutes(*minutes);
    return sign == '-' ? -distance : distance;
}

// Appends a number with at least `count` digits. A list of databases has five times each, for which
// printf took a third of its encoding.
void append_number(std::string& text, std::int64_t number, std::size_t count) {
    std::array<char, 20> digits;
    char* const end = std::to_chars(digits.begin(), digits.end(), number).ptr;
    const auto size = static_cast<std::size_t>(end - digits.data());
    text.append(count - std::min(count, size), '0').append(digits.data(), size);
}

void append_date(std::string& text, std::chrono::sys_days day) {
    const std::chrono::year_month_day date(day);
    append_number(text, static_cast<int>(date.year()), 4);
    append_number(text.append("-"), static_cast<unsigned>(date.month()), 2);
    append_number(text.append("-"), static_cast<unsigned>(date.day()), 2);
}

}  // namespace

std::string encode_time(instant value) {
    const auto day = std::chrono::floor<std::chrono::days>(value);
    const std::chrono::hh_mm_ss time(value - day);
    std::string text;
    text.reserve(32);
    append_date(text, day);
    append_number(text.append("T"), time.hours().count(), 2);
    append_number(text.append(":"), time.minutes().count(), 2);
    append_number(text.append(":"), time.seconds().count(), 2);
    append_number(text.append("."), time.subseconds().count(), 6);
    return text.append("+00:00");
}

std::string encode_date(instant value) {
    std::string text;
    append_date(text, std::chrono::floor<std::chrono::days>(value));
    return text;
}

std::optional<instant> decode_time(std::string_view text) {
    const auto date = take_date(text);
    const bool t = take(text, "Tt ");
    const auto hour = take_number(text, 2);
    const bool first = take(text, ":");
    const auto minute = take_number(text, 2);
    const bool second_colon = take(text, ":");
    const auto second = take_number(text, 2);
    if (!date || !t || !hour || !first || !minute || !second_colon || !second || *hour > 23 ||
        *minute > 59 || *second > 60) {  // 60 is a leap second
        return std::nullopt;
    }
    std::chrono::microseconds fraction(0);
    if (take(text, ".")) {
        const auto digits = take_fraction(text);
        if (!digits) {
            return std::nullopt;
        }
        fraction = *digits;
    }
    const auto offset = take_offset(text);
    if (!offset || !text.empty()) {
        return std::nullopt;
    }
    const instant value(*date + std::chrono::hours(*hour) + std::chrono::minutes(*minute) +
                        std::chrono::seconds(*second) + fraction - *offset);
    // In UTC it may be in a year that has no four digits, and could not be written again.
    const std::chrono::year_month_day day(std::chrono::floor<std::chrono::days>(value));
    if (day.year() < std::chrono::year(0) || day.year() > std::chrono::year(9999)) {
        return std::nullopt;
    }
    return value;
}

std::optional<std::chrono::sys_days> decode_date(std::string_view text) {
    const auto date = take_date(text);
    return text.empty() ? date : std::nullopt;
}

}  // namespace bitdotio::api
