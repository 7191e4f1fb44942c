// The pool against the real server: sleep and wake, killed backends, wrong keys, cancellation.
#include "support/database.hpp"
#include "support/with_connection.hpp"

#include <bitdotio/pool.hpp>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <doctest/doctest.h>

#include <memory>
#include <optional>
#include <vector>

namespace {

namespace asio = boost::asio;
using namespace std::chrono_literals;
using bitdotio::connect_options;
using bitdotio::errc;
using bitdotio::pool;
using bitdotio::pool_options;
using bitdotio::pool_statistics;

// How the coroutines that `gather` runs ended, in the order of their ends.
struct ending {
    std::size_t index;
    std::optional<bitdotio::error> failure;
};

// Runs `one(index)` many times at once and waits for all of them.
template <class One>
asio::awaitable<std::vector<ending>> gather(std::size_t count, One& one) {
    const auto executor = co_await asio::this_coro::executor;
    std::vector<ending> endings;
    asio::steady_timer all(executor, asio::steady_timer::time_point::max());
    for (std::size_t i = 0; i < count; ++i) {
        const auto on_end = [&, i](std::exception_ptr thrown) {
            std::optional<bitdotio::error> failure;
            try {
                if (thrown) std::rethrow_exception(thrown);
            } catch (const bitdotio::error& caught) {
                failure = caught;
            }
            endings.push_back({i, failure});
            if (endings.size() == count) all.cancel();
        };
        asio::co_spawn(executor, one(i), on_end);
    }
    boost::system::error_code ignored;
    if (endings.size() < count) {
        co_await all.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
    }
    co_return endings;
}

std::size_t failures(const std::vector<ending>& endings) {
    std::size_t count = 0;
    for (const ending& one : endings) {
        count += one.failure.has_value();
        if (one.failure) MESSAGE(one.failure->what());
    }
    return count;
}

// Holds `count` connections at once, so that the pool has opened as many.
asio::awaitable<void> open_all(pool from, std::size_t count) {
    std::vector<bitdotio::pooled_connection> held;
    for (std::size_t i = 0; i < count; ++i) {
        held.push_back(co_await from.acquire());
    }
}

asio::awaitable<void> kill_others(connect_options options) {
    bitdotio::connection killer = co_await bitdotio::connection::open(options);
    co_await killer.query(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
        "WHERE pid <> pg_backend_pid() AND backend_type = 'client backend' "
        "AND usename = session_user");
}

TEST_CASE("a pool whose times are all as long as can be neither probes nor closes at once") {
    test::database database;
    pool_options options;
    constexpr auto never = std::chrono::milliseconds::max();
    options.min_size = 1;
    options.acquire_timeout = never;
    options.idle_timeout = never;
    options.return_timeout = never;
    options.max_lifetime = never;
    options.probe_after = never;
    options.probe_timeout = never;
    options.breaker_after = never;
    options.leak_after = never;
    connect_options connect = database.connect;
    connect.connect_timeout = never;
    connect.wake_timeout = never;
    connect.statement_timeout = never;
    connect.cancel_timeout = never;
    const auto work = [](connect_options where, pool_options how) -> asio::awaitable<void> {
        pool all(co_await asio::this_coro::executor, where, how);
        for (int i = 0; i < 20; ++i) {
            const auto answer = co_await all.query("SELECT $1::int", i);
            CHECK(answer.one<int>() == i);
        }
        const pool_statistics seen = co_await all.statistics();
        CHECK(seen.connects <= 2);
        CHECK(seen.probes == 0);
        co_await all.close(never);
    };
    test::run(work(connect, options));
}

TEST_CASE("with all backends killed while idle, 100 statements see no error") {
    test::database db;
    test::with_pool(db.connect, [&](pool& connections) -> asio::awaitable<void> {
        co_await open_all(connections, 10);
        co_await kill_others(db.connect);
        auto one = [&](std::size_t i) -> asio::awaitable<void> {
            const auto answer =
                co_await connections.query("SELECT $1::integer", static_cast<int>(i));
            CHECK(answer.one<std::size_t>() == i);
        };
        const auto endings = co_await gather(100, one);
        CHECK(failures(endings) == 0);
        const pool_statistics now = co_await connections.statistics();
        CHECK(now.replaced + now.evicted + now.retried >= 10);
    });
}

TEST_CASE("a wrong password fails 200 waiters with one or two dials") {
    test::database db;
    const auto before = db.server.accepted_connections();
    test::run([&]() -> asio::awaitable<void> {
        connect_options options = db.connect;
        options.password = "v2_wrong";
        pool connections(co_await asio::this_coro::executor, options);
        auto one = [&](std::size_t) -> asio::awaitable<void> {
            co_await connections.query("SELECT 1");
        };
        const auto endings = co_await gather(200, one);
        std::size_t refused = 0;
        for (const ending& end : endings) {
            refused += end.failure && end.failure->code() == errc::authentication_failed &&
                       end.failure->sqlstate() == "28P01" &&
                       std::string(end.failure->what()).find("v2_wrong") == std::string::npos;
        }
        CHECK(refused == 200);
        const pool_statistics now = co_await connections.statistics();
        CHECK(now.connects >= 1);
        CHECK(now.connects <= 2);
        co_await connections.close();
    });
    CHECK(db.server.accepted_connections() - before <= 2);
}

TEST_CASE("a sleeping database wakes for the next statement, and sleeps again") {
    test::database db(test::quick_to_sleep());
    pool_options options;
    options.idle_timeout = 50ms;
    test::with_pool(db.connect, options, [&](pool& connections) -> asio::awaitable<void> {
        std::optional<bitdotio::timestamptz> last;
        for (int cycle = 0; cycle < 5; ++cycle) {
            const auto answer = co_await connections.query("SELECT pg_postmaster_start_time()");
            const auto started = answer.one<bitdotio::timestamptz>();
            CHECK(started != last);
            last = started;
            co_await db.server.server().wait_until_asleep(db.name);
        }
        const pool_statistics now = co_await connections.statistics();
        CHECK(now.idle == 0);
        CHECK(now.closed_idle == 5);
    });
}

TEST_CASE("a database put to sleep under idle connections is woken without an error") {
    test::database db;
    test::with_pool(db.connect, [&](pool& connections) -> asio::awaitable<void> {
        for (int cycle = 0; cycle < 5; ++cycle) {
            co_await open_all(connections, 3);
            co_await db.server.server().sleep(db.name);
            const auto answer = co_await connections.query("SELECT 1");
            CHECK(answer.one<int>() == 1);
        }
    });
}

TEST_CASE("a server that hangs up is probed by one dial at a time until it answers") {
    test::database db;
    const auto before = db.server.accepted_connections();
    test::with_pool(db.connect, [&](pool& connections) -> asio::awaitable<void> {
        co_await db.server.server().refuse_next(6);
        auto one = [&](std::size_t) -> asio::awaitable<void> {
            co_await connections.query("SELECT 1");
        };
        const auto endings = co_await gather(200, one);
        CHECK(failures(endings) == 0);
        const pool_statistics now = co_await connections.statistics();
        CHECK(now.wakes == 1);
        CHECK(now.connects <= 6 + 100);
    });
    CHECK(db.server.accepted_connections() - before >= 7);
}

TEST_CASE("connections reset by the network are replaced silently") {
    test::database db;
    test::with_pool(db.connect, [&](pool& connections) -> asio::awaitable<void> {
        co_await open_all(connections, 5);
        co_await db.server.server().hang_up(db.name);
        auto one = [&](std::size_t) -> asio::awaitable<void> {
            co_await connections.query("SELECT 1");
        };
        const auto endings = co_await gather(20, one);
        CHECK(failures(endings) == 0);
    });
}

TEST_CASE("a cancelled wait leaves the pool as it was") {
    test::database db;
    test::run([&]() -> asio::awaitable<void> {
        const auto executor = co_await asio::this_coro::executor;
        pool_options options;
        options.max_size = 1;
        pool connections(executor, db.connect, options);
        bitdotio::pooled_connection held = co_await connections.acquire();
        asio::cancellation_signal signal;
        asio::steady_timer ended(executor, asio::steady_timer::time_point::max());
        std::optional<errc> code;
        const auto on_end = [&](std::exception_ptr thrown, bitdotio::result) {
            try {
                if (thrown) std::rethrow_exception(thrown);
            } catch (const bitdotio::error& failure) {
                code = failure.code();
            }
            ended.cancel();
        };
        auto waiting = connections.query("SELECT 1");
        asio::co_spawn(executor, std::move(waiting),
                       asio::bind_cancellation_slot(signal.slot(), on_end));
        pool_statistics now;
        while (now.waiting == 0) {
            now = co_await connections.statistics();
        }
        signal.emit(asio::cancellation_type::terminal);
        boost::system::error_code ignored;
        co_await ended.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
        CHECK(code == errc::cancelled);
        now = co_await connections.statistics();
        CHECK(now.waiting == 0);
        CHECK(now.used == 1);
        held.release();
        const auto answer = co_await connections.query("SELECT 1");
        CHECK(answer.one<int>() == 1);
        co_await connections.close();
    });
}

TEST_CASE("a wait without end ends at the acquire timeout and says why") {
    test::database db;
    db.server.wake(db.name);
    test::run([&]() -> asio::awaitable<void> {
        pool_options options;
        options.max_size = 1;
        options.acquire_timeout = 1'500ms;  // long enough for the first dial
        pool connections(co_await asio::this_coro::executor, db.connect, options);
        bitdotio::pooled_connection held = co_await connections.acquire();
        std::optional<bitdotio::error> failure;
        try {
            co_await connections.acquire();
        } catch (const bitdotio::error& thrown) {
            failure = thrown;
        }
        REQUIRE(failure);
        CHECK(failure->code() == errc::acquire_timeout);
        CHECK(std::string(failure->what()).find("1 in use") != std::string::npos);
        held.release();
        co_await connections.close();
    });
}

TEST_CASE("what comes back in a transaction is rolled back before the next borrower") {
    test::database db;
    pool_options options;
    options.max_size = 1;
    test::with_pool(db.connect, options, [&](pool& connections) -> asio::awaitable<void> {
        co_await connections.query("CREATE TABLE t (a integer)");
        {
            bitdotio::pooled_connection careless = co_await connections.acquire();
            co_await careless->query("BEGIN");
            co_await careless->query("INSERT INTO t VALUES (1)");
        }
        {
            bitdotio::transaction dropped = co_await connections.begin();
            co_await dropped.query("INSERT INTO t VALUES (2)");
        }
        const auto count = co_await connections.query("SELECT count(*) FROM t");
        CHECK(count.one<int>() == 0);
        const pool_statistics now = co_await connections.statistics();
        CHECK(now.rolled_back == 2);
        CHECK(now.opened == 1);
    });
}

TEST_CASE("transaction(work) commits what ends well and rolls back what throws") {
    test::database db;
    test::with_pool(db.connect, [&](pool& connections) -> asio::awaitable<void> {
        co_await connections.query("CREATE TABLE t (a integer)");
        auto insert = [](bitdotio::transaction& t) -> asio::awaitable<int> {
            const auto answer = co_await t.query("INSERT INTO t VALUES (1) RETURNING a");
            co_return answer.one<int>();
        };
        CHECK(co_await connections.transaction(insert) == 1);
        auto fail = [](bitdotio::transaction& t) -> asio::awaitable<void> {
            co_await t.query("INSERT INTO t VALUES (2)");
            co_await t.query("SELECT 1 / 0");
        };
        std::optional<std::string> sqlstate;
        try {
            co_await connections.transaction(fail);
        } catch (const bitdotio::error& failure) {
            sqlstate = failure.sqlstate();
        }
        CHECK(sqlstate == "22012");
        const auto rows = co_await connections.query("SELECT a FROM t");
        CHECK(rows.rows_as<int>() == std::vector<int>{1});
    });
}

TEST_CASE("50 quick requests on 5 connections open no more than they need and none is lost") {
    test::database db;
    pool_options options;
    options.max_size = 5;
    test::with_pool(db.connect, options, [&](pool& connections) -> asio::awaitable<void> {
        auto one = [&](std::size_t) -> asio::awaitable<void> {
            co_await connections.query("SELECT pg_sleep(0.002)");
        };
        const auto endings = co_await gather(50, one);
        CHECK(failures(endings) == 0);
        const pool_statistics now = co_await connections.statistics();
        CHECK(now.opened <= 5);
        CHECK(now.acquired == 50);
        CHECK(now.used == 0);
    });
}

TEST_CASE("who acquires and gives back without end lets others run") {
    test::database db;
    test::with_pool(db.connect, pool_options(), [&](pool& connections) -> asio::awaitable<void> {
        co_await connections.query("SELECT 1");
        const auto has_run = std::make_shared<bool>(false);
        const auto executor = co_await asio::this_coro::executor;
        asio::post(executor, [has_run] { *has_run = true; });
        for (int i = 0; i < 1000 && !*has_run; ++i) {
            const auto lent = co_await connections.acquire();
        }
        CHECK(*has_run);
    });
}

TEST_CASE("close waits for what is lent, and refuses whoever comes later") {
    test::database db;
    test::run([&]() -> asio::awaitable<void> {
        const auto executor = co_await asio::this_coro::executor;
        pool connections(executor, db.connect);
        bitdotio::pooled_connection held = co_await connections.acquire();
        bool closed = false;
        asio::steady_timer ended(executor, asio::steady_timer::time_point::max());
        const auto on_close = [&](std::exception_ptr) {
            closed = true;
            ended.cancel();
        };
        asio::co_spawn(executor, connections.close(), on_close);
        std::optional<errc> refused;
        while (!refused) {
            try {
                co_await connections.acquire();
            } catch (const bitdotio::error& failure) {
                refused = failure.code();
            }
        }
        CHECK(refused == errc::pool_closed);
        CHECK_FALSE(closed);
        const auto answer = co_await held->query("SELECT 1");
        CHECK(answer.one<int>() == 1);
        held.release();
        boost::system::error_code ignored;
        if (!closed) {
            co_await ended.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
        }
        CHECK(closed);
    });
}

TEST_CASE("a minimum not below the maximum is refused by name") {
    pool_options options;
    options.min_size = 3;
    options.max_size = 3;
    connect_options connect;
    connect.hosts = {{"127.0.0.1", 1}};
    asio::io_context io;
    try {
        pool(io.get_executor(), connect, options);
        FAIL("it was accepted");
    } catch (const bitdotio::error& failure) {
        CHECK(failure.code() == errc::bad_input);
        CHECK(std::string(failure.what()).find("min_size (3)") != std::string::npos);
    }
}

}  // namespace
