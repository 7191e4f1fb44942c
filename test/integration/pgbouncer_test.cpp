// Connection and pool through PgBouncer, which stands between them and the server.
#include "support/pgbouncer.hpp"
#include "support/database.hpp"
#include "support/gather.hpp"
#include "support/pool_use.hpp"
#include "support/with_connection.hpp"

#include <bitdotio/pool.hpp>

#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <doctest/doctest.h>

#include <optional>
#include <set>
#include <string>
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
using test::pgbouncer;
using test::pooling;
using test::rest;

// Shared by all cases, which leave it running.
test::postgres_primary& primary() {
    static test::postgres_primary instance;
    return instance;
}

// Runs a case in both pooling modes.
template <class Work>
void in_both_modes(Work work) {
    for (const pooling mode : {pooling::session, pooling::transaction}) {
        CAPTURE(static_cast<int>(mode));
        work(mode);
    }
}

// Runs the coroutine of a case with a connection in both pooling modes.
template <class Work>
void with_both_modes(Work work) {
    in_both_modes([&](pooling mode) {
        pgbouncer pooler(primary(), mode);
        test::with_connection(pooler.connect(), work);
    });
}

TEST_CASE("through PgBouncer values come and go, and an error keeps the connection") {
    with_both_modes([](connection& c) -> asio::awaitable<void> {
        const auto sum = co_await c.query("SELECT $1::integer + 1", 41);
        CHECK(sum.one<int>() == 42);
        const std::string sent(1 << 20, 'x');
        const auto echoed = co_await c.query("SELECT $1::text", sent);
        CHECK(echoed.one<std::string>() == sent);
        const auto failure = co_await failure_of(c, "SELECT 1 / 0");
        REQUIRE(failure);
        CHECK(failure->code() == errc::query_failed);
        CHECK(failure->sqlstate() == "22012");
        const auto both = co_await c.script("SELECT 1; SELECT 2");
        REQUIRE(both.size() == 2);
        CHECK(both[1].one<int>() == 2);
    });
}

TEST_CASE("through PgBouncer transactions commit, roll back, and roll back when dropped") {
    with_both_modes([](connection& c) -> asio::awaitable<void> {
        co_await c.script("DROP TABLE IF EXISTS kept; CREATE TABLE kept (a integer)");
        {
            bitdotio::transaction kept = co_await c.begin();
            co_await kept.query("INSERT INTO kept VALUES ($1)", 1);
            co_await kept.commit();
            bitdotio::transaction undone = co_await c.begin();
            co_await undone.query("INSERT INTO kept VALUES ($1)", 2);
            co_await undone.rollback();
            bitdotio::transaction dropped = co_await c.begin();
            co_await dropped.query("INSERT INTO kept VALUES ($1)", 3);
        }
        const auto rows = co_await c.query("SELECT a FROM kept");
        CHECK(rows.rows_as<int>() == std::vector<int>{1});
    });
}

TEST_CASE("a deadline stops the statement behind PgBouncer and keeps the connection") {
    with_both_modes([](connection& c) -> asio::awaitable<void> {
        for (int i = 0; i < 5; ++i) {
            const auto failure =
                co_await failure_of(c, statement("SELECT pg_sleep(60)").timeout(100ms));
            REQUIRE(failure);
            CHECK(failure->code() == errc::timeout);
            CHECK(failure->sqlstate() == "57014");
            CHECK(failure->outcome() == outcome::not_executed);
            CHECK(c.is_open());
            // A late cancel would hit this statement.
            const auto next = co_await c.query("SELECT pg_sleep(0.002)");
            CHECK(next.size() == 1);
        }
    });
}

TEST_CASE("a pool survives a restart of PgBouncer without an error") {
    in_both_modes([](pooling mode) {
        pgbouncer pooler(primary(), mode);
        test::with_pool(pooler.connect(), [&](pool& connections) -> asio::awaitable<void> {
            co_await open_all(connections, 4);
            pooler.stop();
            pooler.start();
            expect_none(co_await ask_often(connections, 20));
            const auto now = co_await connections.statistics();
            CHECK(now.replaced + now.evicted + now.retried >= 4);
        });
    });
}

