// Runs a coroutine to its end from a plain test, with a deadline.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>

#include <chrono>
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

}  // namespace test
