// Paces retries and the probes of a waking database: the next delay, or no further try.
#pragma once

#include <bitdotio/retry_options.hpp>

#include "base/saturated.hpp"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <optional>

namespace bitdotio {

/// How long to wait before probing a sleeping database again.
///
/// Short at first, because most wake within a quarter of a second; then about every half second,
/// longer after 10 s and after a minute, because whatever is wrong will take longer.
///
/// Parameters: `failed` is how many probes have failed, at least 1; `waited` the time since the
///     first; `jitter`, in [0, 1), spreads all but the first four delays from half to one and a
///     half.
inline std::chrono::milliseconds wake_delay(std::size_t failed, std::chrono::milliseconds waited,
                                            double jitter) {
    using namespace std::chrono_literals;
    constexpr std::chrono::milliseconds first[] = {50ms, 100ms, 200ms, 400ms};
    if (failed <= std::size(first)) {
        return first[failed - 1];
    }
    const auto middle = waited >= 60s ? 5'000ms : waited >= 10s ? 2'000ms : 500ms;
    return std::chrono::milliseconds(
        static_cast<std::int64_t>(static_cast<double>(middle.count()) * (0.5 + jitter)));
}

/// The delay for a server that is up and has no connection left: from 200 ms, doubling to 2 s.
inline std::chrono::milliseconds busy_delay(std::size_t failed, double jitter) {
    const auto middle =
        std::min<std::int64_t>(2'000, std::int64_t{200} << std::min<std::size_t>(failed - 1, 8));
    return std::chrono::milliseconds(
        static_cast<std::int64_t>(static_cast<double>(middle) * (0.5 + jitter)));
}

/// How long to wait before a call of the HTTP API is tried again; nothing after the last try.
///
/// Parameters: `failed` is how many tries have failed, at least 1; `retry_after` what the server
///     asked for, which is obeyed even beyond max_delay; `jitter`, in [0, 1), shortens the delay
///     to between nothing and all of it, so that many clients spread out.
inline std::optional<std::chrono::milliseconds> retry_delay(
    const retry_options& options, int failed, std::optional<std::chrono::seconds> retry_after,
    double jitter) {
    if (failed >= options.max_attempts) {
        return std::nullopt;
    }
    if (retry_after) {
        return std::min(*retry_after, std::chrono::floor<std::chrono::seconds>(longest_time));
    }
    const auto highest = capped(options.max_delay);
    auto most = std::min(options.first_delay, highest);
    for (int doubled = 1; doubled < failed && most < highest; ++doubled) {
        most = std::min(most * 2, highest);
    }
    return std::chrono::milliseconds(
        static_cast<std::int64_t>(static_cast<double>(most.count()) * (1 - jitter)));
}

}  // namespace bitdotio
