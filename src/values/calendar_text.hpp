// Reads the calendar's types from the text of PostgreSQL's ISO date style.
#pragma once

#include <bitdotio/calendar.hpp>

#include <cstdint>
#include <optional>
#include <string_view>

namespace bitdotio::wire {

inline constexpr std::int64_t microseconds_a_day = 86'400'000'000;

// Nothing for another style. An instant is in microseconds since 1970, with its zone applied.
std::optional<std::int64_t> parse_instant(std::string_view text, bool with_zone);
std::optional<date> parse_date(std::string_view text);
std::optional<time_of_day> parse_time(std::string_view text);
std::optional<timetz> parse_timetz(std::string_view text);
std::optional<interval> parse_interval(std::string_view text);

}  // namespace bitdotio::wire
