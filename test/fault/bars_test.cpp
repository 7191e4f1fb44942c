// Figures that a pool must reach to stand against any other, each with the fault or the clients
// that test it. Those of cancellations and deadlines are in bars_of_time_test.cpp; those without a
// fault are in test/integration: wrong keys, killed idle backends, two hosts.
#include "fault/scene.hpp"
#include "support/environment.hpp"
#include "support/run.hpp"
#include "support/values.hpp"

#include <bitdotio/pool.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <vector>

namespace {

namespace asio = boost::asio;
using namespace std::chrono_literals;
using bitdotio::pool_options;
using std::chrono::milliseconds;
using std::chrono::steady_clock;
using test::admission;
using test::at_most;
using test::punctuality;
using test::scene;
using test::side;
using test::since;

asio::awaitable<void> refuse_for(milliseconds time) {
    constexpr std::size_t waiters = 200;
    scene here(co_await asio::this_coro::executor, at_most(10));
    co_await here.begin();
    here.proxy->set(admission::refuse);
    std::vector<std::size_t> served;
    milliseconds first{0};
    steady_clock::time_point opened;
    auto one = [&](std::size_t i) -> asio::awaitable<void> {
        if (i == waiters) {
            co_await test::rest(time);
            here.proxy->heal();
            opened = steady_clock::now();
            co_return;
        }
        bitdotio::pooled_connection lent = co_await here.pool.acquire();
        if (served.empty()) {
            first = since(opened);
        }
        served.push_back(i);
        CHECK_FALSE(co_await test::write_one(*lent, here.book));
    };
    test::expect_none(co_await test::gather(waiters + 1, one));
    CHECK(served.size() == waiters);
    CHECK(std::is_sorted(served.begin(), served.end()));
    CHECK(first <= 2'500ms);
    const auto counts = co_await here.pool.statistics();
    CHECK(counts.connects <= 40);
    MESSAGE("refused for " << time.count() << " ms: " << counts.connects << " dials, the first of "
                           << waiters << " served " << first.count() << " ms after the wake");
    co_await here.end();
}

TEST_CASE("200 waiters at a server that refuses are all served, in their order, with few dials") {
    test::run(refuse_for(test::soaking() ? 20s : 3s));
}

// Connections come back in a transaction or with rows on their way, and the peer is silent.
asio::awaitable<void> fall_silent_at_release(milliseconds return_timeout,
                                             milliseconds cancel_timeout) {
    pool_options limits = at_most(2);
    limits.return_timeout = return_timeout;
    scene here(co_await asio::this_coro::executor, limits, 0ms, cancel_timeout);
    co_await here.begin();
    milliseconds slowest{0};
    for (int round = 0; round < 10; ++round) {
        bitdotio::pooled_connection first = co_await here.pool.acquire();
        bitdotio::pooled_connection second = co_await here.pool.acquire();
        co_await first->query("BEGIN");
        std::optional<bitdotio::row_stream> rows(
            co_await second->stream("SELECT repeat('x', 1000), CASE WHEN i = 50 THEN "
                                    "pg_sleep(60)::text END FROM generate_series(1, 100) i"));
        co_await rows->next(1);
        here.proxy->hold_both();
        const auto begin = steady_clock::now();
        rows.reset();
        first.release();
        second.release();
        first = co_await here.pool.acquire();
        second = co_await here.pool.acquire();
        slowest = std::max(slowest, since(begin));
        CHECK_FALSE(co_await test::write_one(*first, here.book));
        CHECK_FALSE(co_await test::write_one(*second, here.book));
        here.proxy->heal();
    }
    CHECK(slowest <= return_timeout + punctuality);
    MESSAGE("peers silent at release, return_timeout "
            << return_timeout.count() << " ms: capacity back within " << slowest.count() << " ms");
    co_await here.end();
}

TEST_CASE("peers that fall silent at release give their places back in time, ten times over") {
    const bool defaults = test::soaking();
    test::run(fall_silent_at_release(defaults ? pool_options().return_timeout : 200ms,
                                     defaults ? 2s : 200ms));
}

// The dials for the waiters hang until the connections there are have served them all. This may
// take at most half as long again as a connection that does its share of the requests alone.
asio::awaitable<void> pass_by_slow_dials() {
    constexpr std::size_t requests = 50;
    constexpr std::size_t connections = 5;
    const bool sanitized = punctuality > 50ms;  // each request then costs the client about 1 ms
    const bitdotio::statement request(sanitized ? "SELECT pg_sleep(0.02)"
                                                : "SELECT pg_sleep(0.002)");
    const auto executor = co_await asio::this_coro::executor;
    // Slow on our side, so that the server starts no processes for them, which would take time.
    asio::steady_timer dialled(executor, asio::steady_timer::time_point::min());
    bitdotio::connect_options options = test::scene_server().over_tcp("postgres", "");
    options.ask_credentials = [&dialled](int) -> asio::awaitable<bitdotio::credentials> {
        co_await dialled.async_wait(asio::use_awaitable);
        co_return bitdotio::credentials("");
    };
    bitdotio::pool pool(executor, options);
    co_await test::open_all(pool, connections);
    co_await test::expect_at_rest(pool);
    milliseconds alone{0};
    {
        bitdotio::pooled_connection lent = co_await pool.acquire();
        const auto begin = steady_clock::now();
        for (std::size_t i = 0; i < requests / connections; ++i) {
            co_await lent->query(request);
        }
        alone = since(begin);
    }
    co_await test::expect_at_rest(pool);
    dialled.expires_at(asio::steady_timer::time_point::max());
    milliseconds slowest{0};
    const auto begin = steady_clock::now();
    auto one = [&](std::size_t) -> asio::awaitable<void> {
        co_await pool.query(request);
        slowest = std::max(slowest, since(begin));
    };
    test::expect_none(co_await test::gather(requests, one));
    const auto counts = co_await pool.statistics();
    CHECK(counts.opened == connections);
    CHECK(slowest <= alone * 3 / 2);
    MESSAGE("50 requests of " << (sanitized ? 20 : 2) << " ms on 5 connections: " << slowest.count()
                              << " ms; 10 of them on one alone: " << alone.count() << " ms; "
                              << counts.connects << " dials");
    dialled.cancel();
    co_await pool.close();
}

TEST_CASE("50 quick requests on 5 idle connections wait for no slow dial") {
    test::run(pass_by_slow_dials());
}

asio::awaitable<void> alter_under_load() {
    constexpr std::size_t readers = 8;
    scene here(co_await asio::this_coro::executor, at_most(4));
    co_await here.begin();
    co_await here.direct.script(
        "DROP TABLE IF EXISTS altered; CREATE TABLE altered (a integer, b integer); "
        "INSERT INTO altered VALUES (1, 2)");
    bool over = false;
    std::size_t read = 0;
    auto one = [&](std::size_t i) -> asio::awaitable<void> {
        if (i < readers) {
            while (!over) {
                const auto row = co_await here.pool.query("SELECT * FROM altered WHERE a = $1", 1);
                CHECK(row.size() == 1);
                read += row.size();
            }
            co_return;
        }
        for (int turn = 0; turn < 5; ++turn) {
            for (const char* const change :
                 {"ALTER TABLE altered ADD c text", "ALTER TABLE altered ALTER b TYPE bigint",
                  "ALTER TABLE altered DROP c", "ALTER TABLE altered ALTER b TYPE integer"}) {
                const std::size_t before_it = read;
                co_await here.direct.query(change);
                while (read < before_it + readers) {
                    co_await test::rest(1ms);
                }
            }
        }
        over = true;
    };
    test::expect_none(co_await test::gather(readers + 1, one));
    CHECK(read > 20 * readers);
    co_await here.end();
}

TEST_CASE("tables altered under load cost readers outside transactions no error") {
    test::run(alter_under_load());
}

asio::awaitable<void> rest_without_a_word() {
    pool_options limits;
    limits.idle_timeout = 700ms;
    scene here(co_await asio::this_coro::executor, limits);
    co_await here.begin();
    co_await test::open_all(here.pool, 3);
    co_await test::expect_at_rest(here.pool);
    const std::size_t sent = here.proxy->bytes(side::frontend);
    const std::size_t dialled = here.proxy->accepted();
    co_await test::rest(400ms);
    CHECK(here.proxy->bytes(side::frontend) == sent);
    CHECK(here.proxy->accepted() == dialled);
    CHECK(here.proxy->open() == 3);
    // Then they are really closed, each with a goodbye, and the database may sleep.
    co_await here.proxy->until_empty();
    CHECK((co_await test::backends_of(here.direct, test::scene_pool)) == 0);
    CHECK(here.proxy->accepted() == dialled);
    const auto counts = co_await here.pool.statistics();
    CHECK(counts.idle == 0);
    CHECK_FALSE(co_await test::write_one(here.pool, here.book));
    co_await here.end();
}

TEST_CASE("an idle pool sends no byte, closes at its idle timeout, and works on") {
    test::run(rest_without_a_word());
}

}  // namespace
