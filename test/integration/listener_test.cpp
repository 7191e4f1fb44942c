// Notifications against the real server: in order, once, and none lost while the connection lives.
#include "support/database.hpp"
#include "support/descriptors.hpp"
#include "support/listening.hpp"
#include "support/pool_use.hpp"
#include "support/with_connection.hpp"

#include <bitdotio/connection.hpp>
#include <bitdotio/listener.hpp>

#include <boost/asio/io_context.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_future.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <optional>
#include <string>
#include <vector>

namespace {

namespace asio = boost::asio;
using namespace std::chrono_literals;
using bitdotio::connect_options;
using bitdotio::connection;
using bitdotio::errc;
using bitdotio::listener;
using bitdotio::listener_event;
using bitdotio::notification;
using test::heard;
using test::listening;
using test::notify;
using test::pending;
using test::rest;

// Shared by the cases that leave it as it was.
test::database& shared() {
    static test::database instance;
    return instance;
}

TEST_CASE("notifications come in the order they were sent, with their sender") {
    test::run([]() -> asio::awaitable<void> {
        listener events = co_await listening(shared().connect, "news");
        connection c = co_await connection::open(shared().connect);
        const auto pid = co_await c.query("SELECT pg_backend_pid()");
        for (int i = 0; i < 100; ++i) {
            co_await notify(c, "news", std::to_string(i));
        }
        co_await c.query("SELECT pg_notify('news', i::text) FROM generate_series(100, 1099) AS i");
        for (int i = 0; i < 1100; ++i) {
            const auto event = co_await events.next_within(20s);
            REQUIRE(event);
            const notification wanted("news", std::to_string(i), pid.one<int>());
            REQUIRE(std::get<notification>(*event) == wanted);
        }
        co_await c.query("NOTIFY news");
        const std::string bare = co_await heard(events);
        CHECK(bare == "news:");
        const auto nothing = co_await events.next_within(50ms);
        CHECK_FALSE(nothing);
        co_await events.close();
    });
}

TEST_CASE("names of channels are taken as they are, whatever is in them") {
    test::run([]() -> asio::awaitable<void> {
        listener events(co_await asio::this_coro::executor, shared().connect);
        connection c = co_await connection::open(shared().connect);
        const std::vector<std::string> names{
            "Upper Case", "quo\"ted\"; DROP TABLE x; --", "'", "ünï", "*", std::string(63, 'x')};
        for (const std::string& name : names) {
            co_await events.listen(name);
            co_await notify(c, name, "hello");
            const std::string got = co_await heard(events);
            CHECK(got == name + ":hello");
        }
        for (const std::string& name :
             {std::string(), std::string(64, 'x'), std::string("a\0b", 3)}) {
            std::optional<errc> refused;
            try {
                co_await events.listen(name);
            } catch (const bitdotio::error& failure) {
                refused = failure.code();
            }
            CHECK(refused == errc::bad_input);
        }
    });
}

TEST_CASE("the longest payload arrives whole, many times over") {
    test::run([]() -> asio::awaitable<void> {
        listener events = co_await listening(shared().connect, "large");
        connection c = co_await connection::open(shared().connect);
        const std::string payload(7'999, 'p');
        for (int i = 0; i < 20; ++i) {
            co_await c.query("SELECT pg_notify('large', $1 || $2)", payload.substr(4),
                             std::to_string(1'000 + i));
        }
        for (int i = 0; i < 20; ++i) {
            const std::string got = co_await heard(events);
            CHECK(got == "large:" + payload.substr(4) + std::to_string(1'000 + i));
        }
    });
}

TEST_CASE("several channels are told apart, and one not listened to any more is silent") {
    test::run([]() -> asio::awaitable<void> {
        listener events = co_await listening(shared().connect, "a");
        connection c = co_await connection::open(shared().connect);
        co_await events.listen("b");
        co_await events.listen("b");
        co_await notify(c, "b", "1");
        co_await notify(c, "a", "2");
        const std::string first = co_await heard(events);
        const std::string second = co_await heard(events);
        CHECK(first == "b:1");
        CHECK(second == "a:2");
        co_await events.unlisten("b");
        co_await events.unlisten("never heard of");
        co_await notify(c, "b", "3");
        co_await notify(c, "a", "4");
        const std::string third = co_await heard(events);
        CHECK(third == "a:4");
    });
}

TEST_CASE("a channel can be added while another coroutine waits for the next notification") {
    test::run([]() -> asio::awaitable<void> {
        listener events(co_await asio::this_coro::executor, shared().connect);
        connection c = co_await connection::open(shared().connect);
        pending first(co_await asio::this_coro::executor);
        first.start(events);  // listens to nothing yet: no connection is opened
        co_await rest(20ms);
        co_await events.listen("a");
        co_await events.listen("b");
        CHECK_FALSE(first.done);
        co_await notify(c, "b", "x");
        co_await first.wait();
        REQUIRE(first.value);
        CHECK(std::get<notification>(*first.value).channel == "b");
    });
}

TEST_CASE("a second next() at once is refused and disturbs nothing") {
    test::run([]() -> asio::awaitable<void> {
        listener events = co_await listening(shared().connect, "a");
        connection c = co_await connection::open(shared().connect);
        pending first(co_await asio::this_coro::executor);
        first.start(events);
        std::optional<errc> refused;
        try {
            co_await events.next();
        } catch (const bitdotio::error& failure) {
            refused = failure.code();
        }
        CHECK(refused == errc::protocol_violated);
        co_await notify(c, "a", "x");
        co_await first.wait();
        CHECK(first.value);
    });
}

TEST_CASE("a cancelled wait loses nothing, and neither does one that ran out of time") {
    test::run([]() -> asio::awaitable<void> {
        listener events = co_await listening(shared().connect, "a");
        connection c = co_await connection::open(shared().connect);
        int next = 0;
        int cancelled = 0;
        const auto take = [&](const listener_event& event) {
            CHECK(std::get<notification>(event).payload == std::to_string(next));
            ++next;
        };
        for (int sent = 0; sent < 60; ++sent) {
            pending waits(co_await asio::this_coro::executor);
            waits.start(events);
            if (sent % 3 == 0) {
                co_await rest(1ms);
            }
            if (sent % 4 == 1) {  // before there is anything to come, so that some are cancelled
                waits.signal.emit(asio::cancellation_type::terminal);
                co_await waits.wait();
            }
            co_await notify(c, "a", std::to_string(sent));
            waits.signal.emit(asio::cancellation_type::terminal);
            co_await waits.wait();
            if (waits.value) {
                take(*waits.value);
            } else {
                CHECK(waits.code() == errc::cancelled);
                ++cancelled;
            }
            const auto soon = co_await events.next_within(1ms);
            if (soon) {
                take(*soon);
            }
        }
        CHECK(cancelled > 0);
        while (next < 60) {
            const auto event = co_await events.next_within(20s);
            REQUIRE(event);
            take(*event);
        }
        const auto start = std::chrono::steady_clock::now();
        const auto nothing = co_await events.next_within(50ms);
        CHECK_FALSE(nothing);
        CHECK(std::chrono::steady_clock::now() - start < 5s);
    });
}

TEST_CASE("closing ends a next() that waits, and a closed listener stays closed") {
    test::run([]() -> asio::awaitable<void> {
        listener events = co_await listening(shared().connect, "a");
        pending waits(co_await asio::this_coro::executor);
        waits.start(events);
        co_await rest(5ms);
        co_await events.close();
        co_await waits.wait();
        CHECK(waits.code() == errc::connection_lost);
        co_await events.close();
        std::optional<errc> refused;
        try {
            co_await events.listen("b");
        } catch (const bitdotio::error& failure) {
            refused = failure.code();
        }
        CHECK(refused == errc::connection_lost);
    });
}

TEST_CASE("a listener whose owner is slow does not read on") {
    test::run([]() -> asio::awaitable<void> {
        listener events = co_await listening(shared().connect, "a");
        connection c = co_await connection::open(shared().connect);
        co_await notify(c, "a", "first");
        const std::string first = co_await heard(events);
        CHECK(first == "a:first");
        // 40 MB without a reader: it waits in PostgreSQL and comes when it is asked for.
        const std::string payload(7'900, 'p');
        for (int i = 0; i < 50; ++i) {
            co_await c.query(
                "SELECT pg_notify('a', $1 || i::text) FROM generate_series(1, 100) AS i",
                payload + std::to_string(i) + ".");
        }
        for (int i = 0; i < 50; ++i) {
            for (int j = 1; j <= 100; ++j) {
                const std::string got = co_await heard(events);
                REQUIRE(got == "a:" + payload + std::to_string(i) + "." + std::to_string(j));
            }
        }
    });
}

TEST_CASE("a listener serves threads of a pool, whichever runs it") {
    asio::thread_pool threads(3);
    const auto work = [](connect_options options) -> asio::awaitable<int> {
        listener events = co_await listening(options, "a");
        connection c = co_await connection::open(options);
        int count = 0;
        for (int i = 0; i < 200; ++i) {
            co_await notify(c, "a", std::to_string(i));
            const auto event = co_await events.next_within(20s);
            count += event && std::get<notification>(*event).payload == std::to_string(i);
        }
        co_await events.close();
        co_return count;
    };
    auto counted = asio::co_spawn(threads, work(shared().connect), asio::use_future);
    REQUIRE(counted.wait_for(60s) == std::future_status::ready);
    CHECK(counted.get() == 200);
    threads.join();
}

TEST_CASE("listeners leave no descriptor behind, closed or destroyed, waiting or not") {
    const auto work = [](connect_options options) -> asio::awaitable<void> {
        options.application_name = "listener";
        const auto executor = co_await asio::this_coro::executor;
        for (int i = 0; i < 5; ++i) {
            listener closed = co_await listening(options, "a");
            co_await closed.close();
            listener destroyed = co_await listening(options, "a");
            pending waits(executor);
            {
                listener dropped = co_await listening(options, "a");
                waits.start(dropped);
                co_await rest(5ms);
            }
            co_await waits.wait();
            CHECK(waits.failure);
        }
    };
    test::run(work(shared().connect));
    const auto before = test::settled_descriptors();
    test::run(work(shared().connect));
    CHECK(test::descriptors_fall_to(before));
}

TEST_CASE("an executor may end while a listener waits, connects or listens") {
    const auto work = [](connect_options options, bool& listens) -> asio::awaitable<void> {
        listener events(co_await asio::this_coro::executor, options);
        co_await events.listen("a");
        listens = true;
        co_await events.next();
    };
    // Cancelled one step later each time, until it listens and waits.
    bool waits = false;
    for (int steps = 0; !waits; ++steps) {
        REQUIRE(steps < 1'000);
        asio::io_context io(1);
        bool listens = false;
        bool ended = false;
        asio::co_spawn(io, work(shared().connect, listens),
                       [&](std::exception_ptr) { ended = true; });
        for (int i = 0; i < steps && !waits; ++i) {
            waits = listens && io.poll_one() == 0;
            if (!listens) {
                REQUIRE(io.run_one_for(20s) == 1);
            }
        }
        CHECK_FALSE(ended);
    }
}

TEST_CASE("options that cannot be are refused when the listener is made") {
    const auto failure = test::error_of([]() -> asio::awaitable<void> {
        listener events(co_await asio::this_coro::executor, connect_options());
        co_await events.next();
    });
    CHECK(failure.code() == errc::bad_input);
}

}  // namespace
