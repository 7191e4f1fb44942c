// A pool's life against a real server: limits that change, connections that age, peers that fall
// silent, borrowers that do not give back, and what an observer is told of it.
#include "support/fault_proxy.hpp"
#include "support/pool_use.hpp"
#include "support/postgres.hpp"
#include "support/run.hpp"
#include "support/with_connection.hpp"

#include <bitdotio/pool.hpp>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>

#include <doctest/doctest.h>

#include <memory>
#include <source_location>
#include <string>
#include <vector>

namespace {

namespace asio = boost::asio;
using namespace std::chrono_literals;
using bitdotio::close_reason;
using bitdotio::errc;
using bitdotio::pool;
using bitdotio::pool_options;
using bitdotio::pool_statistics;

test::private_postgres_options trusting() {
    test::private_postgres_options options;
    options.hba = "host all all 127.0.0.1/32 trust\n";
    return options;
}

// One server for this file; each case has a pool of its own.
test::private_postgres& server() {
    static test::private_postgres one(trusting());
    return one;
}

bitdotio::connect_options connect() {
    return server().over_tcp("postgres", "");
}

bitdotio::connect_options connect_through(const test::fault_proxy& proxy) {
    bitdotio::connect_options options = connect();
    options.hosts = {{"127.0.0.1", proxy.port()}};
    return options;
}

// The error of an awaitable, in a coroutine.
template <class T>
asio::awaitable<bitdotio::error> failure(asio::awaitable<T> work) {
    try {
        co_await std::move(work);
    } catch (const bitdotio::error& thrown) {
        co_return thrown;
    }
    co_return bitdotio::error(errc::bad_input, "it ended without an error");
}

bool says(const bitdotio::error& thrown, const std::string& part) {
    const bool found = std::string(thrown.what()).find(part) != std::string::npos;
    if (!found) MESSAGE(std::string(thrown.what()));
    return found;
}

// Waits until the pool's counts meet a condition.
template <class Met>
asio::awaitable<pool_statistics> until(pool& from, Met& met) {
    const auto deadline = std::chrono::steady_clock::now() + 20s;
    while (true) {
        const pool_statistics now = co_await from.statistics();
        if (met(now)) co_return now;
        if (std::chrono::steady_clock::now() > deadline) {
            throw std::runtime_error("the pool did not come to be as the test waits for");
        }
        co_await test::rest(2ms);
    }
}

// Opens that many connections, which have been idle for longer than a probe_after of 1 ms.
asio::awaitable<void> open_silent(pool& from, std::size_t count) {
    co_await test::open_all(from, count);
    auto all_idle = [&](const pool_statistics& now) { return now.idle == count; };
    co_await until(from, all_idle);
    co_await test::rest(5ms);
}

class diary : public bitdotio::pool_observer {
public:
    void connecting() override { note("connecting"); }
    void connected(duration) override { note("connected"); }
    void connect_failed(const bitdotio::error&, duration) override { note("connect_failed"); }
    void woke(duration) override { note("woke"); }
    void acquired(duration) override { note("acquired"); }
    void acquire_failed(const bitdotio::error&, duration) override { note("acquire_failed"); }
    void released(duration) override { note("released"); }
    void closed(close_reason why) override { note("closed " + std::string(to_string(why))); }
    void queried(std::string_view sql, duration, const bitdotio::error* failed) override {
        note("queried " + std::string(sql) + (failed ? " in vain" : ""));
    }
    void leaked(const std::source_location& where, duration held) override {
        leak = where;
        leak_held = held;
    }
    void warned(std::string_view text) override { note("warned " + std::string(text)); }

