// A deadline is the caller's: whatever a pool must do for a call, it is told when its time is up.
#include "support/lock_barrier.hpp"
#include "support/pool_use.hpp"
#include "support/postgres_cluster.hpp"
#include "support/run.hpp"

#include <bitdotio/connection.hpp>
#include <bitdotio/pool.hpp>
#include <bitdotio/retry_transaction.hpp>

#include <boost/asio/ip/tcp.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace {

namespace asio = boost::asio;
using namespace std::chrono_literals;
using namespace bitdotio;
using std::chrono::steady_clock;

// Far less than any other limit, far more than a busy machine needs to tell in time.
constexpr auto soon = 300ms;
constexpr auto at_the_latest = 5s;

test::postgres_primary& shared() {
    static test::postgres_primary instance;
    return instance;
}

// Where nobody listens: the database seems to be asleep for ever.
connect_options asleep() {
    asio::io_context io;
    asio::ip::tcp::acceptor taken(io, {asio::ip::address_v4::loopback(), 0});
    connect_options options;
    options.hosts = {{"127.0.0.1", taken.local_endpoint().port()}};
    options.tls = tls_mode::disable;
    return options;
}

enum class call { query, execute, batch, stream, begin, work, again };
constexpr call calls[] = {call::query, call::execute, call::batch, call::stream,
                          call::begin, call::work,    call::again};

// Makes the call with a timeout of `soon`.
asio::awaitable<void> make(call which, pool from) {
    const statement hurried = statement("SELECT 1").timeout(soon);
    transaction_options options;
    options.begin_timeout = soon;
    auto nothing = [](transaction&) -> asio::awaitable<void> { co_return; };
    switch (which) {
        case call::query: co_await from.query(hurried); break;
        case call::execute: co_await from.execute(hurried); break;
        case call::batch: {
            pipeline batch;
            batch.add("SELECT 1").timeout(soon);
            co_await from.run(std::move(batch));
            break;
        }
        case call::stream: co_await from.stream(hurried); break;
        case call::begin: co_await from.begin(options); break;
        case call::work: co_await from.transaction(nothing, options); break;
        case call::again: {
            transaction_retry_options all;
            all.timeout = soon;
            co_await retry_transaction(from, nothing, all);
            break;
        }
    }
}

asio::awaitable<void> expect_told_in_time(pool from) {
    for (const call which : calls) {
        CAPTURE(static_cast<int>(which));
        const auto began = steady_clock::now();
        std::optional<error> failure;
        try {
            co_await make(which, from);
        } catch (const error& thrown) {
            failure = thrown;
        }
        const auto took = steady_clock::now() - began;
        REQUIRE(failure);
        CAPTURE(failure->what());
        CHECK(failure->code() == errc::timeout);
        CHECK(failure->phase() == phase::acquiring);
        CHECK(failure->outcome() == outcome::not_sent);
        CHECK(took >= soon - 5ms);
        CHECK(took < at_the_latest);
    }
}

asio::awaitable<void> while_all_are_busy() {
    pool_options options;
    options.max_size = 1;
    pool from(co_await asio::this_coro::executor, shared().connect(), options);
    pooled_connection held = co_await from.acquire();
    co_await expect_told_in_time(from);
    held.release();
    co_await from.close();
}

TEST_CASE("a call that waits for a connection is told when its own time is up") {
    test::run(while_all_are_busy());
}

asio::awaitable<void> while_nobody_answers() {
    pool from(co_await asio::this_coro::executor, asleep());
    co_await expect_told_in_time(from);
    co_await from.close();
}

TEST_CASE("a call that waits for a sleeping database is told when its own time is up") {
    test::run(while_nobody_answers());
}

