// A point in time by which an operation must have ended, and the hop onto a strand.
#pragma once

#include <bitdotio/error.hpp>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/cancellation_type.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/dispatch.hpp>
#include <boost/asio/experimental/parallel_group.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <chrono>
#include <exception>
#include <memory>
#include <tuple>
#include <type_traits>
#include <utility>

namespace bitdotio {

namespace asio = boost::asio;

using time_point = std::chrono::steady_clock::time_point;

/// No deadline.
inline constexpr time_point no_deadline = time_point::max();

/// The deadline a timeout means from now on; zero means none.
inline time_point deadline_after(std::chrono::milliseconds timeout) {
    return timeout.count() == 0 ? no_deadline : std::chrono::steady_clock::now() + timeout;
}

/// Runs `operation` until it ends or `deadline` passes; then cancels it and waits for its end.
///
/// An operation that ends well although it was cancelled has ended well: its value is returned.
///
/// Errors: errc::timeout if it was cancelled by the deadline and failed; what it throws otherwise.
/// Cancellation: what `operation` supports; the rest of the caller's coroutine must be prepared
///     that its own cancellation state stays as it was.
template <class T>
asio::awaitable<T> with_deadline(asio::awaitable<T> operation, time_point deadline) {
    if (deadline == no_deadline) {
        co_return co_await std::move(operation);
    }
    const auto executor = co_await asio::this_coro::executor;
    asio::steady_timer timer(executor, deadline);
    auto group = asio::experimental::make_parallel_group(
        asio::co_spawn(executor, std::move(operation), asio::deferred),
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

/// Runs `operation`, a named member coroutine's awaitable, on `strand` and resumes where it was
/// called; `owner` lives until then. This is the one way onto a strand.
///
/// Errors: errc::cancelled before anything was done if the caller is cancelled already.
template <class T, class Strand>
asio::awaitable<T> on_strand(Strand strand, std::shared_ptr<const void> owner,
                             asio::awaitable<T> operation) {
    const asio::cancellation_state state = co_await asio::this_coro::cancellation_state;
    if (state.cancelled() != asio::cancellation_type::none) {
        throw error(errc::cancelled, "the operation was cancelled before it began")
            .with(outcome::not_sent);
    }
    [[maybe_unused]] const auto alive = std::move(owner);
    // Asio 1.24 takes a cancellation to the strand with a pointer into the caller's slot, which is
    // gone if the operation has ended by the time it arrives. This signal outlives its messengers.
    const auto signal = std::make_shared<asio::cancellation_signal>();
    asio::cancellation_slot callers = state.slot();
    if (callers.is_connected()) {
        callers.assign([signal, strand](asio::cancellation_type type) {
            asio::dispatch(strand, [signal, type] { signal->emit(type); });
        });
    }
    auto here = asio::bind_cancellation_slot(signal->slot(), asio::use_awaitable);
    co_return co_await asio::co_spawn(strand, std::move(operation), std::move(here));
}

}  // namespace bitdotio
