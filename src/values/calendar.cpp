// The calendar's types to and from binary.
#include <bitdotio/calendar.hpp>

#include "values/calendar_text.hpp"
#include "values/wire_reader.hpp"

#include <limits>
#include <optional>

namespace bitdotio {

namespace {

using namespace std::chrono;

constexpr std::int64_t days_to_2000 = 10'957;
constexpr std::int64_t microseconds_to_2000 = days_to_2000 * wire::microseconds_a_day;

using limits32 = std::numeric_limits<std::int32_t>;
using limits64 = std::numeric_limits<std::int64_t>;

template <class T>
T in_iso_style(const std::optional<T>& value, const field_view& field, std::string_view wanted) {
    if (!value) {
        throw field.mismatch(wanted, "its text is not in PostgreSQL's ISO date style");
    }
    return *value;
}

std::int64_t read_instant(const field_view& field, oid type, std::string_view wanted) {
    wire::require_type(field, type, wanted);
    if (!field.is_binary()) {
        return in_iso_style(wire::parse_instant(field.data(), type == oids::timestamptz), field,
                            wanted);
    }
    const auto value = static_cast<std::int64_t>(wire::fixed<std::uint64_t>(field, wanted));
    if (value == limits64::max() || value == limits64::min()) {
        return value;
    }
    std::int64_t shifted = 0;
    if (__builtin_add_overflow(value, microseconds_to_2000, &shifted) ||
        shifted == limits64::max()) {  // which is infinity
        throw field.mismatch(wanted, "the value is past its range");
    }
    return shifted;
}

time_of_day checked(std::uint64_t since_midnight, const field_view& field,
                    std::string_view wanted) {
    if (since_midnight > static_cast<std::uint64_t>(wire::microseconds_a_day)) {
        throw field.mismatch(wanted, "the value is past its range");
    }
    return {microseconds(static_cast<std::int64_t>(since_midnight))};
}

}  // namespace

namespace wire {

void write(std::string& out, date value) {
    std::int64_t days_since_2000 = 0;
    if (value == date::max()) {
        days_since_2000 = limits32::max();
    } else if (value == date::min()) {
        days_since_2000 = limits32::min();
    } else {
        const std::int64_t since_1970 = value.time_since_epoch().count();
        if (since_1970 <= limits32::min() + days_to_2000 || since_1970 >= limits32::max()) {
            throw error(errc::bad_input, "cannot bind a date outside the range of PostgreSQL's");
        }
        days_since_2000 = since_1970 - days_to_2000;
    }
    put(out, static_cast<std::uint32_t>(days_since_2000));
}

void write(std::string& out, time_of_day value) {
    if (value.since_midnight < 0us || value.since_midnight > 24h) {
        throw error(errc::bad_input, "cannot bind a time of day outside 00:00 to 24:00");
    }
    put(out, static_cast<std::uint64_t>(value.since_midnight.count()));
}

void write(std::string& out, const timetz& value) {
    write(out, value.time);
    if (value.utc_offset < -16h || value.utc_offset > 16h) {
        throw error(errc::bad_input, "cannot bind a timetz more than 16 hours from UTC");
    }
    put(out, static_cast<std::uint32_t>(-value.utc_offset.count()));  // there, west is positive
}

void write(std::string& out, const interval& value) {
    put(out, static_cast<std::uint64_t>(value.time.count()));
    put(out, static_cast<std::uint32_t>(value.days));
    put(out, static_cast<std::uint32_t>(value.months));
}

std::chrono::microseconds duration_of(std::int64_t count, std::int64_t unit) {
    std::int64_t value = 0;
    if (__builtin_mul_overflow(count, unit, &value)) {
        throw error(errc::bad_input, "cannot bind a duration past the range of interval");
    }
    return microseconds(value);
}

timestamptz read_timestamptz(const field_view& field) {
    return timestamptz(
        microseconds(read_instant(field, oids::timestamptz, "bitdotio::timestamptz")));
}

timestamp read_timestamp(const field_view& field) {
    return timestamp(microseconds(read_instant(field, oids::timestamp, "bitdotio::timestamp")));
}

date read_date(const field_view& field) {
    constexpr std::string_view wanted = "bitdotio::date";
    require_type(field, oids::date, wanted);
    if (field.is_binary()) {
        const auto value = static_cast<std::int32_t>(fixed<std::uint32_t>(field, wanted));
        if (value == limits32::max()) return date::max();
        if (value == limits32::min()) return date::min();
        return date(days(value + days_to_2000));
    }
    return in_iso_style(parse_date(field.data()), field, wanted);
}

time_of_day read_time(const field_view& field) {
    constexpr std::string_view wanted = "bitdotio::time_of_day";
    require_type(field, oids::time, wanted);
    if (!field.is_binary()) {
        return in_iso_style(parse_time(field.data()), field, wanted);
    }
    return checked(fixed<std::uint64_t>(field, wanted), field, wanted);
}

timetz read_timetz(const field_view& field) {
    constexpr std::string_view wanted = "bitdotio::timetz";
    require_type(field, oids::timetz, wanted);
    if (!field.is_binary()) {
        return in_iso_style(parse_timetz(field.data()), field, wanted);
    }
    octet_reader in(field, wanted);
    timetz value;
    value.time = checked(in.take<std::uint64_t>(), field, wanted);
    value.utc_offset = -seconds(in.take_int());
    in.require_end();
    return value;
}

interval read_interval(const field_view& field) {
    constexpr std::string_view wanted = "bitdotio::interval";
    require_type(field, oids::interval, wanted);
    if (!field.is_binary()) {
        const auto value = parse_interval(field.data());
        if (!value) {
            throw field.mismatch(wanted,
                                 "its text is not in IntervalStyle postgres, the server's default");
        }
        return *value;
    }
    octet_reader in(field, wanted);
    interval value;
    value.time = microseconds(static_cast<std::int64_t>(in.take<std::uint64_t>()));
    value.days = in.take_int();
    value.months = in.take_int();
    in.require_end();
    return value;
}

std::int64_t read_duration(const field_view& field, std::int64_t unit, std::string_view wanted) {
    require_type(field, oids::interval, wanted);
    const interval value = read_interval(field);
    if (value.months != 0 || value.days != 0) {
        throw field.mismatch(wanted,
                             "the value has months or days, whose length varies; read it as a "
                             "bitdotio::interval");
    }
    if (value.time.count() % unit != 0) {
        throw field.mismatch(wanted, "the value is finer than that");
    }
    return value.time.count() / unit;
}

}  // namespace wire

}  // namespace bitdotio
