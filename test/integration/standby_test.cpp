// A primary that goes away and comes back, and its standby, which is read and promoted.
#include "support/database.hpp"
#include "support/gather.hpp"
#include "support/pool_use.hpp"
#include "support/postgres_cluster.hpp"
#include "support/with_connection.hpp"

#include <bitdotio/pool.hpp>

#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <doctest/doctest.h>

#include <optional>
#include <vector>

namespace {

namespace asio = boost::asio;
using namespace std::chrono_literals;
using bitdotio::connect_options;
using bitdotio::connection;
using bitdotio::errc;
using bitdotio::outcome;
using bitdotio::pool;
using bitdotio::statement;
using test::ask_often;
using test::expect_none;
using test::failure_of;
using test::open_all;
using test::rest;
using test::stop_mode;

template <class Session>
asio::awaitable<bool> in_recovery(Session& session) {
    const auto answer = co_await session.query("SELECT pg_is_in_recovery()");
    co_return answer.template one<bool>();
}

asio::awaitable<int> backend_of(connection& c) {
    const auto answer = co_await c.query("SELECT pg_backend_pid()");
    co_return answer.one<int>();
}

TEST_CASE("a standby is read, and refuses writes with 25006 on a connection that stays well") {
    test::postgres_primary primary;
    test::postgres_standby standby(primary);
    primary.execute(
        "CREATE TABLE t (a integer); INSERT INTO t VALUES (1), (2); GRANT ALL ON t TO tester");
    standby.catch_up();
    test::with_connection(standby.connect(), [&](connection& c) -> asio::awaitable<void> {
        const int backend = co_await backend_of(c);
        const bool recovering = co_await in_recovery(c);
        CHECK(recovering);
        const auto failure = co_await failure_of(c, "INSERT INTO t VALUES (3)");
        REQUIRE(failure);
        CHECK(failure->code() == errc::query_failed);
        CHECK(failure->sqlstate() == "25006");
        CHECK(failure->outcome() == outcome::not_executed);
        const auto rows = co_await c.query("SELECT a FROM t ORDER BY a");
        CHECK(rows.rows_as<int>() == std::vector<int>{1, 2});
        const int still = co_await backend_of(c);
        CHECK(still == backend);
    });
}

TEST_CASE("a pool of two hosts goes over from a dead primary to the standby and its promotion") {
    test::postgres_primary primary;
    test::postgres_standby standby(primary);
    primary.execute("CREATE TABLE t (a integer); GRANT ALL ON t TO tester");
    test::run([&]() -> asio::awaitable<void> {
        connect_options both = primary.connect();
        both.hosts.push_back(standby.address());
        pool connections(co_await asio::this_coro::executor, both);
        co_await open_all(connections, 3);
        const bool first_in_recovery = co_await in_recovery(connections);
        CHECK_FALSE(first_in_recovery);
        co_await connections.query("INSERT INTO t VALUES ($1)", 1);
        standby.catch_up();

        primary.stop(stop_mode::immediate);
        const bool second_in_recovery = co_await in_recovery(connections);
        CHECK(second_in_recovery);
        const auto refused = co_await failure_of(connections, "INSERT INTO t VALUES (2)");
        REQUIRE(refused);
        CHECK(refused->sqlstate() == "25006");

        // A connected client stays connected, and may write from then on.
        bitdotio::pooled_connection held = co_await connections.acquire();
        const int backend = co_await backend_of(*held);
        standby.promote();
        co_await held->query("INSERT INTO t VALUES ($1)", 3);
        const int still = co_await backend_of(*held);
        CHECK(still == backend);
        held.release();

        co_await open_all(connections, 3);
        expect_none(co_await ask_often(connections, 20));
        co_await connections.query("INSERT INTO t VALUES ($1)", 4);
        const auto rows = co_await connections.query("SELECT a FROM t ORDER BY a");
        CHECK(rows.rows_as<int>() == std::vector<int>{1, 3, 4});
        co_await connections.close();
    });
}

// Shared by the cases that leave it running.
test::postgres_primary& shared() {
    static test::postgres_primary instance;
    return instance;
}

TEST_CASE("a pool whose server stopped and started while it idled sees no error") {
    for (const stop_mode how : {stop_mode::immediate, stop_mode::fast}) {
        CAPTURE(static_cast<int>(how));
        test::with_pool(shared().connect(), [&](pool& connections) -> asio::awaitable<void> {
            co_await open_all(connections, 5);
            shared().stop(how);
            shared().start();
            expect_none(co_await ask_often(connections, 20));
            const auto now = co_await connections.statistics();
            CHECK(now.replaced + now.evicted + now.retried >= 5);
        });
    }
}

TEST_CASE("sessions killed again and again while idle cost no error") {
    test::with_pool(shared().connect(), [&](pool& connections) -> asio::awaitable<void> {
        for (int turn = 0; turn < 5; ++turn) {
            co_await open_all(connections, 5);
            shared().kill_backends();
            expect_none(co_await ask_often(connections, 20));
        }
    });
}

TEST_CASE("a statement under way when the server stops is not repeated: its outcome is unknown") {
    shared().execute("CREATE TABLE once (a integer); GRANT ALL ON once TO tester");
    for (const stop_mode how : {stop_mode::immediate, stop_mode::fast}) {
        CAPTURE(static_cast<int>(how));
        test::with_pool(shared().connect(), [&](pool& connections) -> asio::awaitable<void> {
            co_await open_all(connections, 2);
            auto one = [&](std::size_t i) -> asio::awaitable<void> {
                if (i == 0) {
                    co_await connections.query("INSERT INTO once SELECT 1 FROM pg_sleep(60)");
                    co_return;
                }
                while (shared().value("SELECT count(*) FROM pg_stat_activity WHERE "
                                      "wait_event = 'PgSleep'") == "0") {
                    co_await rest(5ms);
                }
                shared().stop(how);
            };
            const auto failures = co_await test::gather(2, one);
            REQUIRE(failures.size() == 1);
            CHECK(failures[0].code() == errc::connection_lost);
            CHECK(failures[0].outcome() == outcome::unknown);
            CHECK(failures[0].attempts() == 1);
            shared().start();
            expect_none(co_await ask_often(connections, 10));
            const auto rows = co_await connections.query("SELECT count(*) FROM once");
            CHECK(rows.one<int>() == 0);
        });
    }
}

TEST_CASE("callers wait for a server that is down and are served when it is back") {
    test::with_pool(shared().connect(), [&](pool& connections) -> asio::awaitable<void> {
        co_await open_all(connections, 3);
        shared().stop(stop_mode::fast);
        bool started = false;
        auto one = [&](std::size_t i) -> asio::awaitable<void> {
            if (i > 0) {
                const auto answer = co_await connections.query("SELECT 1");
                CHECK(answer.one<int>() == 1);
                CHECK(started);
                co_return;
            }
            auto now = co_await connections.statistics();
            while (!now.waking) {
                co_await rest(5ms);
                now = co_await connections.statistics();
            }
            shared().start();
            started = true;
        };
        expect_none(co_await test::gather(30, one));
    });
}

TEST_CASE("a connection's walk goes on from a stopped host to the next, and wakes with any") {
    test::postgres_primary other;
    test::run([&]() -> asio::awaitable<void> {
        connect_options two = shared().connect();
        two.hosts.push_back(other.address());
        two.ca_file = other.connect().ca_file;
        shared().stop(stop_mode::fast);
        connection c = co_await connection::open(two);
        const auto port = co_await c.query("SELECT inet_server_port()");
        CHECK(port.one<int>() == other.port());
        shared().start();
    });
}

}  // namespace
