// Which statements a pool sends again, and what the errors of the other statements say.
#include "support/database.hpp"
#include "support/lock_barrier.hpp"
#include "support/relay.hpp"
#include "support/with_connection.hpp"

#include <bitdotio/pool.hpp>
#include <bitdotio/retry_transaction.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace {

namespace asio = boost::asio;
using namespace std::chrono_literals;
using namespace bitdotio;
using test::await_waiting;
using test::lock_barrier;
using test::terminate_waiting;

test::postgres_primary& shared() {
    static test::postgres_primary instance;
    static const bool made = [] {
        instance.execute("CREATE TABLE t (a integer); GRANT ALL ON t TO tester");
        return true;
    }();
    REQUIRE(made);
    return instance;
}

std::string insert(int row) {
    return "INSERT INTO t SELECT " + std::to_string(row) + " FROM (SELECT " + lock_barrier::stop +
           ") AS stop";
}

int rows_of(int a) {
    return std::stoi(shared().value("SELECT count(*)::text FROM t WHERE a = " + std::to_string(a)));
}

TEST_CASE("a statement that may have run is sent again if it is marked, and else not") {
    struct turn {
        bool idempotent;
        bool read_only;
        int losses;
        bool succeeds;
        int attempts;
    };
    const turn table[] = {{false, false, 1, false, 1},
                          {true, false, 1, true, 2},
                          {false, true, 1, true, 2},
                          {true, true, 2, true, 3}};
    test::with_pool(shared().connect(), [&](pool& connections) -> asio::awaitable<void> {
        int row = 0;
        for (const turn& one : table) {
            ++row;
            CAPTURE(row);
            std::optional<error> failure;
            auto run = [&]() -> asio::awaitable<void> {
                statement marked(insert(row));
                if (one.idempotent) marked.idempotent();
                if (one.read_only) marked.read_only();
                failure = co_await test::failure_of(connections, marked);
            };
            const auto before = co_await connections.statistics();
            co_await test::while_terminated(shared(), run, one.losses);
            const auto after = co_await connections.statistics();
            CHECK(failure.has_value() == !one.succeeds);
            CHECK(after.retried - before.retried == static_cast<std::uint64_t>(one.attempts - 1));
            CHECK(rows_of(row) == (one.succeeds ? 1 : 0));
            if (failure) {
                CHECK(failure->code() == errc::connection_lost);
                CHECK(failure->sqlstate() == "57P01");
                CHECK(failure->phase() == phase::awaiting_reply);
                CHECK(failure->outcome() == outcome::unknown);
                CHECK(failure->attempts() == one.attempts);
                CHECK_FALSE(failure->woke_database());
            }
        }
    });
}

TEST_CASE("a mark means nothing on a leased connection or inside a transaction") {
    test::with_pool(shared().connect(), [&](pool& connections) -> asio::awaitable<void> {
        for (const bool in_transaction : {false, true}) {
            CAPTURE(in_transaction);
            std::optional<error> failure;
            auto run = [&]() -> asio::awaitable<void> {
                const statement marked = statement(insert(10)).idempotent();
                if (in_transaction) {
                    transaction open = co_await connections.begin();
                    failure = co_await test::failure_of(open, marked);
                } else {
                    pooled_connection held = co_await connections.acquire();
                    failure = co_await test::failure_of(*held, marked);
                    CHECK_FALSE(held->is_open());
                }
            };
            co_await test::while_terminated(shared(), run, 1);
            REQUIRE(failure);
            CHECK(failure->code() == errc::connection_lost);
            CHECK(failure->outcome() ==
                  (in_transaction ? outcome::not_executed : outcome::unknown));
        }
        CHECK(rows_of(10) == 0);
        const auto now = co_await connections.statistics();
        CHECK(now.retried == 0);
    });
}

TEST_CASE("a marked statement that lost against another is sent again, an unmarked one is not") {
    shared().execute(
        "CREATE SEQUENCE tries; GRANT ALL ON tries TO tester;"
        "CREATE FUNCTION lose_once() RETURNS bigint LANGUAGE plpgsql AS $$ DECLARE n bigint := "
        "nextval('tries'); BEGIN IF n % 2 = 1 THEN RAISE EXCEPTION USING ERRCODE = '40001', "
        "MESSAGE = 'no'; END IF; RETURN n; END $$");
    test::with_pool(shared().connect(), [&](pool& connections) -> asio::awaitable<void> {
        const result second =
            co_await connections.query(statement("SELECT lose_once()").idempotent());
        CHECK(second.one<std::int64_t>() == 2);
        const auto failure = co_await test::failure_of(connections, "SELECT lose_once()");
        REQUIRE(failure);
        CHECK(failure->code() == errc::transaction_conflict);
        CHECK(failure->attempts() == 1);
        CHECK(failure->phase() == phase::replied);
        CHECK(failure->outcome() == outcome::not_executed);
    });
}

