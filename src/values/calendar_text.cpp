// The calendar's types to text, and from the text of PostgreSQL's ISO date style.
#include "values/calendar_text.hpp"

#include "values/wire_reader.hpp"

#include <algorithm>
#include <limits>
#include <ostream>

namespace bitdotio {

namespace {

using namespace std::chrono;
using wire::microseconds_a_day;
using wire::text_reader;

using limits64 = std::numeric_limits<std::int64_t>;

// ---- to text

void put_padded(std::string& out, std::uint64_t value, std::size_t width) {
    const std::string digits = std::to_string(value);
    out.append(width - std::min(width, digits.size()), '0');
    out += digits;
}

// Returns whether the year is before Christ, which is written at the very end.
bool put_day(std::string& out, std::int64_t since_1970) {
    // std::chrono::year ends at 32767, PostgreSQL at 5874897: shift by whole 400-year cycles.
    constexpr std::int64_t cycle = 146'097;
    const std::int64_t cycles = since_1970 / cycle;
    const year_month_day ymd(sys_days(days(since_1970 - cycles * cycle)));
    const std::int64_t y = static_cast<int>(ymd.year()) + cycles * 400;
    put_padded(out, static_cast<std::uint64_t>(y > 0 ? y : 1 - y), 4);
    out += '-';
    put_padded(out, static_cast<unsigned>(ymd.month()), 2);
    out += '-';
    put_padded(out, static_cast<unsigned>(ymd.day()), 2);
    return y <= 0;
}

void put_clock(std::string& out, std::uint64_t value) {
    put_padded(out, value / 3'600'000'000, 2);
    out += ':';
    put_padded(out, value / 60'000'000 % 60, 2);
    out += ':';
    put_padded(out, value / 1'000'000 % 60, 2);
    if (value % 1'000'000 != 0) {
        out += '.';
        put_padded(out, value % 1'000'000, 6);
        out.erase(out.find_last_not_of('0') + 1);
    }
}

void put_offset(std::string& out, seconds value) {
    const auto count = static_cast<std::uint64_t>(value.count());
    const std::uint64_t size = value < 0s ? 0 - count : count;
    out += value < 0s ? '-' : '+';
    put_padded(out, size / 3600, 2);
    if (size % 3600 != 0) {
        out += ':';
        put_padded(out, size / 60 % 60, 2);
    }
    if (size % 60 != 0) {
        out += ':';
        put_padded(out, size % 60, 2);
    }
}

std::string instant_text(std::int64_t since_1970, std::string_view zone) {
    if (since_1970 == limits64::max()) return "infinity";
    if (since_1970 == limits64::min()) return "-infinity";
    std::int64_t day = since_1970 / wire::microseconds_a_day;
    std::int64_t clock = since_1970 % wire::microseconds_a_day;
    if (clock < 0) {
        clock += wire::microseconds_a_day;
        --day;
    }
    std::string out;
    const bool before_christ = put_day(out, day);
    out += ' ';
    put_clock(out, static_cast<std::uint64_t>(clock));
    out += zone;
    out += before_christ ? " BC" : "";
    return out;
}

// ---- from text

struct day_of_text {
    int y = 0, mo = 0, d = 0;
};

bool take_day(text_reader& in, day_of_text& day) {
    return in.number(day.y) && in.accept("-") && in.number(day.mo) && in.accept("-") &&
           in.number(day.d);
}

std::optional<std::int64_t> days_since_1970(day_of_text value, bool before_christ) {
    // std::chrono keeps a month or a day in one octet: 257 would be 1.
    if (value.mo > 12 || value.d > 31) {
        return std::nullopt;
    }
    const int y = before_christ ? 1 - value.y : value.y;
    const int cycles = y / 400;
    const auto date = year(y - cycles * 400) / month(static_cast<unsigned>(value.mo)) /
                      day(static_cast<unsigned>(value.d));
    if (!date.ok()) {
        return std::nullopt;
    }
    return sys_days(date).time_since_epoch().count() + std::int64_t{cycles} * 146'097;
}

// "07:08:09.123456"; `h` is the hours, already taken. The hours of an interval may be many: false
// if they are more than an interval holds, in either direction.
bool take_clock_after_hours(text_reader& in, std::uint64_t h, std::uint64_t& value) {
    constexpr std::uint64_t most = std::uint64_t{1} << 63;  // microseconds before, one less after
    std::uint16_t mi = 0, s = 0;
    int fraction = 0;
    if (h > most / 3'600'000'000 || !in.accept(":") || !in.number(mi) || mi > 59 ||
        !in.accept(":") || !in.number(s) || s > 60) {
        return false;
    }
    if (in.accept(".")) {
        if (!in.number(fraction) || in.digits() > 6) {
            return false;
        }
        for (int i = in.digits(); i < 6; ++i) {
            fraction *= 10;
        }
    }
    value = h * 3'600'000'000 + static_cast<std::uint64_t>(mi * 60 + s) * 1'000'000 +
            static_cast<std::uint64_t>(fraction);
    return value <= most;
}

// The clock of a day: from 00:00 up to and including 24:00.
bool take_clock(text_reader& in, std::uint64_t& value) {
    std::uint16_t h = 0;
    return in.number(h) && take_clock_after_hours(in, h, value) &&
           value <= static_cast<std::uint64_t>(microseconds_a_day);
}

bool take_offset(text_reader& in, seconds& value) {
    constexpr int most_hours = 167;  // of a zone in POSIX form; PostgreSQL has none further
    const bool west = in.accept("-");
    std::uint16_t h = 0, mi = 0, s = 0;
    if ((!west && !in.accept("+")) || !in.number(h) || (in.accept(":") && !in.number(mi)) ||
        (in.accept(":") && !in.number(s)) || h > most_hours || mi > 59 || s > 59) {
        return false;
    }
    value = hours(h) + minutes(mi) + seconds(s);
    value = west ? -value : value;
    return true;
}

}  // namespace

std::string to_string(date value) {
    if (value == date::max()) return "infinity";
    if (value == date::min()) return "-infinity";
    std::string out;
    out += put_day(out, value.time_since_epoch().count()) ? " BC" : "";
    return out;
}

std::string to_string(timestamp value) {
    return instant_text(value.time_since_epoch().count(), "");
}

std::string to_string(timestamptz value) {
    return instant_text(value.time_since_epoch().count(), "+00");
}

std::string to_string(time_of_day value) {
    std::string out;
    put_clock(out, static_cast<std::uint64_t>(value.since_midnight.count()));
    return out;
}

std::string to_string(const timetz& value) {
    std::string out = to_string(value.time);
    put_offset(out, value.utc_offset);
    return out;
}

std::string to_string(const interval& value) {
    if (value == interval::infinity()) return "infinity";
    if (value == interval::negative_infinity()) return "-infinity";
    // A sign for each part: without it, the server's IntervalStyle decides how far the first sign
    // reaches.
    const auto part = [](std::int32_t number, std::string_view unit) {
        return (number < 0 ? "" : "+") + std::to_string(number).append(unit);
    };
    std::string out = part(value.months, " mons ") + part(value.days, " days ");
    const std::int64_t count = value.time.count();
    out += count < 0 ? '-' : '+';
    put_clock(
        out, count < 0 ? 0 - static_cast<std::uint64_t>(count) : static_cast<std::uint64_t>(count));
    return out;
}

std::ostream& operator<<(std::ostream& out, time_of_day value) {
    return out << to_string(value);
}
std::ostream& operator<<(std::ostream& out, const timetz& value) {
    return out << to_string(value);
}
std::ostream& operator<<(std::ostream& out, const interval& value) {
    return out << to_string(value);
}

namespace wire {

void put_text(std::string& out, timestamptz value) {
    out += to_string(value);
}

void put_text(std::string& out, timestamp value) {
    out += to_string(value);
}

// Reads "2024-05-06 07:08:09.123456+05:30 BC" as microseconds since 1970, zone applied.
std::optional<std::int64_t> parse_instant(std::string_view text, bool with_zone) {
    if (text == "infinity") return limits64::max();
    if (text == "-infinity") return limits64::min();
    text_reader in(text);
    day_of_text day;
    std::uint64_t clock = 0;
    seconds offset{0};
    if (!take_day(in, day) || !in.accept(" ") || !take_clock(in, clock) ||
        (with_zone && !take_offset(in, offset))) {
        return std::nullopt;
    }
    const auto day_count = days_since_1970(day, in.accept(" BC"));
    if (!in.at_end() || !day_count) {
        return std::nullopt;
    }
    const std::int64_t part = static_cast<std::int64_t>(clock) - microseconds(offset).count();
    std::int64_t value = 0;
    if (__builtin_mul_overflow(*day_count, microseconds_a_day, &value) ||
        __builtin_add_overflow(value, part, &value) || value == limits64::max() ||
        value == limits64::min()) {  // these are the infinities
        return std::nullopt;
    }
    return value;
}

// Reads "1 year -2 mons +3 days -04:05:06.7".
std::optional<interval> parse_interval(std::string_view text) {
    if (text == "infinity") return interval::infinity();
    if (text == "-infinity") return interval::negative_infinity();
    text_reader in(text);
    std::int64_t months = 0, day_count = 0;
    interval value;
    do {
        const bool negative = in.minus();
        std::int64_t number = 0;
        if (!in.number(number) || number > std::int64_t{1} << 40) {
            return std::nullopt;
        }
        const std::int64_t number_signed = negative ? -number : number;
        if (in.accept(" year")) {
            months += number_signed * 12;
        } else if (in.accept(" mon")) {
            months += number_signed;
        } else if (in.accept(" day")) {
            day_count += number_signed;
        } else {
            std::uint64_t clock = 0;
            if (!take_clock_after_hours(in, static_cast<std::uint64_t>(number), clock) ||
                !in.at_end() || (!negative && !std::in_range<std::int64_t>(clock))) {
                return std::nullopt;
            }
            value.time = microseconds(static_cast<std::int64_t>(negative ? 0 - clock : clock));
        }
        // After each part: a text of many parts must not overflow the sums either.
        if (!std::in_range<std::int32_t>(months) || !std::in_range<std::int32_t>(day_count)) {
            return std::nullopt;
        }
        in.accept("s");
    } while (in.accept(" "));
    if (!in.at_end()) {
        return std::nullopt;
    }
    value.months = static_cast<std::int32_t>(months);
    value.days = static_cast<std::int32_t>(day_count);
    return value;
}

std::optional<date> parse_date(std::string_view text) {
    if (text == "infinity") return date::max();
    if (text == "-infinity") return date::min();
    text_reader in(text);
    day_of_text day;
    if (!take_day(in, day)) {
        return std::nullopt;
    }
    const auto count = days_since_1970(day, in.accept(" BC"));
    if (!count || !in.at_end()) {
        return std::nullopt;
    }
    return date(days(*count));
}

std::optional<time_of_day> parse_time(std::string_view text) {
    text_reader in(text);
    std::uint64_t clock = 0;
    if (!take_clock(in, clock) || !in.at_end()) {
        return std::nullopt;
    }
    return time_of_day{microseconds(static_cast<std::int64_t>(clock))};
}

std::optional<timetz> parse_timetz(std::string_view text) {
    text_reader in(text);
    std::uint64_t clock = 0;
    seconds offset{0};
    if (!take_clock(in, clock) || !take_offset(in, offset) || !in.at_end()) {
        return std::nullopt;
    }
    return timetz{{microseconds(static_cast<std::int64_t>(clock))}, offset};
}

}  // namespace wire

}  // namespace bitdotio
