// Dates, times of day and intervals, bound and read.
//
// Points in time (timestamp, timestamptz) are everyday types: see types.hpp.
#pragma once

#include <bitdotio/field.hpp>
#include <bitdotio/to_sql.hpp>

#include <chrono>
#include <compare>
#include <concepts>
#include <cstdint>
#include <iosfwd>
#include <limits>
#include <ratio>
#include <string>
#include <string_view>
#include <utility>

namespace bitdotio {

/// The value of a date. PostgreSQL's infinities are the ends of the range, date::min() and max().
using date = std::chrono::local_days;

/// The value of a time: from 00:00 up to and including 24:00.
///
/// Thread safety: a value.
struct time_of_day {
    std::chrono::microseconds since_midnight{};

    friend auto operator<=>(const time_of_day&, const time_of_day&) = default;
};

/// The value of a timetz: a time of day, and how far its zone is ahead of UTC (east is positive).
///
/// Thread safety: a value.
/// See: PostgreSQL manual, 8.5.1.2 "Times", which advises against the type.
struct timetz {
    time_of_day time;
    std::chrono::seconds utc_offset{};

    friend bool operator==(const timetz&, const timetz&) = default;
};

/// The value of an interval. Its three parts are separate because months and days vary in length: a
/// month added to a date is not 30 days, a day across a change of the clock is not 24 hours. So two
/// intervals are equal if their parts are, which is stricter than the server's `=`.
///
/// A std::chrono::duration of microseconds or coarser binds as an interval too, and reads from one
/// without months and days.
///
/// Thread safety: a value.
struct interval {
    std::int32_t months = 0;
    std::int32_t days = 0;
    std::chrono::microseconds time{};

    /// PostgreSQL 17 and later.
    static constexpr interval infinity() {
        return {std::numeric_limits<std::int32_t>::max(), std::numeric_limits<std::int32_t>::max(),
                std::chrono::microseconds::max()};
    }
    static constexpr interval negative_infinity() {
        return {std::numeric_limits<std::int32_t>::min(), std::numeric_limits<std::int32_t>::min(),
                std::chrono::microseconds::min()};
    }

    friend bool operator==(const interval&, const interval&) = default;
};

/// As PostgreSQL reads them: "2024-02-29", "2024-02-29 12:00:00.5+00", "0044-03-15 BC", "24:00:00",
/// "+14 mons -1 days +02:03:04", "infinity".
std::string to_string(date value);
std::string to_string(timestamp value);
std::string to_string(timestamptz value);
std::string to_string(time_of_day value);
std::string to_string(const timetz& value);
std::string to_string(const interval& value);
std::ostream& operator<<(std::ostream& out, time_of_day value);
std::ostream& operator<<(std::ostream& out, const timetz& value);
std::ostream& operator<<(std::ostream& out, const interval& value);

// Defined in calendar.cpp.
namespace wire {
date read_date(const field_view& field);
time_of_day read_time(const field_view& field);
timetz read_timetz(const field_view& field);
interval read_interval(const field_view& field);
// The microseconds of an interval without months and days, counted in units of `unit` microseconds.
std::int64_t read_duration(const field_view& field, std::int64_t unit, std::string_view wanted);
// A count of units as microseconds, or errc::bad_input.
std::chrono::microseconds duration_of(std::int64_t count, std::int64_t unit);
void write(std::string& out, date value);
void write(std::string& out, time_of_day value);
void write(std::string& out, const timetz& value);
void write(std::string& out, const interval& value);
}  // namespace wire

template <>
struct to_sql<date> {
    static constexpr oid type = oids::date;
    static constexpr bool binary = true;
    static void write(date value, std::string& out) { wire::write(out, value); }
    static void write_text(date value, std::string& out) { out += to_string(value); }
};
template <>
struct from_sql<date> {
    static date read(const field_view& field) { return wire::read_date(field); }
};

template <>
struct to_sql<time_of_day> {
    static constexpr oid type = oids::time;
    static constexpr bool binary = true;
    static void write(time_of_day value, std::string& out) { wire::write(out, value); }
    static void write_text(time_of_day value, std::string& out) { out += to_string(value); }
};
template <>
struct from_sql<time_of_day> {
    static time_of_day read(const field_view& field) { return wire::read_time(field); }
};

template <>
struct to_sql<timetz> {
    static constexpr oid type = oids::timetz;
    static constexpr bool binary = true;
    static void write(const timetz& value, std::string& out) { wire::write(out, value); }
    static void write_text(const timetz& value, std::string& out) { out += to_string(value); }
};
template <>
struct from_sql<timetz> {
    static timetz read(const field_view& field) { return wire::read_timetz(field); }
};

template <>
struct to_sql<interval> {
    static constexpr oid type = oids::interval;
    static constexpr bool binary = true;
    static void write(const interval& value, std::string& out) { wire::write(out, value); }
    static void write_text(const interval& value, std::string& out) { out += to_string(value); }
};
template <>
struct from_sql<interval> {
    static interval read(const field_view& field) { return wire::read_interval(field); }
};

template <std::integral Rep, class Period>
    requires std::ratio_less_equal_v<std::micro, Period> &&
        (std::ratio_divide<Period, std::micro>::den ==
         1) struct to_sql<std::chrono::duration<Rep, Period>> {
        using duration = std::chrono::duration<Rep, Period>;
        static constexpr std::int64_t unit = std::ratio_divide<Period, std::micro>::num;
        static constexpr oid type = oids::interval;
        static constexpr bool binary = true;
        static void write(duration value, std::string& out) {
            wire::write(out, interval{0, 0, wire::duration_of(value.count(), unit)});
        }
        static void write_text(duration value, std::string& out) {
            out += to_string(interval{0, 0, wire::duration_of(value.count(), unit)});
        }
    };
    template <std::integral Rep, class Period>
        requires std::ratio_less_equal_v<std::micro, Period> &&
            (std::ratio_divide<Period, std::micro>::den ==
             1) struct from_sql<std::chrono::duration<Rep, Period>> {
            using duration = std::chrono::duration<Rep, Period>;
            static duration read(const field_view& field) {
                constexpr std::string_view wanted = wire::cpp_name<duration>();
                const std::int64_t count =
                    wire::read_duration(field, to_sql<duration>::unit, wanted);
                if (!std::in_range<Rep>(count)) {
                    throw field.mismatch(wanted, "the value is out of its range");
                }
                return duration(static_cast<Rep>(count));
            }
        };

}  // namespace bitdotio
