// Times that callers give, kept from running over the ends of the clock.
#pragma once

#include <chrono>
#include <limits>

namespace bitdotio {

/// "Never", as far as a program is concerned: 100 years. Sums of some of them, and with the clock,
/// stay within what the clock can count.
inline constexpr std::chrono::milliseconds longest_time{std::chrono::hours(24 * 365 * 100)};

/// The time, or the longest there is.
constexpr std::chrono::milliseconds capped(std::chrono::milliseconds time) noexcept {
    return time > longest_time ? longest_time : time < -longest_time ? -longest_time : time;
}

/// The point that is `delay` after `start`; the end of the clock for one beyond it.
template <class Rep, class Period>
constexpr std::chrono::steady_clock::time_point later(
    std::chrono::steady_clock::time_point start,
    std::chrono::duration<Rep, Period> delay) noexcept {
    using given = std::chrono::duration<Rep, Period>;
    using time_point = std::chrono::steady_clock::time_point;
    constexpr auto most = std::chrono::duration_cast<given>(time_point::duration::max());
    if (delay >= most) return time_point::max();
    if (delay <= -most) return time_point::min();
    time_point::rep sum = 0;
    if (__builtin_add_overflow(start.time_since_epoch().count(),
                               time_point::duration(delay).count(), &sum)) {
        return delay.count() > 0 ? time_point::max() : time_point::min();
    }
    return time_point(time_point::duration(sum));
}

}  // namespace bitdotio