asio::awaitable<void> waiting_counts() {
    pool_options options;
    options.max_size = 1;
    pool from(co_await asio::this_coro::executor, shared().connect(), options);
    pooled_connection held = co_await from.acquire();
    auto both = [&](std::size_t i) -> asio::awaitable<void> {
        if (i == 0) {
            co_await test::rest(1'500ms);
            held.release();
            co_return;
        }
        const auto began = steady_clock::now();
        const auto failure =
            co_await test::failure_of(from, statement("SELECT pg_sleep(30)").timeout(2'000ms));
        const auto took = steady_clock::now() - began;
        REQUIRE(failure);
        CHECK(failure->code() == errc::timeout);
        CHECK(failure->outcome() == outcome::not_executed);
        CHECK(took >= 1'995ms);
        CHECK(took < 3'300ms);  // and not as much again
    };
    test::expect_none(co_await test::gather(2, both));
    co_await from.close();
}

TEST_CASE("what a call has waited is not given to its statement again") {
    test::run(waiting_counts());
}

asio::awaitable<void> statement_alone() {
    pool_options options;
    options.max_size = 1;
    options.timeouts = timeout_scope::statement_alone;
    pool from(co_await asio::this_coro::executor, shared().connect(), options);
    pooled_connection held = co_await from.acquire();
    auto both = [&](std::size_t i) -> asio::awaitable<void> {
        if (i == 0) {
            co_await test::rest(600ms);
            held.release();
            co_return;
        }
        const result answer = co_await from.query(statement("SELECT 1").timeout(soon));
        CHECK(answer.one<int>() == 1);
        const auto failure =
            co_await test::failure_of(from, statement("SELECT pg_sleep(30)").timeout(soon));
        REQUIRE(failure);
        CHECK(failure->code() == errc::timeout);
        CHECK(failure->outcome() == outcome::not_executed);
    };
    test::expect_none(co_await test::gather(2, both));
    co_await from.close();
}

TEST_CASE("a pool can be told that a timeout is of the statement alone") {
    test::run(statement_alone());
}

asio::awaitable<void> short_wake() {
    connect_options options = asleep();
    options.wake_timeout = soon;
    pool from(co_await asio::this_coro::executor, options);
    const auto began = steady_clock::now();
    const auto failure = co_await test::failure_of(from, "SELECT 1");
    const auto took = steady_clock::now() - began;
    REQUIRE(failure);
    CHECK(failure->code() == errc::database_asleep);
    CHECK(failure->outcome() == outcome::not_sent);
    CHECK(took >= soon - 5ms);
    CHECK(took < at_the_latest);
    co_await from.close();
}

TEST_CASE("a pool waits no longer for a database to wake than wake_timeout") {
    test::run(short_wake());
}

asio::awaitable<void> open_all_the_time() {
    for (const auto time : {0ms, 700ms}) {
        CAPTURE(time.count());
        connect_options options = asleep();
        options.wake_timeout = time;
        const auto began = steady_clock::now();
        std::optional<error> failure;
        try {
            connection c = co_await connection::open(options);
        } catch (const error& thrown) {
            failure = thrown;
        }
        REQUIRE(failure);
        CHECK(failure->code() == errc::database_asleep);
        CHECK(steady_clock::now() - began >= time);
        CHECK((failure->attempts() > 1) == (time != 0ms));
    }
}

TEST_CASE("opening a connection does not give up before its time is over") {
    test::run(open_all_the_time());
}

asio::awaitable<void> for_ever() {
    constexpr auto ever = std::chrono::milliseconds::max();
    connect_options connect = shared().connect();
    connect.wake_timeout = connect.statement_timeout = ever;
    pool_options options;
    options.acquire_timeout = options.idle_timeout = options.max_lifetime = ever;
    options.probe_after = options.probe_timeout = options.breaker_after = ever;
    options.return_timeout = options.leak_after = ever;
    pool from(co_await asio::this_coro::executor, connect, options);
    for (int i = 0; i < 3; ++i) {
        const result answer = co_await from.query(statement("SELECT 1").timeout(ever));
        CHECK(answer.one<int>() == 1);
    }
    row_stream rows = co_await from.stream(statement("SELECT 1").timeout(ever));
    CHECK((co_await rows.next())->size() == 1);
    CHECK_FALSE(co_await rows.next());
    const auto counts = co_await from.statistics();
    CHECK(counts.opened == 1);
    co_await from.close(ever);
}

TEST_CASE("the longest time there is means for ever, not at once") {
    test::run(for_ever());
}

}  // namespace
