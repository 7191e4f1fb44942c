// How pools close: who is still served, who is refused, and what those are told whose connection is
// taken away.
#include "support/database.hpp"
#include "support/lock_barrier.hpp"
#include "support/pool_use.hpp"

#include <bitdotio/client.hpp>
#include <bitdotio/pool.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <optional>
#include <string>

namespace {

namespace asio = boost::asio;
using namespace std::chrono_literals;
using namespace bitdotio;

test::postgres_primary& shared() {
    static test::postgres_primary instance;
    return instance;
}

pool_options of_size(std::size_t size) {
    pool_options options;
    options.max_size = size;
    return options;
}

asio::awaitable<void> until_waiting(pool from, std::size_t count) {
    for (;;) {
        const pool_statistics now = co_await from.statistics();
        if (now.waiting >= count) break;
        co_await test::rest(1ms);
    }
}

bool has(const error& failure, const char* words) {
    return std::string(failure.what()).find(words) != std::string::npos;
}

asio::awaitable<void> serve_the_queue() {
    constexpr std::size_t callers = 20;
    pool from(co_await asio::this_coro::executor, shared().connect(), of_size(2));
    pooled_connection held = co_await from.acquire();
    pooled_connection also = co_await from.acquire();
    CHECK_FALSE(from.is_closed());
    std::size_t served = 0;
    auto all = [&](std::size_t i) -> asio::awaitable<void> {
        if (i < callers) {
            const result answer = co_await from.query("SELECT 1");
            served += answer.one<std::size_t>();
        } else if (i == callers) {
            co_await until_waiting(from, callers);
            co_await from.close();
        } else {
            while (!from.is_closed()) {
                co_await test::rest(1ms);
            }
            const auto refused = co_await test::failure_of(from, "SELECT 1");
            REQUIRE(refused);
            CHECK(refused->code() == errc::pool_closed);
            CHECK(refused->outcome() == outcome::not_sent);
            held.release();
            also.release();
        }
    };
    test::expect_none(co_await test::gather(callers + 2, all));
    CHECK(served == callers);
    const auto after = co_await from.statistics();
    CHECK(after.idle + after.used + after.connecting + after.waiting == 0);
}

TEST_CASE("a pool that is closed serves those who wait already, and refuses those who come") {
    test::run(serve_the_queue());
}

asio::awaitable<void> drain_is_over() {
    pool from(co_await asio::this_coro::executor, shared().connect(), of_size(1));
    pooled_connection held = co_await from.acquire();
    auto all = [&](std::size_t i) -> asio::awaitable<void> {
        if (i == 0) {
            const auto refused = co_await test::failure_of(from, "SELECT 1");
            REQUIRE(refused);
            CHECK(refused->code() == errc::pool_closed);
        } else if (i == 1) {
            const auto cut = co_await test::failure_of(*held, "SELECT pg_sleep(30)");
            REQUIRE(cut);
            CAPTURE(cut->what());
            CHECK(cut->code() == errc::connection_lost);
            CHECK(has(*cut, "the pool was closed"));
            CHECK_FALSE(has(*cut, "EOF"));
        } else {
            co_await until_waiting(from, 1);
            std::optional<error> late;
            try {
                co_await from.close(100ms);
            } catch (const error& thrown) {
                late = thrown;
            }
            REQUIRE(late);
            CAPTURE(late->what());
            CHECK(late->code() == errc::timeout);
            CHECK(has(*late, "1 caller had no connection"));
            CHECK(has(*late, "held by pool_close_test.cpp:"));
        }
    };
    test::expect_none(co_await test::gather(3, all));
    const auto later = co_await test::failure_of(*held, "SELECT 1");
    REQUIRE(later);
    CAPTURE(later->what());
    CHECK(later->code() == errc::connection_lost);
    CHECK(later->outcome() == outcome::not_sent);
    CHECK(has(*later, "the pool was closed"));
}

TEST_CASE("when the time to close is up, everybody learns why") {
    test::run(drain_is_over());
}

asio::awaitable<void> dropped_under_a_statement() {
    // PostgreSQL may not have noticed yet that others who slept are gone.
    test::terminate_waiting(shared(), "PgSleep");
    pool from(co_await asio::this_coro::executor, shared().connect(), of_size(1));
    std::optional<pooled_connection> held = co_await from.acquire();
    auto both = [&](std::size_t i) -> asio::awaitable<void> {
        if (i == 0) {
            connection& borrowed = **held;
            const auto cut = co_await test::failure_of(borrowed, "SELECT pg_sleep(30)");
            REQUIRE(cut);
            CAPTURE(cut->what());
            CHECK(cut->code() == errc::connection_lost);
            CHECK(cut->outcome() == outcome::unknown);
            CHECK(has(*cut, "given back while an operation on it was under way"));
            CHECK_FALSE(has(*cut, "cancellation"));
        } else {
            co_await test::await_waiting(shared(), "PgSleep");
            held->release();
            CHECK((co_await from.query("SELECT 1")).one<int>() == 1);
        }
    };
    test::expect_none(co_await test::gather(2, both));
    co_await from.close();
}

TEST_CASE("a statement whose lease another coroutine drops is told just that") {
    test::run(dropped_under_a_statement());
}

// Called, and not yet begun: nobody else may be lent the connection either.
asio::awaitable<void> dropped_at_once() {
    pool from(co_await asio::this_coro::executor, shared().connect(), of_size(1));
    for (int time = 0; time < 20; ++time) {
        std::optional<pooled_connection> held = co_await from.acquire();
        auto both = [&](std::size_t i) -> asio::awaitable<void> {
            if (i == 0) {
                connection& borrowed = **held;
                const auto cut = co_await test::failure_of(borrowed, "SELECT pg_sleep(30)");
                REQUIRE(cut);
                CHECK(cut->code() == errc::connection_lost);
            } else {
                held->release();
                const result answer = co_await from.query("SELECT 1");
                CHECK(answer.one<int>() == 1);
            }
        };
        test::expect_none(co_await test::gather(2, both));
    }
    co_await from.close();
}

TEST_CASE("a lease that is dropped before its statement has begun is not lent to others") {
    test::run(dropped_at_once());
}

// Runs `hold`, which keeps the only connection until the barrier is removed, and expects that a
// caller without a connection is told the line where `hold` was written.
template <class Hold>
asio::awaitable<void> expect_place(Hold& hold, pool from, unsigned line) {
    test::lock_barrier barrier;
    co_await barrier.put(shared().connect());
    auto both = [&](std::size_t i) -> asio::awaitable<void> {
        if (i == 0) {
            co_await hold();
            co_return;
        }
        co_await test::await_waiting(shared(), "advisory");
        const auto refused = co_await test::failure_of(from, statement("SELECT 1").timeout(100ms));
        REQUIRE(refused);
        CAPTURE(refused->what());
        CHECK(has(*refused, ("held by pool_close_test.cpp:" + std::to_string(line)).c_str()));
        co_await barrier.remove();
    };
    test::expect_none(co_await test::gather(2, both));
}

asio::awaitable<void> places() {
    pool from(co_await asio::this_coro::executor, shared().connect(), of_size(1));
    const std::string wait = std::string("SELECT ") + test::lock_barrier::stop;
    unsigned line = 0;

    line = __LINE__ + 1;
    auto query = [&]() -> asio::awaitable<void> { co_await from.query(wait); };
    co_await expect_place(query, from, line);

    line = __LINE__ + 1;
    auto literal = [&]() -> asio::awaitable<void> { co_await from.query(wait.c_str()); };
    co_await expect_place(literal, from, line);

    const statement marked = statement(wait + ", $1::int").read_only();
    line = __LINE__ + 1;
    auto execute = [&]() -> asio::awaitable<void> { co_await from.execute(marked, 1); };
    co_await expect_place(execute, from, line);

    pipeline statements;
    statements.add(wait);
    line = __LINE__ + 1;
    auto batch = [&]() -> asio::awaitable<void> { co_await from.run(statements); };
    co_await expect_place(batch, from, line);

    line = __LINE__ + 2;
    auto stream = [&]() -> asio::awaitable<void> {
        row_stream rows = co_await from.stream(wait);
        co_await rows.next();
    };
    co_await expect_place(stream, from, line);

    auto work = [&](transaction& t) -> asio::awaitable<void> { co_await t.query(wait); };
    line = __LINE__ + 1;
    auto whole = [&]() -> asio::awaitable<void> { co_await from.transaction(work); };
    co_await expect_place(whole, from, line);
    co_await from.close();
}

TEST_CASE("an error names the caller's source, whatever function took the connection") {
    test::run(places());
}

asio::awaitable<void> pools_of_a_client(client service) {
    pool first = service.pool("local/db");
    co_await first.query("SELECT 1");
    co_await first.close();
    const auto refused = co_await test::failure_of(first, "SELECT 1");
    REQUIRE(refused);
    CHECK(refused->code() == errc::pool_closed);
    pool second = service.pool("local/db");
    CHECK((co_await second.query("SELECT 1")).one<int>() == 1);
    CHECK_FALSE(second.is_closed());

    // Both are served although the first takes its time.
    pool other = service.pool("local/other");
    auto all = [&](std::size_t i) -> asio::awaitable<void> {
        if (i < 2) {
            pooled_connection held = co_await (i == 0 ? second : other).acquire();
            co_await held->query("SELECT pg_sleep(0.7)");
        } else if (i < 4) {
            co_await test::rest(100ms);
            co_await (i == 2 ? second : other).query("SELECT 1");
        } else {
            for (;;) {
                const pool_statistics now = co_await other.statistics();
                if (now.used > 0) break;
                co_await test::rest(1ms);
            }
            co_await test::rest(300ms);
            co_await service.close();
        }
    };
    test::expect_none(co_await test::gather(5, all));
    const auto after = co_await test::failure_of(second, "SELECT 1");
    REQUIRE(after);
    CHECK(after->code() == errc::pool_closed);
    pool third = service.pool("local/third");
    CHECK(co_await test::failure_of(third, "SELECT 1"));
}

TEST_CASE("a client makes a closed pool anew, until the client itself is closed") {
    test::test_server server;
    server.create_database("db");
    server.create_database("other");
    server.create_database("third");
    asio::io_context io;
    client_options options = server.client_options();
    options.pool.max_size = 1;
    const auto work = [&]() -> asio::awaitable<void> {
        client service(co_await asio::this_coro::executor, options);
        co_await pools_of_a_client(service);
    };
    test::run(work());
}

}  // namespace
