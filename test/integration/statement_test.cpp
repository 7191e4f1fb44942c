// Statements against the real server: large ones, failing ones, deadlines, scripts.
#include "support/database.hpp"
#include "support/with_connection.hpp"

#include "postgres/postgres_session.hpp"

#include <bitdotio/connection.hpp>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>

#include <doctest/doctest.h>

#include <unistd.h>
#include <cstdio>
#include <filesystem>
#include <thread>

namespace {

namespace asio = boost::asio;
using namespace std::chrono_literals;
using bitdotio::connect_options;
using bitdotio::connection;
using bitdotio::errc;
using bitdotio::outcome;
using bitdotio::statement;
using tcp = asio::ip::tcp;

// Shared by the cases that leave it as it was.
test::database& shared() {
    static test::database instance;
    return instance;
}

asio::awaitable<void> query(connect_options options, statement sql) {
    connection c = co_await connection::open(options);
    co_await c.query(std::move(sql));
}

// Ends the backend of `victim` from another connection and waits until it is gone.
asio::awaitable<void> terminate(connect_options options, int backend) {
    connection killer = co_await connection::open(options);
    const auto gone = co_await killer.query("SELECT pg_terminate_backend($1, 5000)", backend);
    CHECK(gone.one<bool>());
}

asio::awaitable<int> server_pid(connection& c) {
    const auto answer = co_await c.query("SELECT pg_backend_pid()");
    co_return answer.one<int>();
}

// Waits until a backend waits for an event, as pg_stat_activity calls it.
asio::awaitable<void> until_it_waits(connection& other, int backend, std::string event) {
    bool waits = false;
    while (!waits) {
        const auto found = co_await other.query(
            "SELECT count(*) FROM pg_stat_activity WHERE pid = $1 AND wait_event = $2", backend,
            event);
        waits = found.one<int>() == 1;
    }
}

asio::awaitable<void> echo(connect_options options, std::size_t size) {
    connection c = co_await connection::open(options);
    const std::string sent(size, 'x');
    const auto answer = co_await c.query("SELECT $1::text", sent);
    CHECK(answer.one<std::string>() == sent);
}

asio::awaitable<void> sizes(connect_options options) {
    connection c = co_await connection::open(options);
    // Around the size of a TLS record, of libpq's buffer and of twice that: bytes may be left in a
    // buffer without any event.
    for (const int middle : {8192, 16384, 32768, 65536}) {
        for (int size = middle - 90; size <= middle + 10; size += 5) {
            const auto answer = co_await c.query("SELECT repeat('y', $1)", size);
            CHECK(answer.one<std::string>().size() == static_cast<std::size_t>(size));
        }
    }
    const auto many = co_await c.query("SELECT generate_series(1, 100000)");
    CHECK(many.size() == 100000);
}

TEST_CASE("a value larger than all socket buffers goes there and back") {
    test::run(echo(shared().connect, 24u << 20));
}

TEST_CASE("answers of any size arrive whole, whatever the buffers hold back") {
    test::run(sizes(shared().connect));
}

TEST_CASE("a failed statement names the server's fields and leaves the connection well") {
    test::with_connection(shared().connect, [](connection& c) -> asio::awaitable<void> {
        co_await c.query("CREATE TEMP TABLE t (id integer CONSTRAINT only_once UNIQUE)");
        co_await c.query("INSERT INTO t VALUES ($1)", 1);
        std::optional<bitdotio::error> failure;
        try {
            co_await c.query("INSERT INTO t VALUES ($1)", 1);
        } catch (const bitdotio::error& thrown) {
            failure = thrown;
        }
        REQUIRE(failure);
        CHECK(failure->code() == errc::query_failed);
        CHECK(failure->sqlstate() == "23505");
        CHECK(failure->server().constraint == "only_once");
        CHECK(failure->server().severity == "ERROR");
        CHECK(failure->outcome() == outcome::not_executed);
        try {
            co_await c.query("SELEKT 1");
        } catch (const bitdotio::error& thrown) {
            failure = thrown;
        }
        CHECK(failure->sqlstate() == "42601");
        CHECK(failure->server().position == 1);
        const auto still = co_await c.query("SELECT count(*) FROM t");
        CHECK(still.one<int>() == 1);
    });
}

TEST_CASE("a statement past its deadline is stopped on the server and the connection kept") {
    test::with_connection(shared().connect, [](connection& c) -> asio::awaitable<void> {
        const int backend = co_await server_pid(c);
        for (int i = 0; i < 20; ++i) {
            std::optional<bitdotio::error> failure;
            try {
                co_await c.query(statement("SELECT pg_sleep(60)").timeout(20ms));
            } catch (const bitdotio::error& thrown) {
                failure = thrown;
            }
            REQUIRE(failure);
            CHECK(failure->code() == errc::timeout);
            CHECK(failure->sqlstate() == "57014");
            CHECK(failure->outcome() == outcome::not_executed);
            // A late cancel would hit this statement.
            const auto next = co_await c.query("SELECT pg_sleep(0.002)");
            CHECK(next.size() == 1);
        }
        CHECK(co_await server_pid(c) == backend);
    });
}

TEST_CASE("a cancelled statement is stopped on the server and the connection kept") {
    test::with_connection(shared().connect, [](connection& c) -> asio::awaitable<void> {
        connection other = co_await connection::open(shared().connect);
        const int backend = co_await server_pid(c);
        const auto executor = co_await asio::this_coro::executor;
        asio::cancellation_signal signal;
        asio::steady_timer ended(executor, bitdotio::no_deadline);
        std::exception_ptr thrown;
        const auto on_end = [&](std::exception_ptr failure, bitdotio::result) {
            thrown = failure;
            ended.expires_at(asio::steady_timer::time_point::min());
        };
        auto sleeping = c.query("SELECT pg_sleep(60)");
        asio::co_spawn(executor, std::move(sleeping),
                       asio::bind_cancellation_slot(signal.slot(), on_end));
        co_await until_it_waits(other, backend, "PgSleep");
        signal.emit(asio::cancellation_type::terminal);
        boost::system::error_code ignored;
        co_await ended.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
        REQUIRE(thrown);
        try {
            std::rethrow_exception(thrown);
        } catch (const bitdotio::error& failure) {
            CHECK(failure.code() == errc::cancelled);
            CHECK(failure.sqlstate() == "57014");
        }
        CHECK(co_await server_pid(c) == backend);
    });
}

TEST_CASE("a second operation on a busy connection is refused and disturbs nothing") {
    test::with_connection(shared().connect, [](connection& c) -> asio::awaitable<void> {
        connection other = co_await connection::open(shared().connect);
        const int backend = co_await server_pid(c);
        const auto executor = co_await asio::this_coro::executor;
        asio::steady_timer ended(executor, bitdotio::no_deadline);
        std::exception_ptr first;
        const auto on_end = [&](std::exception_ptr failure, bitdotio::result) {
            first = failure;
            ended.expires_at(asio::steady_timer::time_point::min());
        };
        // It lasts until the other connection ends.
        co_await other.query("SELECT pg_advisory_lock(5)");
        auto waiting = c.query("SELECT pg_advisory_lock(5)");
        asio::co_spawn(executor, std::move(waiting), on_end);
        co_await until_it_waits(other, backend, "advisory");
        std::optional<errc> second;
        try {
            co_await c.query("SELECT 1");
        } catch (const bitdotio::error& failure) {
            second = failure.code();
        }
        CHECK(second == errc::protocol_violated);
        CHECK_FALSE(first);
        co_await other.close();
        boost::system::error_code ignored;
        co_await ended.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
        CHECK_FALSE(first);
    });
}

TEST_CASE("notices do not reach standard error") {
    std::FILE* const file = std::tmpfile();
    REQUIRE(file);
    const int capture = ::fileno(file);
    const int saved = ::dup(STDERR_FILENO);
    ::dup2(capture, STDERR_FILENO);
    test::run(query(shared().connect, "DO $$ BEGIN RAISE WARNING 'said aloud'; END $$"));
    ::dup2(saved, STDERR_FILENO);
    const auto size = ::lseek(capture, 0, SEEK_END);
    ::close(saved);
    std::fclose(file);
    CHECK(size == 0);
}

TEST_CASE("the reason of an idle connection's death is told without a round trip") {
    test::with_connection(shared().connect, [](connection& c) -> asio::awaitable<void> {
        co_await terminate(shared().connect, co_await server_pid(c));
        std::optional<bitdotio::error> failure;
        // The goodbye still has to cross the gateway: an answer that comes before it is fine.
        for (int i = 0; i < 1000 && !failure; ++i) {
            try {
                co_await c.query("SELECT 1");
            } catch (const bitdotio::error& thrown) {
                failure = thrown;
            }
        }
        REQUIRE(failure);
        CHECK(failure->code() == errc::connection_lost);
        CHECK(failure->sqlstate() == "57P01");
        CHECK_FALSE(c.is_open());
    });
}

TEST_CASE("an idle session ended by the server says 57P05, and nothing was executed") {
    bitdotio::local_server_options impatient;
    impatient.idle_session_timeout = 200ms;
    test::database own(impatient);
    test::with_connection(own.connect, [&](connection& c) -> asio::awaitable<void> {
        asio::steady_timer longer(co_await asio::this_coro::executor);
        std::optional<bitdotio::error> failure;
        // An answer that comes before the goodbye is fine, and another wait begins.
        for (int tries = 0; tries < 20 && !failure; ++tries) {
            longer.expires_after(600ms);
            co_await longer.async_wait(asio::use_awaitable);
            try {
                co_await c.query("SELECT 1");
            } catch (const bitdotio::error& thrown) {
                failure = thrown;
            }
        }
        REQUIRE(failure);
        CHECK(failure->code() == errc::connection_lost);
        CHECK(failure->sqlstate() == "57P05");
        CHECK(failure->outcome() == outcome::not_sent);
    });
}

TEST_CASE("a notification on an idle connection is no death") {
    test::with_connection(shared().connect, [](connection& listening) -> asio::awaitable<void> {
        const int backend = co_await server_pid(listening);
        co_await listening.query("LISTEN news");
        connection other = co_await connection::open(shared().connect);
        co_await other.query("NOTIFY news, 'good'");
        CHECK(co_await server_pid(listening) == backend);
    });
}

TEST_CASE("a script runs several statements and answers each, in text") {
    test::with_connection(shared().connect, [](connection& c) -> asio::awaitable<void> {
        const auto answers = co_await c.script(
            "CREATE TEMP TABLE s (a integer); INSERT INTO s VALUES (1), (2); SELECT sum(a) FROM s");
        REQUIRE(answers.size() == 3);
        CHECK(answers[1].affected_rows() == 2);
        CHECK(answers[1].command_tag() == "INSERT 0 2");
        CHECK(answers[2].one<int>() == 3);
    });
}

TEST_CASE("COPY through query is refused with a clear error") {
    const auto failure = test::error_of(query(shared().connect, "COPY (SELECT 1) TO STDOUT"));
    CHECK(failure.code() == errc::bad_input);
}

TEST_CASE("a transaction commits, rolls back, and rolls back when it is dropped") {
    test::with_connection(shared().connect, [](connection& c) -> asio::awaitable<void> {
        co_await c.query("CREATE TEMP TABLE t (a integer)");
        {
            bitdotio::transaction kept = co_await c.begin();
            co_await kept.query("INSERT INTO t VALUES (1)");
            co_await kept.commit();
            CHECK_FALSE(kept.is_open());
            bitdotio::transaction undone = co_await c.begin();
            co_await undone.query("INSERT INTO t VALUES (2)");
            co_await undone.rollback();
            bitdotio::transaction dropped = co_await c.begin();
            co_await dropped.query("INSERT INTO t VALUES (3)");
        }
        const auto rows = co_await c.query("SELECT a FROM t");
        CHECK(rows.rows_as<int>() == std::vector<int>{1});
        bitdotio::transaction failed = co_await c.begin();
        std::optional<bitdotio::error> failure;
        try {
            co_await failed.query("SELECT 1 / 0");
        } catch (const bitdotio::error& thrown) {
            failure = thrown;
        }
        CHECK(failure->sqlstate() == "22012");
        failure.reset();
        try {
            co_await failed.commit();
        } catch (const bitdotio::error& thrown) {
            failure = thrown;
        }
        REQUIRE(failure);  // a COMMIT that rolled back is not a success
        CHECK(failure->code() == errc::query_failed);
        CHECK(failure->outcome() == outcome::not_executed);
    });
}

}  // namespace

