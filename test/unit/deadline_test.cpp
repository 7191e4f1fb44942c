// Deadlines over operations that end, fail, are cancelled, or take too long.
#include "base/deadline.hpp"

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/io_context.hpp>

#include <doctest/doctest.h>

#include <optional>
#include <stdexcept>
#include <string>

namespace {

namespace asio = boost::asio;
using namespace std::chrono_literals;
using bitdotio::errc;
using bitdotio::with_deadline;

bitdotio::time_point in(std::chrono::milliseconds time) {
    return std::chrono::steady_clock::now() + time;
}

TEST_CASE("a time beyond the clock's end is no deadline, and one before its beginning is over") {
    using bitdotio::deadline_after;
    using bitdotio::from_now;
    using bitdotio::later;
    using bitdotio::no_deadline;
    using bitdotio::time_point;
    CHECK(deadline_after(std::chrono::milliseconds::max()) == no_deadline);
    CHECK(deadline_after(0ms) == no_deadline);
    CHECK(from_now(std::chrono::hours::max()) == no_deadline);
    CHECK(from_now(std::chrono::nanoseconds::max()) == no_deadline);
    CHECK(from_now(std::chrono::milliseconds::min()) == time_point::min());
    CHECK(from_now(-1ms) < std::chrono::steady_clock::now());
    CHECK(later(time_point::max(), 1s) == no_deadline);
    CHECK(later(time_point::min(), -1s) == time_point::min());
    CHECK(later(time_point(), 1500ms) == time_point(1500ms));
    CHECK(bitdotio::capped(std::chrono::milliseconds::max()) == bitdotio::longest_time);
    CHECK(from_now(bitdotio::longest_time * 2) < no_deadline);
}

asio::awaitable<std::string> word_after(std::chrono::milliseconds time) {
    asio::steady_timer timer(co_await asio::this_coro::executor, time);
    co_await timer.async_wait(asio::use_awaitable);
    co_return "word";
}

asio::awaitable<void> fail_after(std::chrono::milliseconds time) {
    co_await word_after(time);
    throw std::runtime_error("its own failure");
}

template <class T>
std::optional<errc> code_of(asio::awaitable<T> work) {
    asio::io_context io;
    std::exception_ptr failure;
    const auto on_end = [&](std::exception_ptr thrown, auto&&...) { failure = thrown; };
    asio::co_spawn(io, std::move(work), on_end);
    io.run();
    try {
        if (failure) std::rethrow_exception(failure);
    } catch (const bitdotio::error& thrown) {
        return thrown.code();
    }
    return std::nullopt;
}

TEST_CASE("an operation that ends in time gives its value") {
    const auto work = []() -> asio::awaitable<void> {
        CHECK(co_await with_deadline(word_after(1ms), in(10s)) == "word");
        CHECK(co_await with_deadline(word_after(1ms), bitdotio::no_deadline) == "word");
    };
    CHECK_FALSE(code_of(work()));
}

TEST_CASE("an operation that takes too long is cancelled and ends in a timeout") {
    const auto begin = std::chrono::steady_clock::now();
    CHECK(code_of(with_deadline(word_after(1h), in(5ms))) == errc::timeout);
    CHECK(std::chrono::steady_clock::now() - begin < 1min);
}

TEST_CASE("an operation that fails before its deadline keeps its own failure") {
    CHECK_THROWS_WITH(code_of(with_deadline(fail_after(1ms), in(10s))), "its own failure");
}

TEST_CASE("a cancellation from outside reaches the operation") {
    asio::io_context io;
    asio::cancellation_signal signal;
    bool cancelled = false;
    const auto on_end = [&](std::exception_ptr thrown, const std::string&) {
        try {
            if (thrown) std::rethrow_exception(thrown);
        } catch (const boost::system::system_error& failure) {
            cancelled = failure.code() == asio::error::operation_aborted;
        }
    };
    asio::co_spawn(io, with_deadline(word_after(1h), in(1h)),
                   asio::bind_cancellation_slot(signal.slot(), on_end));
    asio::steady_timer soon(io, 5ms);
    soon.async_wait(
        [&](const boost::system::error_code&) { signal.emit(asio::cancellation_type::terminal); });
    io.run();
    CHECK(cancelled);
}

TEST_CASE("a zero timeout is no deadline") {
    CHECK(bitdotio::deadline_after(0ms) == bitdotio::no_deadline);
    CHECK(bitdotio::deadline_after(1ms) > std::chrono::steady_clock::now());
}

}  // namespace
