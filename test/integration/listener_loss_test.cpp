// A listener whose connection is lost: it is replaced, and every gap is told as an event.
#include "support/database.hpp"
#include "support/listening.hpp"
#include "support/pool_use.hpp"

#include <bitdotio/connection.hpp>
#include <bitdotio/listener.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <optional>
#include <string>
#include <variant>

namespace {

namespace asio = boost::asio;
using namespace std::chrono_literals;
using bitdotio::connect_options;
using bitdotio::connection;
using bitdotio::errc;
using bitdotio::listener;
using bitdotio::notification_gap;
using test::gap;
using test::heard;
using test::listening;
using test::notify;
using test::pending;
using test::rest;
using test::terminate;

// Shared by the cases that leave it as it was.
test::database& shared() {
    static test::database instance;
    return instance;
}

TEST_CASE("a lost connection is replaced, and the gap told before what comes after") {
    test::run([]() -> asio::awaitable<void> {
        connect_options options = shared().connect;
        options.application_name = "listener";
        listener events = co_await listening(options, "a");
        co_await events.listen("B");
        options.application_name = "mouth";
        connection c = co_await connection::open(options);
        co_await notify(c, "a", "before");
        co_await terminate(c, "listener");
        co_await notify(c, "a", "missed");
        const std::string before = co_await heard(events);
        CHECK(before == "a:before");
        const std::string why = co_await gap(events);
        CHECK(why == "57P01");
        co_await notify(c, "B", "after");
        const std::string after = co_await heard(events);
        CHECK(after == "B:after");
    });
}

TEST_CASE("a connection lost while next() waits is replaced at once") {
    test::run([]() -> asio::awaitable<void> {
        connect_options options = shared().connect;
        options.application_name = "listener";
        listener events = co_await listening(options, "a");
        options.application_name = "mouth";
        connection c = co_await connection::open(options);
        pending waits(co_await asio::this_coro::executor);
        waits.start(events);
        co_await rest(20ms);
        co_await terminate(c, "listener");
        co_await waits.wait();
        REQUIRE(waits.value);
        CHECK(std::holds_alternative<notification_gap>(*waits.value));
    });
}

TEST_CASE("a channel added after the connection was lost without notice is listened to") {
    test::run([]() -> asio::awaitable<void> {
        connect_options options = shared().connect;
        options.application_name = "listener";
        listener events = co_await listening(options, "a");
        options.application_name = "mouth";
        connection c = co_await connection::open(options);
        co_await terminate(c, "listener");
        co_await events.listen("b");
        co_await notify(c, "b", "x");
        const std::string why = co_await gap(events);
        CHECK(why == "57P01");
        const std::string got = co_await heard(events);
        CHECK(got == "b:x");
    });
}

TEST_CASE("a database that fell asleep is woken, and the gap is told") {
    test::database own;
    test::run([&]() -> asio::awaitable<void> {
        listener events = co_await listening(own.connect, "a");
        own.server.sleep(own.name);
        CHECK(own.server.is_asleep(own.name));
        co_await gap(events);
        connection c = co_await connection::open(own.connect);
        co_await notify(c, "a", "awake");
        const std::string got = co_await heard(events);
        CHECK(got == "a:awake");
        co_await events.close();
    });
}

TEST_CASE("a cancelled reconnection goes on with the next call, and the gap is still told") {
    test::run([]() -> asio::awaitable<void> {
        connect_options options = shared().connect;
        const auto executor = co_await asio::this_coro::executor;
        options.application_name = "listener";
        listener events = co_await listening(options, "a");
        options.application_name = "mouth";
        connection c = co_await connection::open(options);
        co_await terminate(c, "listener");
        for (int i = 0; i < 5; ++i) {
            // It is cancelled, whatever it is doing at that moment.
            pending waits(executor);
            waits.start(events);
            co_await rest(std::chrono::milliseconds(i));
            waits.signal.emit(asio::cancellation_type::terminal);
            co_await waits.wait();
            if (waits.value) {
                CHECK(std::holds_alternative<notification_gap>(*waits.value));
                co_return;
            }
            CHECK(waits.code() == errc::cancelled);
        }
        const std::string why = co_await gap(events);
        CHECK(why == "57P01");
    });
}

TEST_CASE("a refusal on the way back is told, and the next call tries again") {
    test::database own;
    test::run([&]() -> asio::awaitable<void> {
        connect_options options = own.connect;
        options.wake_timeout = 0ms;
        options.application_name = "listener";
        listener events = co_await listening(options, "a");
        options.wake_timeout = 30s;
        options.application_name = "mouth";
        connection c = co_await connection::open(options);
        co_await terminate(c, "listener");
        own.server.refuse_next(1);
        std::optional<errc> told;
        try {
            co_await events.next();
        } catch (const bitdotio::error& failure) {
            told = failure.code();
        }
        CHECK(told == errc::database_asleep);
        const std::string why = co_await gap(events);
        CHECK(why == "57P01");
    });
}

}  // namespace