// How many rows a stream gave before it ended, and with what error.
struct streamed {
    std::size_t rows = 0;
    std::optional<error> failure;
};

asio::awaitable<streamed> read_all(pool from, statement sql) {
    streamed seen;
    try {
        row_stream rows = co_await from.stream(std::move(sql));
        while (true) {
            const auto chunk = co_await rows.next();
            if (!chunk) break;
            seen.rows += chunk->size();
        }
    } catch (const error& failure) {
        seen.failure = failure;
    }
    co_return seen;
}

TEST_CASE("a marked stream begins anew as long as its caller has no row") {
    const std::string waits_first = std::string("SELECT i FROM (SELECT ") + lock_barrier::stop +
                                    ") s, generate_series(1, 5000) i";
    const std::string waits_later = std::string("SELECT i, CASE WHEN i = 30000 THEN ") +
                                    lock_barrier::stop +
                                    "::text END, repeat('x', 100) FROM generate_series(1, 40000) i";
    struct turn {
        const std::string& sql;
        bool marked;
        bool succeeds;
        std::size_t least;
        std::size_t most;
    };
    const turn table[] = {{waits_first, true, true, 5000, 5000},
                          {waits_first, false, false, 0, 0},
                          {waits_later, true, false, 1000, 29999}};
    test::with_pool(shared().connect(), [&](pool& connections) -> asio::awaitable<void> {
        for (const turn& one : table) {
            CAPTURE(one.sql);
            CAPTURE(one.marked);
            streamed seen;
            auto run = [&]() -> asio::awaitable<void> {
                statement sql(one.sql);
                if (one.marked) sql.read_only();
                seen = co_await read_all(connections, sql);
            };
            co_await test::while_terminated(shared(), run, 1);
            CHECK(seen.failure.has_value() == !one.succeeds);
            CHECK(seen.rows >= one.least);
            CHECK(seen.rows <= one.most);
            if (seen.failure) {
                CHECK(seen.failure->code() == errc::connection_lost);
                CHECK(seen.failure->outcome() == outcome::unknown);
                CHECK(seen.failure->attempts() == 1);
            }
        }
        const auto now = co_await connections.statistics();
        CHECK(now.used == 0);
    });
}

TEST_CASE("what a read-only server refuses goes to a new connection once") {
    test::with_pool(shared().connect(), [&](pool& connections) -> asio::awaitable<void> {
        const auto fill = [&](const char* setting) {
            shared().execute(std::string("ALTER ROLE tester ") + setting);
        };
        // Every idle connection is from the time when nothing could be written.
        fill("SET default_transaction_read_only = on");
        co_await test::open_all(connections, 3);
        fill("RESET default_transaction_read_only");
        co_await connections.query("INSERT INTO t VALUES (20)");
        CHECK(rows_of(20) == 1);
        auto now = co_await connections.statistics();
        CHECK(now.opened == 4);
        CHECK(now.idle == 1);

        // A server that stays read-only: the error comes after the second try.
        fill("SET default_transaction_read_only = on");
        pool reading(co_await asio::this_coro::executor, shared().connect());
        const auto refused = co_await test::failure_of(reading, "INSERT INTO t VALUES (21)");
        co_await reading.close();
        fill("RESET default_transaction_read_only");
        REQUIRE(refused);
        CHECK(refused->sqlstate() == "25006");
        CHECK(refused->outcome() == outcome::not_executed);
        CHECK(refused->attempts() == 2);

        // On a leased connection the error comes at once.
        pooled_connection held = co_await connections.acquire();
        const int backend = held->backend_pid();
        co_await held->query("SET default_transaction_read_only = on");
        const auto leased = co_await test::failure_of(*held, "INSERT INTO t VALUES (22)");
        REQUIRE(leased);
        CHECK(leased->attempts() == 1);
        CHECK(held->backend_pid() == backend);
        held.release();
    });
}

// The relay drops what it is given until it has dropped something: a request on its way when the
// server has waited long enough.
asio::awaitable<void> lose_one_request(std::shared_ptr<test::relay> relay) {
    const std::size_t before = relay->swallowed;
    relay->mode = test::relay_mode::swallow;
    const auto deadline = std::chrono::steady_clock::now() + 30s;
    while (relay->swallowed == before && std::chrono::steady_clock::now() < deadline) {
        co_await test::rest(1ms);
    }
    relay->mode = test::relay_mode::pass;
}

