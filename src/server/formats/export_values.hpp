// Converts PostgreSQL's text forms to the numbers that files hold.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace bitdotio {

struct civil_date {
    std::int64_t year = 0;  ///< astronomical: 0 is 1 BC
    int month = 0;
    int day = 0;
};

struct civil_time {
    civil_date date;
    std::int64_t microseconds = 0;  ///< since midnight
};

/// Reads a date in the ISO style, "2024-05-06" or "0044-03-15 BC"; nothing for infinity.
std::optional<civil_date> read_date(std::string_view text);
/// Reads a timestamp with or without a zone, which must be UTC; nothing for infinity.
std::optional<civil_time> read_timestamp(std::string_view text);

/// Days since 1970-01-01.
std::int64_t days_since_1970(const civil_date& date) noexcept;

}  // namespace bitdotio
