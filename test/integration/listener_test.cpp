// Notifications against the real server: in order, once, and with an event for every gap.
#include "support/database.hpp"
#include "support/descriptors.hpp"

#include "base/deadline.hpp"

#include <bitdotio/connection.hpp>
#include <bitdotio/listener.hpp>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_future.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <filesystem>
#include <optional>
#include <string>
#include <thread>
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
using bitdotio::notification_gap;

// Shared by the cases that leave it as it was.
test::database& shared() {
    static test::database instance;
    return instance;
}

asio::awaitable<listener> listening(connect_options options, std::string channel) {
    listener ears(co_await asio::this_coro::executor, options);
    co_await ears.listen(std::move(channel));
    co_return ears;
}

asio::awaitable<void> notify(connection& c, std::string channel, std::string payload) {
    co_await c.query("SELECT pg_notify($1, $2)", channel, payload);
}

// The next event, which must be a notification, as "channel:payload".
asio::awaitable<std::string> heard(listener& ears) {
    const auto event = co_await ears.next_within(20s);
    REQUIRE(event);
    const auto* const one = std::get_if<notification>(&*event);
    REQUIRE(one);
    co_return one->channel + ":" + one->payload;
}

// The next event, which must be a gap: the SQLSTATE of its reason.
asio::awaitable<std::string> gap(listener& ears) {
    const auto event = co_await ears.next_within(30s);
    REQUIRE(event);
    const auto* const one = std::get_if<notification_gap>(&*event);
    REQUIRE(one);
    CHECK(one->reason.code() == errc::connection_lost);
    co_return one->reason.sqlstate();
}

// Ends the connections that were opened under this name.
asio::awaitable<void> terminate(connection& c, std::string application) {
    co_await c.query(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = $1",
        application);
}

// A next() under way that can be cancelled, and how it ended.
struct pending {
    explicit pending(asio::any_io_executor where)
        : executor(where), ended(where, bitdotio::no_deadline) {}

    void start(listener& ears) {
        const auto on_end = [this](std::exception_ptr thrown, listener_event event) {
            failure = thrown;
            if (!thrown) {
                value = std::move(event);
            }
            done = true;
            ended.cancel();
        };
        auto waiting = ears.next();
        asio::co_spawn(executor, std::move(waiting),
                       asio::bind_cancellation_slot(signal.slot(), on_end));
    }
    asio::awaitable<void> wait() {
        boost::system::error_code ignored;
        if (!done) {
            co_await ended.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
        }
    }
    errc code() const {
        REQUIRE(failure);
        try {
            std::rethrow_exception(failure);
        } catch (const bitdotio::error& thrown) {
            return thrown.code();
        }
    }

    asio::any_io_executor executor;
    asio::steady_timer ended;
    asio::cancellation_signal signal;
    std::exception_ptr failure;
    std::optional<listener_event> value;
    bool done = false;
};

asio::awaitable<void> pause(std::chrono::milliseconds time) {
    asio::steady_timer timer(co_await asio::this_coro::executor, time);
    co_await timer.async_wait(asio::use_awaitable);
}

TEST_CASE("notifications come in the order they were sent, with their sender") {
    const auto work = [](connect_options options) -> asio::awaitable<void> {
        listener ears = co_await listening(options, "news");
        connection c = co_await connection::open(options);
        const auto pid = co_await c.query("SELECT pg_backend_pid()");
        for (int i = 0; i < 100; ++i) {
            co_await notify(c, "news", std::to_string(i));
        }
        co_await c.query("SELECT pg_notify('news', i::text) FROM generate_series(100, 1099) AS i");
        for (int i = 0; i < 1100; ++i) {
            const auto event = co_await ears.next_within(20s);
            REQUIRE(event);
            const notification wanted("news", std::to_string(i), pid.one<int>());
            REQUIRE(std::get<notification>(*event) == wanted);
        }
        co_await c.query("NOTIFY news");
        const std::string bare = co_await heard(ears);
        CHECK(bare == "news:");
        const auto nothing = co_await ears.next_within(50ms);
        CHECK_FALSE(nothing);
        co_await ears.close();
    };
    test::run(work(shared().connect));
}

