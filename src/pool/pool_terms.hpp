// What a pool is set to, what its callers ask of it, and what it is told to do.
#pragma once

#include <bitdotio/observer.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

namespace bitdotio {

/// Why a waiter got nothing.
enum class refusal { timed_out, waking, busy, fatal, broken, closed, queue_full };

/// The words in which pool_state is spoken to.
///
/// Thread safety: values.
struct pool_terms {
    using time_point = std::chrono::steady_clock::time_point;
    using duration = std::chrono::milliseconds;
    /// Each ticket is greater than the one before.
    using ticket = std::uint64_t;

    struct settings {
        std::size_t min_size = 0;
        std::size_t max_size = 100;
        std::size_t max_waiters = 0;  // 0: no limit
        std::size_t max_connecting = 4;
        duration idle_timeout{290'000};
        duration max_lifetime{1'800'000};
        double lifetime_jitter = 0.1;
        duration probe_after{30'000};  // 0: never
        duration wake_timeout{60'000};
        duration breaker_after{60'000};  // 0: never
    };

    /// What a caller says beyond how long it may take here.
    struct wish {
        wish() = default;
        /// Its own deadline, which nothing extends.
        time_point until = time_point::max();
        /// It has just seen a resource die: one that was opened before will not do.
        time_point newer_than = time_point::min();
        /// It was served before and goes on: it is let in although no new callers are.
        bool goes_on = false;
    };

    struct refused {
        refused(ticket who_, refusal why_) : who(who_), why(why_) {}
        refused(ticket who_, refusal why_, duration waited_, std::size_t place_, bool by_caller_)
            : who(who_), why(why_), waited(waited_), place(place_), by_caller(by_caller_) {}
        ticket who;
        refusal why;
        duration waited{0};
        std::size_t place = 0;   ///< in the queue, from 1; 0 if it was not let in
        bool by_caller = false;  ///< it was its own deadline that passed
    };
};

/// What to do now with the `Resource`s of a pool.
template <class Resource>
struct pool_orders {
    std::vector<std::pair<pool_terms::ticket, Resource>> lend;
    std::vector<pool_terms::refused> refuse;
    std::vector<Resource> probe;
    std::vector<std::pair<Resource, close_reason>> close;
    std::size_t dials = 0;
    std::optional<pool_terms::time_point> next;  ///< when to decide again if nothing happens
};

}  // namespace bitdotio
