// How requests share the memory for their bodies.
#include "server/api/body_budget.hpp"
#include "support/run.hpp"

#include <bitdotio/error.hpp>

#include <boost/asio/this_coro.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <utility>

namespace {

namespace asio = boost::asio;
using namespace bitdotio;
using namespace std::chrono_literals;
using asio::awaitable;

time_point in(std::chrono::milliseconds time) {
    return std::chrono::steady_clock::now() + time;
}

// Whether there is no room for that much.
awaitable<bool> is_full_for(std::shared_ptr<body_budget> budget, std::uint64_t size) {
    try {
        const body_budget::share mine = co_await budget->reserve(size, in(10ms));
    } catch (const error& failure) {
        CHECK(failure.code() == errc::server_busy);
        CHECK(std::string(failure.what()).find("100 bytes") != std::string::npos);
        co_return true;
    }
    co_return false;
}

awaitable<void> share_a_hundred() {
    const auto budget = std::make_shared<body_budget>(co_await asio::this_coro::executor, 100);
    body_budget::share large = co_await budget->reserve(90, in(10s));
    const bool full = co_await is_full_for(budget, 11);
    CHECK(full);
    const bool small_fits = co_await is_full_for(budget, 10);
    CHECK_FALSE(small_fits);
    const bool never = co_await is_full_for(budget, 101);
    CHECK(never);
    large.shrink(40);
    const bool after = co_await is_full_for(budget, 60);
    CHECK_FALSE(after);
    large.shrink(80);  // no way back
    const bool still = co_await is_full_for(budget, 60);
    CHECK_FALSE(still);
    large = {};
    const bool empty = co_await is_full_for(budget, 100);
    CHECK_FALSE(empty);
}

// Waits for room that is given back by another.
awaitable<void> take_over() {
    const auto executor = co_await asio::this_coro::executor;
    const auto budget = std::make_shared<body_budget>(executor, 100);
    auto first = std::make_shared<std::optional<body_budget::share>>();
    body_budget::share taken = co_await budget->reserve(100, in(10s));
    first->emplace(std::move(taken));
    asio::steady_timer later(executor, 20ms);
    later.async_wait([first](const boost::system::error_code&) { first->reset(); });
    const body_budget::share second = co_await budget->reserve(100, in(30s));
    CHECK_FALSE(first->has_value());
}

}  // namespace

TEST_CASE("bodies have room together, and a request that finds none in time is told how much") {
    test::run(share_a_hundred());
}

TEST_CASE("a request gets the room that another has left") {
    test::run(take_over());
}
