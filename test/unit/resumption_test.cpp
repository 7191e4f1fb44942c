// A coroutine that waits to be woken: it is, or is cancelled, or ends with its executor.
#include "base/resumption.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>

#include <doctest/doctest.h>

#include <exception>
#include <memory>

namespace {

namespace asio = boost::asio;
using bitdotio::resumption;
using bitdotio::sleeping_coroutines;
using bitdotio::strand;

// Its resumption stands in its frame, as those of a pool's callers do.
asio::awaitable<void> sleep(strand home, resumption** where, std::shared_ptr<int> held) {
    co_await asio::this_coro::throw_if_cancelled(false);
    resumption here(sleeping_coroutines::of(home.get_inner_executor()), home);
    *where = &here;
    co_await here.wait();
    *held += home.running_in_this_thread() ? 1 : 100;
    *where = nullptr;
}

TEST_CASE("a coroutine goes on after it was woken, and not before that returns") {
    asio::io_context io;
    const strand home(io.get_executor());
    const auto count = std::make_shared<int>(0);
    resumption* where = nullptr;
    asio::co_spawn(home, sleep(home, &where, count), [](std::exception_ptr) {});
    io.poll();
    REQUIRE(where);
    asio::post(home, [&] {
        where->wake();
        where->wake();  // wakes it once
        CHECK(*count == 0);
    });
    io.restart();
    io.run();
    CHECK(*count == 1);
}

TEST_CASE("a coroutine that comes to a strand by itself is woken there") {
    asio::io_context io;
    const strand home(io.get_executor());
    const auto count = std::make_shared<int>(0);
    resumption* where = nullptr;
    const auto guest = [&]() -> asio::awaitable<void> {
        co_await bitdotio::enter_strand(home);
        CHECK(home.running_in_this_thread());
        co_await sleep(home, &where, count);
        CHECK(home.running_in_this_thread());
        co_await bitdotio::leave_strand();
        CHECK_FALSE(home.running_in_this_thread());
    };
    asio::co_spawn(io, guest(), [](std::exception_ptr) {});
    io.poll();
    REQUIRE(where);
    asio::post(home, [&] { where->wake(); });
    io.restart();
    io.run();
    CHECK(*count == 1);
}

TEST_CASE("a cancellation wakes a coroutine") {
    asio::io_context io;
    const strand home(io.get_executor());
    const auto count = std::make_shared<int>(0);
    resumption* where = nullptr;
    asio::cancellation_signal signal;
    asio::co_spawn(home, sleep(home, &where, count),
                   asio::bind_cancellation_slot(signal.slot(), [](std::exception_ptr) {}));
    io.poll();
    asio::post(home, [&] { signal.emit(asio::cancellation_type::terminal); });
    io.restart();
    io.run();
    CHECK(*count == 1);
}

TEST_CASE("what waits when its executor ends, ends with it") {
    const auto held = std::make_shared<int>(0);
    {
        asio::io_context io;
        const strand home(io.get_executor());
        resumption* first = nullptr;
        resumption* second = nullptr;
        asio::co_spawn(home, sleep(home, &first, held), [](std::exception_ptr) {});
        asio::co_spawn(home, sleep(home, &second, held), [](std::exception_ptr) {});
        io.poll();
        CHECK(held.use_count() == 3);
    }
    CHECK(held.use_count() == 1);
    CHECK(*held == 0);
}

}  // namespace