TEST_CASE("names of channels are taken as they are, whatever is in them") {
    const auto work = [](connect_options options) -> asio::awaitable<void> {
        listener ears(co_await asio::this_coro::executor, options);
        connection c = co_await connection::open(options);
        const std::vector<std::string> names{
            "Upper Case", "quo\"ted\"; DROP TABLE x; --", "'", "ünï", "*", std::string(63, 'x')};
        for (const std::string& name : names) {
            co_await ears.listen(name);
            co_await notify(c, name, "hello");
            const std::string got = co_await heard(ears);
            CHECK(got == name + ":hello");
        }
        for (const std::string& name :
             {std::string(), std::string(64, 'x'), std::string("a\0b", 3)}) {
            std::optional<errc> refused;
            try {
                co_await ears.listen(name);
            } catch (const bitdotio::error& failure) {
                refused = failure.code();
            }
            CHECK(refused == errc::bad_input);
        }
    };
    test::run(work(shared().connect));
}

TEST_CASE("the longest payload arrives whole, many times over") {
    const auto work = [](connect_options options) -> asio::awaitable<void> {
        listener ears = co_await listening(options, "large");
        connection c = co_await connection::open(options);
        const std::string payload(7'999, 'p');
        for (int i = 0; i < 20; ++i) {
            co_await c.query("SELECT pg_notify('large', $1 || $2)", payload.substr(4),
                             std::to_string(1'000 + i));
        }
        for (int i = 0; i < 20; ++i) {
            const std::string got = co_await heard(ears);
            CHECK(got == "large:" + payload.substr(4) + std::to_string(1'000 + i));
        }
    };
    test::run(work(shared().connect));
}

TEST_CASE("several channels are told apart, and one not listened to any more is silent") {
    const auto work = [](connect_options options) -> asio::awaitable<void> {
        listener ears = co_await listening(options, "a");
        connection c = co_await connection::open(options);
        co_await ears.listen("b");
        co_await ears.listen("b");
        co_await notify(c, "b", "1");
        co_await notify(c, "a", "2");
        const std::string first = co_await heard(ears);
        const std::string second = co_await heard(ears);
        CHECK(first == "b:1");
        CHECK(second == "a:2");
        co_await ears.unlisten("b");
        co_await ears.unlisten("never heard of");
        co_await notify(c, "b", "3");
        co_await notify(c, "a", "4");
        const std::string third = co_await heard(ears);
        CHECK(third == "a:4");
    };
    test::run(work(shared().connect));
}

TEST_CASE("a channel can be added while another coroutine waits for the next notification") {
    const auto work = [](connect_options options) -> asio::awaitable<void> {
        listener ears(co_await asio::this_coro::executor, options);
        connection c = co_await connection::open(options);
        pending first(co_await asio::this_coro::executor);
        first.start(ears);  // listens to nothing yet: no connection is opened
        co_await pause(20ms);
        co_await ears.listen("a");
        co_await ears.listen("b");
        CHECK_FALSE(first.done);
        co_await notify(c, "b", "x");
        co_await first.wait();
        REQUIRE(first.value);
        CHECK(std::get<notification>(*first.value).channel == "b");
    };
    test::run(work(shared().connect));
}

TEST_CASE("a second next() at once is refused and disturbs nothing") {
    const auto work = [](connect_options options) -> asio::awaitable<void> {
        listener ears = co_await listening(options, "a");
        connection c = co_await connection::open(options);
        pending first(co_await asio::this_coro::executor);
        first.start(ears);
        std::optional<errc> refused;
        try {
            co_await ears.next();
        } catch (const bitdotio::error& failure) {
            refused = failure.code();
        }
        CHECK(refused == errc::protocol_violated);
        co_await notify(c, "a", "x");
        co_await first.wait();
        CHECK(first.value);
    };
    test::run(work(shared().connect));
}

TEST_CASE("a cancelled wait loses nothing, and neither does one that ran out of time") {
    const auto work = [](connect_options options) -> asio::awaitable<void> {
        listener ears = co_await listening(options, "a");
        connection c = co_await connection::open(options);
        int next = 0;
        int cancelled = 0;
        const auto take = [&](const listener_event& event) {
            CHECK(std::get<notification>(event).payload == std::to_string(next));
            ++next;
        };
        for (int sent = 0; sent < 60; ++sent) {
            pending waits(co_await asio::this_coro::executor);
            waits.start(ears);
            if (sent % 3 == 0) {
                co_await pause(1ms);
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
            const auto soon = co_await ears.next_within(1ms);
            if (soon) {
                take(*soon);
            }
        }
        CHECK(cancelled > 0);
        while (next < 60) {
            const auto event = co_await ears.next_within(20s);
            REQUIRE(event);
            take(*event);
        }
        const auto start = std::chrono::steady_clock::now();
        const auto nothing = co_await ears.next_within(50ms);
        CHECK_FALSE(nothing);
        CHECK(std::chrono::steady_clock::now() - start < 5s);
    };
    test::run(work(shared().connect));
}

TEST_CASE("a lost connection is replaced, and the gap told before what comes after") {
    const auto work = [](connect_options options) -> asio::awaitable<void> {
        options.application_name = "ears";
        listener ears = co_await listening(options, "a");
        co_await ears.listen("B");
        options.application_name = "mouth";
        connection c = co_await connection::open(options);
        co_await notify(c, "a", "before");
        co_await terminate(c, "ears");
        co_await notify(c, "a", "missed");
        const std::string before = co_await heard(ears);
        CHECK(before == "a:before");
        const std::string why = co_await gap(ears);
        CHECK(why == "57P01");
        co_await notify(c, "B", "after");
        const std::string after = co_await heard(ears);
        CHECK(after == "B:after");
    };
    test::run(work(shared().connect));
}

TEST_CASE("a connection lost while next() waits is replaced at once") {
    const auto work = [](connect_options options) -> asio::awaitable<void> {
        options.application_name = "ears";
        listener ears = co_await listening(options, "a");
        options.application_name = "mouth";
        connection c = co_await connection::open(options);
        pending waits(co_await asio::this_coro::executor);
        waits.start(ears);
        co_await pause(20ms);
        co_await terminate(c, "ears");
        co_await waits.wait();
        REQUIRE(waits.value);
        CHECK(std::holds_alternative<notification_gap>(*waits.value));
    };
    test::run(work(shared().connect));
}

TEST_CASE("a channel added after the connection was lost without notice is listened to") {
    const auto work = [](connect_options options) -> asio::awaitable<void> {
        options.application_name = "ears";
        listener ears = co_await listening(options, "a");
        options.application_name = "mouth";
        connection c = co_await connection::open(options);
        co_await terminate(c, "ears");
        co_await ears.listen("b");
        co_await notify(c, "b", "x");
        const std::string why = co_await gap(ears);
        CHECK(why == "57P01");
        const std::string got = co_await heard(ears);
        CHECK(got == "b:x");
    };
    test::run(work(shared().connect));
}

TEST_CASE("a database that fell asleep is woken, and the gap is told") {
    test::database own;
    const auto work = [](test::database& home) -> asio::awaitable<void> {
        listener ears = co_await listening(home.connect, "a");
        home.server.sleep(home.name);
        CHECK(home.server.is_asleep(home.name));
        co_await gap(ears);
        connection c = co_await connection::open(home.connect);
        co_await notify(c, "a", "awake");
        const std::string got = co_await heard(ears);
        CHECK(got == "a:awake");
        co_await ears.close();
    };
    test::run(work(own));
}

TEST_CASE("a cancelled reconnection goes on with the next call, and the gap is still told") {
    const auto work = [](connect_options options) -> asio::awaitable<void> {
        const auto executor = co_await asio::this_coro::executor;
        options.application_name = "ears";
        listener ears = co_await listening(options, "a");
        options.application_name = "mouth";
        connection c = co_await connection::open(options);
        co_await terminate(c, "ears");
        for (int i = 0; i < 5; ++i) {
            // It is cancelled, whatever it is doing at that moment.
            pending waits(executor);
            waits.start(ears);
            co_await pause(std::chrono::milliseconds(i));
            waits.signal.emit(asio::cancellation_type::terminal);
            co_await waits.wait();
            if (waits.value) {
                CHECK(std::holds_alternative<notification_gap>(*waits.value));
                co_return;
            }
            CHECK(waits.code() == errc::cancelled);
        }
        const std::string why = co_await gap(ears);
        CHECK(why == "57P01");
    };
    test::run(work(shared().connect));
}

TEST_CASE("a refusal on the way back is told, and the next call tries again") {
    test::database own;
    const auto work = [](test::database& home) -> asio::awaitable<void> {
        connect_options options = home.connect;
        options.wake_timeout = 0ms;
        options.application_name = "ears";
        listener ears = co_await listening(options, "a");
        options.wake_timeout = 30s;
        options.application_name = "mouth";
        connection c = co_await connection::open(options);
        co_await terminate(c, "ears");
        home.server.refuse_next(1);
        std::optional<errc> told;
        try {
            co_await ears.next();
        } catch (const bitdotio::error& failure) {
            told = failure.code();
        }
        CHECK(told == errc::database_asleep);
        const std::string why = co_await gap(ears);
        CHECK(why == "57P01");
    };
    test::run(work(own));
}

TEST_CASE("closing ends a next() that waits, and a closed listener stays closed") {
    const auto work = [](connect_options options) -> asio::awaitable<void> {
        listener ears = co_await listening(options, "a");
        pending waits(co_await asio::this_coro::executor);
        waits.start(ears);
        co_await pause(5ms);
        co_await ears.close();
        co_await waits.wait();
        CHECK(waits.code() == errc::connection_lost);
        co_await ears.close();
        std::optional<errc> refused;
        try {
            co_await ears.listen("b");
        } catch (const bitdotio::error& failure) {
            refused = failure.code();
        }
        CHECK(refused == errc::connection_lost);
    };
    test::run(work(shared().connect));
}

TEST_CASE("a listener whose owner is slow does not read on") {
    const auto work = [](connect_options options) -> asio::awaitable<void> {
        listener ears = co_await listening(options, "a");
        connection c = co_await connection::open(options);
        co_await notify(c, "a", "first");
        const std::string first = co_await heard(ears);
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
                const std::string got = co_await heard(ears);
                REQUIRE(got == "a:" + payload + std::to_string(i) + "." + std::to_string(j));
            }
        }
    };
    test::run(work(shared().connect));
}

TEST_CASE("a listener serves threads of a pool, whichever runs it") {
    asio::thread_pool threads(3);
    const auto work = [](connect_options options) -> asio::awaitable<int> {
        listener ears = co_await listening(options, "a");
        connection c = co_await connection::open(options);
        int count = 0;
        for (int i = 0; i < 200; ++i) {
            co_await notify(c, "a", std::to_string(i));
            const auto event = co_await ears.next_within(20s);
            count += event && std::get<notification>(*event).payload == std::to_string(i);
        }
        co_await ears.close();
        co_return count;
    };
    auto counted = asio::co_spawn(threads, work(shared().connect), asio::use_future);
    REQUIRE(counted.wait_for(60s) == std::future_status::ready);
    CHECK(counted.get() == 200);
    threads.join();
}

TEST_CASE("listeners leave no descriptor behind, closed or destroyed, waiting or not") {
    const auto work = [](connect_options options) -> asio::awaitable<void> {
        options.application_name = "ears";
        const auto executor = co_await asio::this_coro::executor;
        for (int i = 0; i < 5; ++i) {
            listener closed = co_await listening(options, "a");
            co_await closed.close();
            listener destroyed = co_await listening(options, "a");
            pending waits(executor);
            {
                listener dropped = co_await listening(options, "a");
                waits.start(dropped);
                co_await pause(5ms);
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
        listener ears(co_await asio::this_coro::executor, options);
        co_await ears.listen("a");
        listens = true;
        co_await ears.next();
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
    const auto work = []() -> asio::awaitable<void> {
        listener ears(co_await asio::this_coro::executor, connect_options());
        co_await ears.next();
    };
    CHECK(test::error_of(work()).code() == errc::bad_input);
}

}  // namespace
