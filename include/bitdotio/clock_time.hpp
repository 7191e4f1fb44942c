// Points in time of any clock's unit, such as system_clock::now(), as timestamps.
#pragma once

#include <bitdotio/error.hpp>
#include <bitdotio/field.hpp>
#include <bitdotio/to_sql.hpp>
#include <bitdotio/types.hpp>

#include <chrono>
#include <concepts>
#include <cstdint>
#include <ratio>
#include <string>
#include <type_traits>

namespace bitdotio {

namespace wire {

// The library's two kinds of points in time; a time of another unit than theirs is one of them too.
template <class T>
inline constexpr bool is_clock_time = false;
template <class Clock, std::integral Rep, class Period>
    requires((std::is_same_v<Clock, std::chrono::system_clock> ||
              std::is_same_v<Clock, std::chrono::local_t>)&&!std::
                 is_same_v<std::chrono::duration<Rep, Period>, std::chrono::microseconds> &&
             std::ratio_less_v<Period, std::chrono::days::period>)
inline constexpr bool
    is_clock_time<std::chrono::time_point<Clock, std::chrono::duration<Rep, Period>>> = true;
template <class T>
using in_microseconds = std::chrono::time_point<typename T::clock, std::chrono::microseconds>;

error out_of_time();
// As PostgreSQL rounds what it reads; the ends of the range are its infinities.
template <class T>
in_microseconds<T> rounded(T value) {
    using microseconds = std::chrono::microseconds;
    using period = typename T::period;
    if (value == T::max()) return in_microseconds<T>::max();
    if (value == T::min()) return in_microseconds<T>::min();
    if constexpr (std::ratio_less_v<period, std::micro>) {
        return std::chrono::round<microseconds>(value);
    } else {
        constexpr std::int64_t unit = std::ratio_divide<period, std::micro>::num;
        std::int64_t count = 0;
        if (__builtin_mul_overflow(value.time_since_epoch().count(), unit, &count)) {
            throw out_of_time();
        }
        return in_microseconds<T>(microseconds(count));
    }
}

}  // namespace wire

/// std::chrono::system_clock::now() and its like bind as timestamptz, and a local_time as
/// timestamp, rounded to the microseconds that PostgreSQL keeps.
template <class T>
    requires wire::is_clock_time<T>
struct to_sql<T> {
    using kept = to_sql<wire::in_microseconds<T>>;
    static constexpr oid type = kept::type;
    static constexpr bool binary = true;
    static void write(T value, std::string& out) { kept::write(wire::rounded(value), out); }
    static void write_text(T value, std::string& out) {
        kept::write_text(wire::rounded(value), out);
    }
};

/// They read from the same types if no part of a unit is lost.
///
/// Errors: errc::wrong_type if it would be, or if the value is out of the range of T.
template <class T>
    requires wire::is_clock_time<T>
struct from_sql<T> {
    static T read(const field_view& field) {
        using kept = wire::in_microseconds<T>;
        using unit = typename T::duration;
        const kept value = from_sql<kept>::read(field);
        if (value == kept::max()) return T::max();
        if (value == kept::min()) return T::min();
        if constexpr (std::ratio_less_v<typename T::period, std::micro>) {
            if (value > std::chrono::floor<std::chrono::microseconds>(T::max()) ||
                value < std::chrono::ceil<std::chrono::microseconds>(T::min())) {
                throw field.mismatch(wire::cpp_name<T>(), "the value is out of its range");
            }
            return value;
        } else {
            const auto whole = std::chrono::floor<unit>(value);
            if (whole != value) {
                throw field.mismatch(wire::cpp_name<T>(), "a part of a unit would be lost");
            }
            return whole;
        }
    }
};

}  // namespace bitdotio
