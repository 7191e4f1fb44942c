// How tests that break servers use a pool, and what they expect of it.
#pragma once

#include "support/gather.hpp"

#include <bitdotio/connection.hpp>
#include <bitdotio/error.hpp>
#include <bitdotio/pool.hpp>

#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace test {

namespace asio = boost::asio;

inline void expect_none(const std::vector<bitdotio::error>& failures) {
    CHECK(failures.empty());
    for (const bitdotio::error& failure : failures) {
        MESSAGE(std::string(failure.what()));
    }
}

inline asio::awaitable<void> rest(std::chrono::milliseconds time) {
    asio::steady_timer timer(co_await asio::this_coro::executor, time);
    co_await timer.async_wait(asio::use_awaitable);
}

template <class Session>
asio::awaitable<std::optional<bitdotio::error>> failure_of(Session& session,
                                                           bitdotio::statement sql) {
    try {
        co_await session.query(std::move(sql));
    } catch (const bitdotio::error& failure) {
        co_return failure;
    }
    co_return std::nullopt;
}

// Holds `count` connections at once, so that the pool has opened as many.
inline asio::awaitable<void> open_all(bitdotio::pool from, std::size_t count) {
    std::vector<bitdotio::pooled_connection> held;
    for (std::size_t i = 0; i < count; ++i) {
        held.push_back(co_await from.acquire());
    }
}

inline asio::awaitable<std::vector<bitdotio::error>> ask_often(bitdotio::pool from,
                                                               std::size_t count) {
    auto one = [&](std::size_t i) -> asio::awaitable<void> {
        const auto answer = co_await from.query("SELECT $1::bigint", static_cast<std::int64_t>(i));
        CHECK(answer.one<std::size_t>() == i);
    };
    co_return co_await gather(count, one);
}

}  // namespace test
