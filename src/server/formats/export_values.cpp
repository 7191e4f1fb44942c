// Reads dates and times digit by digit.
#include "server/formats/export_values.hpp"
#include "server/formats/text_pieces.hpp"

#include <charconv>

namespace bitdotio {

namespace {

std::optional<std::int64_t> take_number(std::string_view& text) {
    std::int64_t value = 0;
    const auto read = std::from_chars(text.data(), text.data() + text.size(), value);
    if (read.ec != std::errc() || read.ptr == text.data() || value < 0) return std::nullopt;
    text.remove_prefix(static_cast<std::size_t>(read.ptr - text.data()));
    return value;
}

std::optional<civil_date> take_civil_date(std::string_view& text) {
    const auto year = take_number(text);
    if (!year || !take(text, '-')) return std::nullopt;
    const auto month = take_number(text);
    if (!month || !take(text, '-')) return std::nullopt;
    const auto day = take_number(text);
    if (!day) return std::nullopt;
    return civil_date{*year, static_cast<int>(*month), static_cast<int>(*day)};
}

bool take_era(std::string_view& text) {
    if (!text.ends_with(" BC")) return false;
    text.remove_suffix(3);
    return true;
}

}  // namespace

std::optional<civil_date> read_date(std::string_view text) {
    const bool before_christ = take_era(text);
    auto date = take_civil_date(text);
    if (!date || !text.empty()) return std::nullopt;
    if (before_christ) date->year = 1 - date->year;
    return date;
}

std::optional<civil_time> read_timestamp(std::string_view text) {
    const bool before_christ = take_era(text);
    if (text.ends_with("+00")) text.remove_suffix(3);
    const auto date = take_civil_date(text);
    if (!date || !take(text, ' ')) return std::nullopt;
    const auto hour = take_number(text);
    if (!hour || !take(text, ':')) return std::nullopt;
    const auto minute = take_number(text);
    if (!minute || !take(text, ':')) return std::nullopt;
    const auto second = take_number(text);
    if (!second) return std::nullopt;
    std::int64_t fraction = 0;
    if (take(text, '.')) {
        std::int64_t unit = 100'000;
        for (; !text.empty() && text.front() >= '0' && text.front() <= '9'; unit /= 10) {
            fraction += (text.front() - '0') * unit;
            text.remove_prefix(1);
        }
    }
    if (!text.empty()) return std::nullopt;
    civil_time time;
    time.date = *date;
    if (before_christ) time.date.year = 1 - time.date.year;
    time.microseconds = ((*hour * 60 + *minute) * 60 + *second) * 1'000'000 + fraction;
    return time;
}

// Howard Hinnant's days_from_civil; std::chrono's years end at 32767, PostgreSQL's do not.
std::int64_t days_since_1970(const civil_date& date) noexcept {
    const std::int64_t year = date.year - (date.month <= 2);
    const std::int64_t era = (year >= 0 ? year : year - 399) / 400;
    const std::int64_t of_era = year - era * 400;
    const std::int64_t month = date.month + (date.month > 2 ? -3 : 9);
    const std::int64_t of_year = (153 * month + 2) / 5 + date.day - 1;
    return era * 146'097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719'468;
}

}  // namespace bitdotio