TEST_CASE("what a backend that waited too long never read runs again, once and silently") {
    test::run([&]() -> asio::awaitable<void> {
        const auto executor = co_await asio::this_coro::executor;
        const auto relay = test::relay::start(executor, shared().port());
        connect_options through = shared().connect();
        through.hosts = {{"127.0.0.1", relay->port()}};
        shared().execute(
            "ALTER ROLE tester SET idle_session_timeout = '1s';"
            "ALTER ROLE tester SET idle_in_transaction_session_timeout = '1s'");
        pool connections(executor, through);

        std::optional<error> failure;
        std::optional<pooled_connection> held;
        std::optional<transaction> open;
        int runs = 0;
        auto in_transaction = [&](transaction& t) -> asio::awaitable<void> {
            co_await t.query("INSERT INTO t VALUES (32)");
            if (++runs == 1) {
                relay->mode = test::relay_mode::swallow;  // from COMMIT on
            }
        };
        auto both = [&](int kind) -> asio::awaitable<void> {
            auto one = [&](std::size_t i) -> asio::awaitable<void> {
                if (i == 0) {
                    co_await lose_one_request(relay);
                } else if (kind == 0) {
                    failure = co_await test::failure_of(connections, "INSERT INTO t VALUES (30)");
                } else if (kind == 1) {
                    failure = co_await test::failure_of(**held, "INSERT INTO t VALUES (31)");
                } else {
                    try {
                        co_await open->commit();
                    } catch (const error& thrown) {
                        failure = thrown;
                    }
                }
            };
            test::expect_none(co_await test::gather(2, one));
        };
        co_await test::open_all(connections, 1);
        co_await both(0);
        CHECK_FALSE(failure);
        CHECK(rows_of(30) == 1);
        auto now = co_await connections.statistics();
        CHECK(now.retried == 1);

        held = co_await connections.acquire();
        co_await both(1);
        REQUIRE(failure);
        CHECK(failure->code() == errc::connection_lost);
        CHECK(failure->sqlstate() == "57P05");
        CHECK(failure->phase() == phase::awaiting_reply);
        CHECK(failure->outcome() == outcome::not_executed);
        CHECK(rows_of(31) == 0);
        held.reset();

        open = co_await connections.begin();
        co_await open->query("INSERT INTO t VALUES (31)");
        co_await both(2);
        REQUIRE(failure);
        CHECK(failure->code() == errc::connection_lost);
        CHECK(failure->sqlstate() == "25P03");
        CHECK(failure->phase() == phase::committing);
        CHECK(failure->outcome() == outcome::not_executed);
        CHECK(rows_of(31) == 0);

        auto again = [&](std::size_t i) -> asio::awaitable<void> {
            if (i == 1) {
                co_await retry_transaction(connections, in_transaction);
                co_return;
            }
            while (runs == 0) {
                co_await test::rest(1ms);
            }
            co_await lose_one_request(relay);
        };
        test::expect_none(co_await test::gather(2, again));
        CHECK(runs == 2);
        CHECK(rows_of(32) == 1);
        shared().execute(
            "ALTER ROLE tester RESET idle_session_timeout;"
            "ALTER ROLE tester RESET idle_in_transaction_session_timeout");
        co_await connections.close();
    });
}

TEST_CASE("an error says that its operation met a sleeping database") {
    test::database db;
    test::with_pool(db.connect, [&](pool& connections) -> asio::awaitable<void> {
        co_await db.server.server().refuse_next(3);
        const auto first = co_await test::failure_of(connections, "SELECT 1 / 0");
        REQUIRE(first);
        CHECK(first->sqlstate() == "22012");
        CHECK(first->woke_database());
        const auto second = co_await test::failure_of(connections, "SELECT 1 / 0");
        REQUIRE(second);
        CHECK_FALSE(second->woke_database());
    });
}

TEST_CASE("every error of the server says how far it had come and what is known") {
    struct row {
        const char* sql;
        errc code;
        const char* sqlstate;
    };
    const row table[] = {
        {"SELECT 1 / 0", errc::query_failed, "22012"},
        {"SELECT no", errc::query_failed, "42703"},
        {"SELECT pg_read_file('x')", errc::permission_denied, "42501"},
        {"DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '53100'; END $$", errc::server_busy, "53100"},
    };
    test::with_pool(shared().connect(), [&](pool& connections) -> asio::awaitable<void> {
        for (const row& one : table) {
            CAPTURE(one.sql);
            const auto failure = co_await test::failure_of(connections, one.sql);
            REQUIRE(failure);
            CHECK(failure->code() == one.code);
            CHECK(failure->sqlstate() == one.sqlstate);
            CHECK(failure->phase() == phase::replied);
            CHECK(failure->outcome() != outcome::not_sent);
            CHECK(failure->attempts() == 1);
        }
        const auto late =
            co_await test::failure_of(connections, statement("SELECT pg_sleep(60)").timeout(50ms));
        REQUIRE(late);
        CHECK(late->code() == errc::timeout);
        CHECK(late->sqlstate() == "57014");
        CHECK(late->outcome() == outcome::not_executed);
        CHECK(late->phase() == phase::replied);
    });
}

}  // namespace