    std::vector<std::string> pages;
    std::source_location leak;
    duration leak_held{};

private:
    void note(std::string what) {
        pages.push_back(std::move(what));
        throw std::runtime_error("what an observer throws is dropped");
    }
};

TEST_CASE("close cuts what has not come back by its deadline, and says who held it") {
    test::run([]() -> asio::awaitable<void> {
        pool connections(co_await asio::this_coro::executor, connect());
        bitdotio::pooled_connection held = co_await connections.acquire();
        const auto place = "pool_life_test.cpp:" + std::to_string(__LINE__ - 1);
        const int pid = held->backend_pid();
        const auto late = co_await failure(connections.close(50ms));
        CHECK(late.code() == errc::timeout);
        CHECK(says(late, place));
        const auto lost = co_await failure(held->query("SELECT 1"));
        CHECK(lost.code() == errc::connection_lost);
        held.release();
        co_await connections.close();
        bitdotio::connection other = co_await bitdotio::connection::open(connect());
        const auto gone = [&]() -> asio::awaitable<bool> {
            const auto left =
                co_await other.query("SELECT count(*) FROM pg_stat_activity WHERE pid = $1", pid);
            co_return left.one<int>() == 0;
        };
        bool is_gone = co_await gone();
        for (int round = 0; !is_gone && round < 500; ++round) {
            co_await test::rest(10ms);
            is_gone = co_await gone();
        }
        CHECK(is_gone);
        co_await other.close();
    });
}

TEST_CASE("a statement under way when its pool is closed by force ends as a lost connection") {
    test::run([]() -> asio::awaitable<void> {
        pool connections(co_await asio::this_coro::executor, connect());
        std::optional<bitdotio::error> ended;
        auto sleeper = [&](std::size_t) -> asio::awaitable<void> {
            ended = co_await failure(connections.query("SELECT pg_sleep(60)"));
        };
        auto closer = [&](std::size_t) -> asio::awaitable<void> {
            auto busy = [](const pool_statistics& now) { return now.used == 1; };
            co_await until(connections, busy);
            const auto late = co_await failure(connections.close(10ms));
            CHECK(late.code() == errc::timeout);
        };
        auto both = [&](std::size_t i) { return i == 0 ? sleeper(0) : closer(1); };
        test::expect_none(co_await test::gather(2, both));
        REQUIRE(ended);
        CHECK(ended->code() == errc::connection_lost);
        CHECK(ended->outcome() == bitdotio::outcome::unknown);
    });
}

TEST_CASE("after a reset every borrower gets a new connection, and nobody loses the old one") {
    test::with_pool(connect(), [](pool& connections) -> asio::awaitable<void> {
        co_await test::open_all(connections, 3);
        bitdotio::pooled_connection held = co_await connections.acquire();
        const int pid = held->backend_pid();
        connections.reset();
        const auto mine = co_await held->query("SELECT pg_backend_pid()");
        CHECK(mine.one<int>() == pid);
        const pool_statistics after = co_await connections.statistics();
        CHECK(after.idle == 0);
        CHECK(after.used == 1);
        held.release();
        const auto fresh = co_await connections.query("SELECT pg_backend_pid()");
        CHECK(fresh.one<int>() != pid);
    });
}

TEST_CASE("a pool that is made smaller closes what is too much, one made larger serves who waits") {
    pool_options options;
    options.max_size = 4;
    test::with_pool(connect(), options, [](pool& connections) -> asio::awaitable<void> {
        co_await test::open_all(connections, 4);
        connections.resize(0, 1);
        auto small = [](const pool_statistics& now) { return now.idle == 1; };
        const pool_statistics now = co_await until(connections, small);
        CHECK(now.max_size == 1);
        bitdotio::pooled_connection first = co_await connections.acquire();
        bitdotio::pooled_connection second;
        auto waits = [&](std::size_t) -> asio::awaitable<void> {
            second = co_await connections.acquire();
        };
        auto grows = [&](std::size_t) -> asio::awaitable<void> {
            auto one_waits = [](const pool_statistics& is) { return is.waiting == 1; };
            co_await until(connections, one_waits);
            connections.resize(0, 2);
        };
        auto both = [&](std::size_t i) { return i == 0 ? waits(0) : grows(1); };
        test::expect_none(co_await test::gather(2, both));
        CHECK(second->is_open());
        bool refused = false;
        try {
            connections.resize(3, 3);
        } catch (const bitdotio::error& thrown) {
            refused = thrown.code() == errc::bad_input;
        }
        CHECK(refused);
        first.release();
        second.release();
    });
}

TEST_CASE("connections are closed at the end of their lifetime, and statements see nothing of it") {
    pool_options options;
    options.max_size = 2;
    options.max_lifetime = 60ms;
    test::with_pool(connect(), options, [](pool& connections) -> asio::awaitable<void> {
        pool_statistics now;
        while (now.closed_aged < 5) {
            const auto answer = co_await connections.query("SELECT 1");
            CHECK(answer.one<int>() == 1);
            now = co_await connections.statistics();
        }
        CHECK(now.replaced == 0);
        CHECK(now.retried == 0);
    });
}

TEST_CASE("a peer that fell silent costs the next borrower one probe, not its statement") {
    test::run([]() -> asio::awaitable<void> {
        const auto executor = co_await asio::this_coro::executor;
        const auto proxy = test::fault_proxy::start(executor, server().port());
        pool_options options;
        options.probe_after = 1ms;
        options.probe_timeout = 200ms;
        pool connections(executor, connect_through(*proxy), options);
        co_await open_silent(connections, 3);
        proxy->hold_both();  // hits the open ones; new connections pass
        const auto answer = co_await connections.query("SELECT 1");
        CHECK(answer.one<int>() == 1);
        const pool_statistics now = co_await connections.statistics();
        CHECK(now.probes >= 1);
        CHECK(now.replaced >= 1);
        CHECK(now.retried == 0);
        proxy->cut();
        co_await connections.close();
        co_await proxy->until_empty();
    });
}

TEST_CASE("a living peer that was silent for long is probed by a Sync and lent") {
    test::run([]() -> asio::awaitable<void> {
        const auto executor = co_await asio::this_coro::executor;
        const auto proxy = test::fault_proxy::start(executor, server().port());
        pool_options options;
        options.probe_after = 1ms;
        pool connections(executor, connect_through(*proxy), options);
        co_await open_silent(connections, 1);
        const int parsed = proxy->seen(test::side::frontend, 'P');
        bitdotio::pooled_connection lent = co_await connections.acquire();
        CHECK(proxy->seen(test::side::frontend, 'S') == 1);
        CHECK(proxy->seen(test::side::frontend, 'P') == parsed);
        const pool_statistics now = co_await connections.statistics();
        CHECK(now.opened == 1);
        CHECK(now.probes == 1);
        lent.release();
        co_await connections.close();
        co_await proxy->until_empty();
    });
}

TEST_CASE("a task that waits for itself is told so, with the place where it holds on") {
    pool_options options;
    options.max_size = 1;
    options.acquire_timeout = 100ms;
    test::with_pool(connect(), options, [](pool& connections) -> asio::awaitable<void> {
        // Opening the one connection may take longer than acquire_timeout; lending it does not.
        bool opened = false;
        while (!opened) {
            const auto late = co_await test::failure_of(connections, "SELECT 1");
            opened = !late;
        }
        bitdotio::transaction held = co_await connections.begin();
        const auto place = "pool_life_test.cpp:" + std::to_string(__LINE__ - 1);
        const auto stuck = co_await failure(connections.query("SELECT 1"));
        CHECK(stuck.code() == errc::acquire_timeout);
        CHECK(says(stuck, place));
        CHECK(says(stuck, "waits for itself"));
        co_await held.rollback();
    });
}

TEST_CASE("a caller whose own executor ends while it is handed a connection keeps none") {
    pool_options options;
    options.max_size = 1;
    test::with_pool(connect(), options, [](pool& from) -> asio::awaitable<void> {
        bitdotio::pooled_connection held = co_await from.acquire();
        auto other = std::make_unique<asio::io_context>();
        auto borrow = [&]() -> asio::awaitable<void> { co_await from.acquire(); };
        asio::co_spawn(*other, borrow(), asio::detached);
        other->poll();  // it waits
        held.release();
        const pool_statistics handed = co_await from.statistics();
        CHECK(handed.used == 1);
        other.reset();  // before it goes on
        const pool_statistics now = co_await from.statistics();
        CHECK(now.used == 0);
        CHECK(now.idle == 1);
    });
}

TEST_CASE("who holds a connection for too long is reported once, with the place") {
    test::run([]() -> asio::awaitable<void> {
        const auto told = std::make_shared<diary>();
        pool_options options;
        options.leak_after = 20ms;
        options.observer = told;
        pool connections(co_await asio::this_coro::executor, connect(), options);
        bitdotio::pooled_connection held = co_await connections.acquire();
        const auto line = static_cast<unsigned>(__LINE__ - 1);
        auto leaked = [](const pool_statistics& now) { return now.leaked > 0; };
        co_await until(connections, leaked);
        CHECK(told->leak.line() == line);
        CHECK(told->leak_held >= 20ms);
        held.release();
        const pool_statistics now = co_await connections.statistics();
        CHECK(now.leaked == 1);
        co_await connections.close();
    });
}

TEST_CASE("an observer is told what happens in the order in which it does") {
    test::run([]() -> asio::awaitable<void> {
        const auto told = std::make_shared<diary>();
        pool_options options;
        options.observer = told;
        pool connections(co_await asio::this_coro::executor, connect(), options);
        co_await connections.query("SELECT 1");
        const auto failed = co_await failure(connections.query("SELECT 1 / 0"));
        CHECK(failed.sqlstate() == "22012");
        co_await connections.close();
        CHECK(told->pages == std::vector<std::string>{"connecting", "connected", "acquired",
                                                      "queried SELECT 1", "released", "acquired",
                                                      "queried SELECT 1 / 0 in vain", "released",
                                                      "closed pool_closed"});
    });
}

TEST_CASE("a minimum of connections to a database that is meant to sleep is warned of") {
    test::run([]() -> asio::awaitable<void> {
        const auto told = std::make_shared<diary>();
        pool_options options = pool_options::serverless();
        options.min_size = 1;
        options.observer = told;
        pool connections(co_await asio::this_coro::executor, connect(), options);
        REQUIRE(!told->pages.empty());
        CHECK(told->pages.front().find("min_size is 1") != std::string::npos);
        co_await connections.close();
    });
}

TEST_CASE("what has been unreachable for longer than any wake refuses at once, and recovers") {
    test::run([]() -> asio::awaitable<void> {
        const auto executor = co_await asio::this_coro::executor;
        const auto proxy = test::fault_proxy::start(executor, server().port());
        proxy->set(test::admission::refuse);
        bitdotio::connect_options through = connect_through(*proxy);
        through.wake_timeout = 300ms;
        pool_options options;
        options.breaker_after = 300ms;
        options.acquire_timeout = 200ms;
        pool connections(executor, through, options);
        pool_statistics now;
        while (!now.broken) {
            const auto refused = co_await failure(connections.acquire());
            CHECK(refused.code() != errc::acquire_timeout);
            CHECK(refused.outcome() == bitdotio::outcome::not_sent);
            now = co_await connections.statistics();
        }
        // The error says when the next try will be, while none is under way.
        std::optional<bitdotio::error> last;
        bool says_when = false;
        for (int round = 0; !says_when && round < 1'000; ++round) {
            const auto begin = std::chrono::steady_clock::now();
            last = co_await failure(connections.acquire());
            CHECK(std::chrono::steady_clock::now() - begin < 5s);
            CHECK(last->code() == errc::connect_failed);
            CHECK(says(*last, "nobody waits for it"));
            says_when = std::string(last->what()).find("tried again in") != std::string::npos;
        }
        CHECK(says_when);
        proxy->set(test::admission::open);
        // Further calls cause further tries, and one of them succeeds.
        for (int round = 0; last && round < 5'000; ++round) {
            last = co_await test::failure_of(connections, "SELECT 1");
            co_await test::rest(2ms);
        }
        CHECK_FALSE(last);
        co_await connections.close();
        co_await proxy->until_empty();
    });
}

TEST_CASE("statements that were stopped on the server are counted") {
    test::with_pool(connect(), [](pool& connections) -> asio::awaitable<void> {
        co_await connections.query(
            "SELECT 1");  // or the time may be up before there is a connection
        const auto slow = bitdotio::statement("SELECT pg_sleep(60)").timeout(500ms);
        const auto late = co_await failure(connections.query(slow));
        CHECK(late.code() == errc::timeout);
        CHECK(late.outcome() == bitdotio::outcome::not_executed);
        const pool_statistics now = co_await connections.statistics();
        CHECK(now.cancels == 1);
        CHECK(now.opened == 1);
    });
}

}  // namespace
