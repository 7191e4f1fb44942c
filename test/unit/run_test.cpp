// How tests run their coroutines: what lives how long, what comes back, and that nothing hangs.
#include "support/run.hpp"
#include "support/database.hpp"

#include <bitdotio/error.hpp>

#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <stdexcept>
#include <string>

namespace {

namespace asio = boost::asio;
using namespace std::chrono_literals;

asio::awaitable<void> rest(std::chrono::milliseconds time) {
    asio::steady_timer timer(co_await asio::this_coro::executor, time);
    co_await timer.async_wait(asio::use_awaitable);
}

TEST_CASE("a lambda lives, with what it captured, until its coroutine has ended") {
    const std::string captured(100, 'x');
    const std::string returned = test::run([captured]() -> asio::awaitable<std::string> {
        co_await rest(1ms);
        co_return captured + "y";
    });
    CHECK(returned == captured + "y");
}

TEST_CASE("what a coroutine throws comes out of run") {
    const auto failure = test::error_of([]() -> asio::awaitable<void> {
        co_await rest(1ms);
        throw bitdotio::error(bitdotio::errc::bad_input, "no");
    });
    CHECK(failure.code() == bitdotio::errc::bad_input);
}

TEST_CASE("a coroutine that does not end by its limit is a failure") {
    const auto hang = [] {
        test::run(10ms, []() -> asio::awaitable<void> { co_await rest(60s); });
    };
    CHECK_THROWS_AS(hang(), std::runtime_error);
}

}  // namespace
