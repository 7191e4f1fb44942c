// The one form of RFC 3339 that is written, and all those that are read.
#include "rfc3339.hpp"

#include <cstdint>
#include <cstdio>

namespace bitdotio::api {

std::string encode_time(instant value) {
    const auto day = std::chrono::floor<std::chrono::days>(value);
    const std::chrono::year_month_day date(day);
    const std::chrono::hh_mm_ss time(value - day);
    char text[64];
    std::snprintf(text, sizeof text, "%04d-%02u-%02uT%02d:%02d:%02d.%06d+00:00",
                  static_cast<int>(date.year()), static_cast<unsigned>(date.month()),
                  static_cast<unsigned>(date.day()), static_cast<int>(time.hours().count()),
                  static_cast<int>(time.minutes().count()),
                  static_cast<int>(time.seconds().count()),
                  static_cast<int>(time.subseconds().count()));
    return text;
}

std::optional<instant> decode_time(std::string_view text) {
    int y = 0, h = 0, mi = 0, s = 0, oh = 0, om = 0, used = 0;
    unsigned mo = 0, d = 0;
    const std::string copy(text);
    if (std::sscanf(copy.c_str(), "%4d-%2u-%2u%*1[Tt ]%2d:%2d:%2d%n", &y, &mo, &d, &h, &mi, &s,
                    &used) != 6 ||
        used == 0) {
        return std::nullopt;
    }
    std::string_view rest = std::string_view(copy).substr(static_cast<std::size_t>(used));
    std::int64_t micros = 0;
    if (rest.starts_with('.')) {
        std::size_t digits = 1;
        for (; digits < rest.size() && rest[digits] >= '0' && rest[digits] <= '9'; ++digits) {
            if (digits <= 6) {
                micros = micros * 10 + (rest[digits] - '0');
            }
        }
        for (std::size_t i = digits; i <= 6; ++i) {
            micros *= 10;
        }
        if (digits == 1) {
            return std::nullopt;
        }
        rest.remove_prefix(digits);
    }
    int sign = 0;
    if (rest != "Z" && rest != "z") {
        const std::string zone(rest);
        if (rest.size() != 6 || (rest[0] != '+' && rest[0] != '-') ||
            std::sscanf(zone.c_str() + 1, "%2d:%2d", &oh, &om) != 2) {
            return std::nullopt;
        }
        sign = rest[0] == '-' ? -1 : 1;
    }
    const auto date = std::chrono::year(y) / static_cast<int>(mo) / static_cast<int>(d);
    if (!date.ok() || h > 23 || mi > 59 || s > 60 || oh > 23 || om > 59) {
        return std::nullopt;
    }
    using namespace std::chrono;
    return instant(sys_days(date) + hours(h) + minutes(mi) + seconds(s) + microseconds(micros) -
                   sign * (hours(oh) + minutes(om)));
}

}  // namespace bitdotio::api
