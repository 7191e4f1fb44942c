// Runs a coroutine, or the lambda that is one, to its end from a plain test, with a deadline.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>

#include <chrono>
#include <concepts>
#include <exception>
#include <optional>
#include <stdexcept>
#include <type_traits>
#include <utility>

namespace test {

/// How long the rest of a coroutine's work may take to end. Some of it, such as a proxy, never
/// does.
inline constexpr std::chrono::milliseconds settling{200};

template <class T>
boost::asio::awaitable<void> store(boost::asio::awaitable<T> work, std::optional<T>& value) {
    value.emplace(co_await std::move(work));
}

/// Runs `work` on an io_context of its own and returns its value, or throws what it throws.
///
/// Errors: std::runtime_error if it has not ended by `limit`: a test never hangs.
template <class T>
T run(boost::asio::awaitable<T> work, std::chrono::milliseconds limit = std::chrono::seconds(60)) {
    namespace asio = boost::asio;
    if constexpr (std::is_void_v<T>) {
        asio::io_context io(1);
        auto guard = asio::make_work_guard(io);
        const auto deadline = std::chrono::steady_clock::now() + limit;
        bool ended = false;
        std::exception_ptr failure;
        asio::co_spawn(io, std::move(work), [&](std::exception_ptr thrown) {
            failure = thrown;
            ended = true;
        });
        while (!ended && std::chrono::steady_clock::now() < deadline) {
            io.run_one_until(deadline);
        }
        // The rest of ended sessions, and what other threads still hold of this executor: a
        // coroutine that ran on a server's thread releases it after it has answered.
        guard.reset();
        io.run_for(settling);
        if (!ended) throw std::runtime_error("the coroutine did not end by its deadline");
        if (failure) std::rethrow_exception(failure);
    } else {
        std::optional<T> value;
        run(store(std::move(work), value), limit);
        return std::move(*value);
    }
}

template <class T>
inline constexpr bool is_awaitable = false;
template <class T>
inline constexpr bool is_awaitable<boost::asio::awaitable<T>> = true;

/// A callable that is given `Needs` and returns a coroutine: the lambda of a test case.
template <class Work, class... Needs>
concept coroutine_of =
    std::invocable<Work&, Needs...> && is_awaitable<std::invoke_result_t<Work&, Needs...>>;

/// Runs the coroutine that `work` returns.
///
/// Lifetime: `work`, and so what it captures by value, lives until the coroutine has ended.
template <coroutine_of Work>
auto run(std::chrono::milliseconds limit, Work work) {
    return run(work(), limit);
}

template <coroutine_of Work>
auto run(Work work) {
    return run(work());
}

}  // namespace test
