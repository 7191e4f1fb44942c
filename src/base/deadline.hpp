// A point in time by which an operation must have ended.
#pragma once

#include <bitdotio/error.hpp>

#include "base/saturated.hpp"
#include "base/spawn.hpp"

#include <boost/asio/awaitable.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/experimental/parallel_group.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <algorithm>
#include <chrono>
#include <exception>
#include <tuple>
#include <type_traits>
#include <utility>

namespace bitdotio {

namespace asio = boost::asio;

using time_point = std::chrono::steady_clock::time_point;

/// No deadline.
inline constexpr time_point no_deadline = time_point::max();

/// The point in time that is `delay` from now, however long that is.
template <class Rep, class Period>
time_point from_now(std::chrono::duration<Rep, Period> delay) {
    return later(std::chrono::steady_clock::now(), delay);
}

/// The deadline that a timeout starting now means; zero means none, and so does one that ends
/// beyond the clock.
inline time_point deadline_after(std::chrono::milliseconds timeout) {
    return timeout.count() == 0 ? no_deadline : from_now(timeout);
}

/// What is left until `deadline` as a timeout: at least a millisecond, because zero means no limit;
/// zero for no deadline.
inline std::chrono::milliseconds left_until(time_point deadline) {
    if (deadline == no_deadline) {
        return std::chrono::milliseconds(0);
    }
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    return std::max(left, std::chrono::milliseconds(1));
}

// The parallel group of an operation and the timer that ends it.
template <class T>
asio::awaitable<T> before_deadline(asio::awaitable<T> operation, time_point deadline);

/// Runs `operation` until it ends or `deadline` passes; then cancels it and waits for its end.
///
/// An operation that succeeds although it was cancelled has succeeded: its value is returned.
///
/// Errors: errc::timeout if it was cancelled by the deadline and failed; what it throws otherwise.
/// Cancellation: what `operation` supports; the rest of the caller's coroutine must be prepared for
///     its own cancellation state to stay as it was.
template <class T>
asio::awaitable<T> with_deadline(asio::awaitable<T> operation, time_point deadline) {
    if (deadline == no_deadline) {
        return operation;  // no frame, no timer
    }
    return before_deadline(std::move(operation), deadline);
}

template <class T>
asio::awaitable<T> before_deadline(asio::awaitable<T> operation, time_point deadline) {
    const auto executor = co_await asio::this_coro::executor;
    asio::steady_timer timer(executor, deadline);
    auto group = asio::experimental::make_parallel_group(beside(executor, std::move(operation)),
                                                         timer.async_wait(asio::deferred));
    auto ended = co_await group.async_wait(asio::experimental::wait_for_one(), asio::use_awaitable);
    const bool expired =
        std::get<0>(ended)[0] == 1 && !std::get<std::tuple_size_v<decltype(ended)> - 1>(ended);
    const std::exception_ptr failure = std::get<1>(ended);
    if (failure) {
        if (expired) {
            throw error(errc::timeout, "the deadline passed");
        }
        std::rethrow_exception(failure);
    }
    if constexpr (!std::is_void_v<T>) {
        co_return std::get<2>(std::move(ended));
    }
}

}  // namespace bitdotio
