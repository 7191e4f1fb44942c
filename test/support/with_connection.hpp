// Runs the coroutine of a test case with what most of them need: a connection or a pool.
#pragma once

#include "support/run.hpp"

#include <bitdotio/connect_options.hpp>
#include <bitdotio/connection.hpp>
#include <bitdotio/pool.hpp>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/this_coro.hpp>

#include <type_traits>
#include <utility>

namespace test {

/// Opens a connection, runs `work(connection)` to its end and returns its value.
///
/// Errors: those of `run`.
template <coroutine_of<bitdotio::connection&> Work>
auto with_connection(bitdotio::connect_options options, Work work) {
    return run([&]() -> std::invoke_result_t<Work&, bitdotio::connection&> {
        bitdotio::connection opened = co_await bitdotio::connection::open(options);
        co_return co_await work(opened);
    });
}

/// Makes a pool, runs `work(pool)` to its end and closes the pool. If `work` throws, the pool is
/// dropped without.
///
/// Errors: those of `run`.
template <coroutine_of<bitdotio::pool&> Work>
void with_pool(bitdotio::connect_options options, bitdotio::pool_options limits, Work work) {
    run([&]() -> boost::asio::awaitable<void> {
        bitdotio::pool made(co_await boost::asio::this_coro::executor, options, limits);
        co_await work(made);
        co_await made.close();
    });
}

template <coroutine_of<bitdotio::pool&> Work>
void with_pool(bitdotio::connect_options options, Work work) {
    with_pool(std::move(options), bitdotio::pool_options(), std::move(work));
}

}  // namespace test
