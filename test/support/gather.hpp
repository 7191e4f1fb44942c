// Runs many coroutines at once and collects their errors.
#pragma once

#include <bitdotio/error.hpp>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <cstddef>
#include <exception>
#include <vector>

namespace test {

/// Runs `one(index)` for each index below `count`, all at once, waits for all, and returns the
/// errors of those that failed. The executor must be of one thread.
///
/// Parameters: `one` is a named callable that returns an awaitable.
template <class One>
boost::asio::awaitable<std::vector<bitdotio::error>> gather(std::size_t count, One& one) {
    namespace asio = boost::asio;
    const auto executor = co_await asio::this_coro::executor;
    std::vector<bitdotio::error> failures;
    std::size_t ended = 0;
    asio::steady_timer all(executor, asio::steady_timer::time_point::max());
    for (std::size_t i = 0; i < count; ++i) {
        const auto on_end = [&](std::exception_ptr thrown) {
            try {
                if (thrown) std::rethrow_exception(thrown);
            } catch (const bitdotio::error& failure) {
                failures.push_back(failure);
            } catch (const std::exception& failure) {
                failures.emplace_back(bitdotio::errc::system_failed, failure.what());
            }
            if (++ended == count) all.cancel();
        };
        asio::co_spawn(executor, one(i), on_end);
    }
    if (ended < count) {
        boost::system::error_code ignored;
        co_await all.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
    }
    co_return failures;
}

}  // namespace test