TEST_CASE("a pool waits for a PgBouncer that is down and goes on when it is back") {
    pgbouncer pooler(primary(), pooling::transaction);
    test::with_pool(pooler.connect(), [&](pool& connections) -> asio::awaitable<void> {
        pooler.stop();
        bool started = false;
        auto one = [&](std::size_t i) -> asio::awaitable<void> {
            if (i == 0) {
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
            pooler.start();
            started = true;
        };
        expect_none(co_await test::gather(2, one));
    });
}

TEST_CASE("sessions ended behind an idle PgBouncer are replaced without an error") {
    in_both_modes([](pooling mode) {
        pgbouncer pooler(primary(), mode);
        test::with_pool(pooler.connect(), [&](pool& connections) -> asio::awaitable<void> {
            co_await open_all(connections, 4);
            for (int turn = 0; turn < 3; ++turn) {
                expect_none(co_await ask_often(connections, 4));
                // PgBouncer has noticed it when it has no server left; one that it was just opening
                // ends a moment later.
                do {
                    primary().kill_backends();
                    co_await rest(5ms);
                } while (!pooler.column("SERVERS", "state").empty());
                expect_none(co_await ask_often(connections, 20));
            }
        });
    });
}

TEST_CASE("clients that PgBouncer ends for idling are replaced without an error") {
    pgbouncer pooler(primary(), pooling::transaction, {{"client_idle_timeout", "1"}});
    test::with_pool(pooler.connect(), [&](pool& connections) -> asio::awaitable<void> {
        co_await open_all(connections, 3);
        auto now = co_await connections.statistics();
        while (now.used > 0) {  // while they are being returned
            co_await rest(1ms);
            now = co_await connections.statistics();
        }
        CHECK(now.idle == 3);
        while (now.idle > 0) {
            co_await rest(20ms);
            now = co_await connections.statistics();
        }
        CHECK(now.replaced + now.evicted + now.closed_idle == 3);
        expect_none(co_await ask_often(connections, 10));
    });
}

TEST_CASE("a database killed and resumed in PgBouncer costs the pool's callers no error") {
    pgbouncer pooler(primary(), pooling::transaction);
    test::with_pool(pooler.connect(), [&](pool& connections) -> asio::awaitable<void> {
        co_await open_all(connections, 4);
        pooler.command("KILL tests");
        pooler.command("RESUME tests");
        expect_none(co_await ask_often(connections, 20));
    });
}

TEST_CASE("a statement sent to a paused PgBouncer is answered when it resumes") {
    pgbouncer pooler(primary(), pooling::transaction);
    test::with_connection(pooler.connect(), [&](connection& c) -> asio::awaitable<void> {
        co_await c.query("SELECT 1");
        pooler.command("PAUSE");
        bool resumed = false;
        auto one = [&](std::size_t i) -> asio::awaitable<void> {
            if (i == 0) {
                const auto answer = co_await c.query("SELECT 7");
                CHECK(answer.one<int>() == 7);
                CHECK(resumed);
                co_return;
            }
            const std::set<std::string> nobody{"0"};
            std::set<std::string> waiting = nobody;
            while (waiting == nobody) {
                co_await rest(5ms);
                const auto counts = pooler.column("POOLS", "cl_waiting");
                waiting = {counts.begin(), counts.end()};
            }
            resumed = true;
            pooler.command("RESUME");
        };
        expect_none(co_await test::gather(2, one));
    });
}

TEST_CASE("past its deadline in a paused PgBouncer a statement is given up with its connection") {
    pgbouncer pooler(primary(), pooling::transaction);
    test::run([&]() -> asio::awaitable<void> {
        connect_options options = pooler.connect();
        options.cancel_timeout = 300ms;
        connection c = co_await connection::open(options);
        co_await c.query("SELECT 1");
        pooler.command("PAUSE");
        // No backend executes it, so nothing can acknowledge that it was stopped.
        const auto failure = co_await failure_of(c, statement("SELECT 1").timeout(100ms));
        REQUIRE(failure);
        CHECK(failure->code() == errc::timeout);
        CHECK(failure->outcome() == outcome::unknown);
        CHECK_FALSE(c.is_open());
        pooler.command("RESUME");
        connection next = co_await connection::open(options);
        const auto answer = co_await next.query("SELECT 1");
        CHECK(answer.one<int>() == 1);
    });
}

// With the statement cache on, a statement prepared on one backend is run on the other and heals;
// but not inside a transaction, where a refusal ends it.
void repeat_over_backends(bool prepares) {
    pgbouncer pooler(primary(), pooling::transaction,
                     {{"default_pool_size", "2"}, {"server_reset_query_always", "0"}});
    test::run([&]() -> asio::awaitable<void> {
        constexpr std::size_t many = 4;
        std::vector<connection> clients;
        for (std::size_t i = 0; i < many; ++i) {
            connect_options options = pooler.connect();
            options.statement_cache_size = prepares ? options.statement_cache_size : 0;
            clients.push_back(co_await connection::open(options));
        }
        std::set<int> backends;
        std::vector<std::set<int>> seen(many);
        const statement same("SELECT $1::integer + $2::integer, pg_backend_pid()");
        for (std::size_t turn = 0; turn < 50; ++turn) {
            // One client holds a backend, each in turn: the others must use the other backend.
            bitdotio::transaction held = co_await clients[turn % many].begin();
            co_await held.query("SELECT 1");
            for (std::size_t i = 0; i < many; ++i) {
                if (i == turn % many) continue;
                const auto answer = co_await clients[i].query(same, static_cast<int>(turn), 1);
                const auto [sum, backend] = answer.one<std::tuple<int, int>>();
                CHECK(sum == static_cast<int>(turn) + 1);
                seen[i].insert(backend);
                backends.insert(backend);
            }
            statement inner = same;
            if (prepares) {
                inner.unprepared();
            }
            const auto inside = co_await held.query(inner, static_cast<int>(turn), 1);
            const auto [sum, backend] = inside.one<std::tuple<int, int>>();
            CHECK(sum == static_cast<int>(turn) + 1);
            seen[turn % many].insert(backend);
            backends.insert(backend);
            co_await held.commit();
        }
        CHECK(backends.size() == 2);
        for (const auto& one : seen) {
            CHECK(one.size() == 2);  // otherwise they did not exchange them, and nothing was tried
        }
        auto at_once = [&](std::size_t i) -> asio::awaitable<void> {
            for (int turn = 0; turn < 50; ++turn) {
                const auto answer = co_await clients[i].query(same, turn, 1);
                CHECK(std::get<0>(answer.one<std::tuple<int, int>>()) == turn + 1);
            }
        };
        expect_none(co_await test::gather(many, at_once));
    });
}

asio::awaitable<void> change_and_go_on(connect_options options, bitdotio::session_reset how,
                                       bool sessions_last) {
    options.statement_cache_size = 0;
    bitdotio::pool_options limits;
    limits.max_size = 1;
    limits.reset = how;
    pool from(co_await asio::this_coro::executor, options, limits);
    const auto before = co_await from.query("SHOW search_path");
    for (int i = 0; i < 5; ++i) {
        co_await from.query("SET search_path = elsewhere");
        const auto after = co_await from.query("SHOW search_path");
        if (sessions_last) {
            CHECK(after.one<std::string>() == before.one<std::string>());
        }
        const auto answer = co_await from.query("SELECT $1::integer", i);
        CHECK(answer.one<int>() == i);
    }
    const auto counts = co_await from.statistics();
    CHECK(counts.opened == 1);
    co_await from.close();
}

}  // namespace

TEST_CASE("through PgBouncer a pool undoes what its borrowers changed, where there is a session") {
    in_both_modes([&](pooling mode) {
        pgbouncer pooler(primary(), mode);
        for (const auto how : {bitdotio::session_reset::smart, bitdotio::session_reset::always}) {
            test::run(change_and_go_on(pooler.connect(), how, mode == pooling::session));
        }
    });
}

TEST_CASE("a statement repeated over connections that exchange their backends never fails") {
    for (const bool prepares : {false, true}) {
        CAPTURE(prepares);
        repeat_over_backends(prepares);
    }
}