namespace {

// Rows of 1 kB each.
statement rows_of_a_kilobyte(int count) {
    statement sql("SELECT i, repeat('x', 1000) AS wide, NULLIF(i, 2) FROM generate_series(1, " +
                  std::to_string(count) + ") i");
    sql.largest_result(1'000'000);
    return sql;
}

asio::awaitable<void> stay_below_the_limit(connect_options options) {
    connection c = co_await connection::open(options);
    for (int turn = 0; turn < 2; ++turn) {
        const auto some = co_await c.query(rows_of_a_kilobyte(250));
        REQUIRE(some.size() == 250);
        CHECK(some.affected_rows() == 250);
        CHECK(some[249][0].as<int>() == 250);
        CHECK(some[249][1].as<std::string>() == std::string(1000, 'x'));
        CHECK(some[1][2].is_null());
        const auto none = co_await c.query(rows_of_a_kilobyte(0));
        CHECK(none.size() == 0);
        CHECK(none.column_count() == 3);
    }
    statement two("SELECT 1; SELECT i FROM generate_series(1, 3) i");
    two.largest_result(100'000);
    const auto both = co_await c.script(two);
    REQUIRE(both.size() == 2);
    CHECK(both[0].size() == 1);
    CHECK(both[1].size() == 3);
    CHECK(both[1].command_tag() == "SELECT 3");
}

asio::awaitable<void> go_over_the_limit(connect_options options) {
    connection c = co_await connection::open(options);
    const int before = co_await server_pid(c);
    // In the select list rows are sent as they are made; in FROM all would be made first.
    statement endless("SELECT repeat('x', 1000), generate_series(1, 1000000000)");
    endless.largest_result(1'000'000);
    statement script("SELECT 1; SELECT repeat('x', 1000), generate_series(1, 1000000000)");
    script.largest_result(1'000'000);
    // Each is below the limit; together they exceed it.
    statement together(
        "SELECT repeat('x', 1000) FROM generate_series(1, 600); "
        "SELECT repeat('x', 1000) FROM generate_series(1, 600)");
    together.largest_result(1'000'000);
    const auto code_of = [&](statement sql, bool as_script) -> asio::awaitable<errc> {
        try {
            if (as_script) {
                co_await c.script(std::move(sql));
            } else {
                co_await c.query(std::move(sql));
            }
        } catch (const bitdotio::error& failure) {
            CHECK(std::string(failure.what()).find("1000000 bytes") != std::string::npos);
            co_return failure.code();
        }
        co_return errc::bad_input;
    };
    const errc alone = co_await code_of(endless, false);
    CHECK(alone == errc::result_too_large);
    const errc second = co_await code_of(script, true);
    CHECK(second == errc::result_too_large);
    const errc sum = co_await code_of(together, true);
    CHECK(sum == errc::result_too_large);
    const errc quick = co_await code_of(rows_of_a_kilobyte(1'200), false);
    CHECK(quick == errc::result_too_large);
    // Without a limit the same session returns everything.
    const auto all = co_await c.query("SELECT repeat('x', 1000) FROM generate_series(1, 3000)");
    CHECK(all.size() == 3'000);
    const int after = co_await server_pid(c);
    CHECK(after == before);
}

}  // namespace

TEST_CASE("a result within its limit is whole, with its tag, NULLs and columns") {
    test::run(stay_below_the_limit(shared().connect));
}

TEST_CASE("a result over its limit stops the statement and keeps the session") {
    test::run(go_over_the_limit(shared().connect), 30s);
}
