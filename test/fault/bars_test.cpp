// Figures that a pool must reach to stand against any other, each with the fault or the clients
// that test it. Those without a fault are in test/integration: wrong keys, killed idle backends,
// two hosts.
#include "support/environment.hpp"
#include "support/fault_proxy.hpp"
#include "support/invariants.hpp"
#include "support/postgres.hpp"
#include "support/run.hpp"
#include "support/values.hpp"

#include <bitdotio/pool.hpp>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/redirect_error.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <vector>

namespace {

namespace asio = boost::asio;
using namespace std::chrono_literals;
using bitdotio::connection;
using bitdotio::errc;
using bitdotio::pool_options;
using std::chrono::milliseconds;
using std::chrono::steady_clock;
using test::admission;
using test::any_message;
using test::before;
using test::fault_proxy;
using test::ledger;
using test::punctuality;
using test::side;

constexpr const char* ours = "bitdotio";

test::private_postgres& server() {
    static test::private_postgres instance([] {
        test::private_postgres_options options;
        options.hba = "host all all 127.0.0.1/32 trust\n";
        return options;
    }());
    return instance;
}

// A pool behind a proxy, and a connection that goes around it.
struct scene {
    scene(const asio::any_io_executor& executor, pool_options limits,
          milliseconds statement_timeout = 0ms, milliseconds cancel_timeout = 2s)
        : road(fault_proxy::start(executor, server().port())),
          max_size(limits.max_size),
          pool(executor, connect(statement_timeout, cancel_timeout), limits) {}

    bitdotio::connect_options connect(milliseconds statement_timeout,
                                      milliseconds cancel_timeout) const {
        bitdotio::connect_options options = server().over_tcp("postgres", "");
        options.hosts = {{"127.0.0.1", road->port()}};
        options.statement_timeout = statement_timeout;
        options.cancel_timeout = cancel_timeout;
        return options;
    }

    asio::awaitable<void> begin() {
        bitdotio::connect_options options = server().superuser();
        options.application_name = "direct";
        direct = co_await connection::open(options);
        co_await direct.script(std::string("DROP TABLE IF EXISTS ledger; ") + ledger::create);
    }

    /// The end of every scene.
    asio::awaitable<void> end() {
        road->heal();
        co_await test::expect_at_rest(pool);
        CHECK(road->most_sessions() <= max_size);
        co_await test::expect_gone(pool, direct, ours);
        const test::verdict found = co_await test::check(book, direct);
        test::expect_clean(found);
        co_await direct.close();
    }

    std::shared_ptr<fault_proxy> road;
    std::size_t max_size;
    bitdotio::pool pool;
    connection direct;
    ledger book;
};

// Counts the pool's backends at the server while something goes on, and keeps the most.
class census {
public:
    asio::awaitable<void> take(connection& direct) {
        while (!over_) {
            most_ = std::max(most_, co_await test::backends_of(direct, ours));
            co_await test::rest(2ms);
        }
    }
    void end() { over_ = true; }
    std::size_t most() const { return most_; }

private:
    bool over_ = false;
    std::size_t most_ = 0;
};

milliseconds since(steady_clock::time_point begin) {
    return std::chrono::duration_cast<milliseconds>(steady_clock::now() - begin);
}

pool_options at_most(std::size_t size) {
    pool_options limits;
    limits.max_size = size;
    return limits;
}

asio::awaitable<void> refuse_for(milliseconds time) {
    constexpr std::size_t waiters = 200;
    scene here(co_await asio::this_coro::executor, at_most(10));
    co_await here.begin();
    here.road->set(admission::refuse);
    std::vector<std::size_t> served;
    milliseconds first{0};
    steady_clock::time_point opened;
    auto one = [&](std::size_t i) -> asio::awaitable<void> {
        if (i == waiters) {
            co_await test::rest(time);
            here.road->heal();
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
        here.road->hold_both();
        const auto begin = steady_clock::now();
        rows.reset();
        first.release();
        second.release();
        first = co_await here.pool.acquire();
        second = co_await here.pool.acquire();
        slowest = std::max(slowest, since(begin));
        CHECK_FALSE(co_await test::write_one(*first, here.book));
        CHECK_FALSE(co_await test::write_one(*second, here.book));
        here.road->heal();
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

// Runs `work` and cancels it after a while; returns how it ended.
asio::awaitable<std::optional<errc>> cancel_after(asio::awaitable<void> work, milliseconds time) {
    const auto executor = co_await asio::this_coro::executor;
    asio::cancellation_signal signal;
    asio::steady_timer ended(executor, asio::steady_timer::time_point::max());
    std::optional<errc> code;
    bool over = false;
    const auto on_end = [&](std::exception_ptr thrown) {
        try {
            if (thrown) std::rethrow_exception(thrown);
        } catch (const bitdotio::error& failure) {
            test::expect_discreet(failure);
            code = failure.code();
        }
        over = true;
        ended.cancel();
    };
    asio::co_spawn(executor, std::move(work), asio::bind_cancellation_slot(signal.slot(), on_end));
    co_await test::rest(time);
    signal.emit(asio::cancellation_type::terminal);
    boost::system::error_code ignored;
    if (!over) {
        co_await ended.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
    }
    co_return code;
}

asio::awaitable<void> run_slowly(bitdotio::pool from) {
    co_await from.query("SELECT pg_sleep(1)");
}

asio::awaitable<void> run_slowly_on(bitdotio::connection& lent) {
    co_await lent.query("SELECT pg_sleep(1)");
}

asio::awaitable<void> begin_only(bitdotio::pool from) {
    const bitdotio::transaction open = co_await from.begin();
}

asio::awaitable<void> cancel_without_end(milliseconds time) {
    constexpr std::size_t victims = 20;
    constexpr std::size_t innocents = 4;
    scene here(co_await asio::this_coro::executor, at_most(4));
    co_await here.begin();
    test::dice dice;
    CAPTURE(dice.seed);
    census watch;
    std::size_t cancelled = 0;
    std::size_t served = 0;
    std::size_t open = 0;
    const auto begin = steady_clock::now();
    auto one = [&](std::size_t i) -> asio::awaitable<void> {
        if (i == 0) {
            co_await watch.take(here.direct);
            co_return;
        }
        while (since(begin) < time) {
            if (i <= victims / 2) {  // whose statement is running when it is cancelled
                bitdotio::pooled_connection lent = co_await here.pool.acquire();
                const milliseconds patience(dice.number(0, 5));
                const auto code = co_await cancel_after(run_slowly_on(*lent), patience);
                CHECK(code == errc::cancelled);
                ++cancelled;
            } else if (i <= victims) {
                const milliseconds patience(dice.number(0, 20));
                const auto code = co_await cancel_after(run_slowly(here.pool), patience);
                CHECK(code == errc::cancelled);
                ++cancelled;
            } else {
                co_await here.pool.query("SELECT pg_sleep(0.002)");
                ++served;
            }
            open = std::max(open, here.road->open());
        }
        watch.end();
    };
    test::expect_none(co_await test::gather(1 + victims + innocents, one));
    CHECK(watch.most() <= here.max_size + 2);
    CHECK(cancelled > 20);
    CHECK(served > 0);
    CHECK(here.road->seen(side::frontend, test::cancel_request) > 5);
    const auto rate = static_cast<std::int64_t>(cancelled) * 1'000 / since(begin).count();
    MESSAGE(rate << " cancellations a second, "
                 << here.road->seen(side::frontend, test::cancel_request)
                 << " of them at the server, " << served << " others served, at most "
                 << watch.most() << " backends, " << open << " connections of any kind");
    co_await here.end();
}

TEST_CASE("under cancellations without end the pool keeps its size and no innocent is hit") {
    test::run(cancel_without_end(test::soaking() ? 20s : 2s));
}

asio::awaitable<void> cancel_begin() {
    scene here(co_await asio::this_coro::executor, at_most(1));
    co_await here.begin();
    test::dice dice;
    CAPTURE(dice.seed);
    std::size_t cancelled = 0;
    for (int turn = 0; turn < 60; ++turn) {
        // Each message is slow, so that the cancellation meets every point of the exchange.
        here.road->set(before(side::backend, any_message).slice(2ms));
        const milliseconds patience(dice.number(0, 5));
        const auto code = co_await cancel_after(begin_only(here.pool), patience);
        cancelled += code.has_value();
        CHECK(code.value_or(errc::cancelled) == errc::cancelled);
        bitdotio::pooled_connection next = co_await here.pool.acquire();
        const auto refused = co_await test::failure_of(*next, "SAVEPOINT here");
        REQUIRE(refused);
        CHECK(refused->sqlstate() == "25P01");  // no transaction is open
    }
    CHECK(cancelled > 0);
    MESSAGE(cancelled << " of 60 cancelled during BEGIN");
    co_await here.end();
}

TEST_CASE("who comes after a cancelled BEGIN always finds the session without a transaction") {
    test::run(cancel_begin());
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
    bitdotio::connect_options options = server().over_tcp("postgres", "");
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
    const std::size_t sent = here.road->bytes(side::frontend);
    const std::size_t dialled = here.road->accepted();
    co_await test::rest(400ms);
    CHECK(here.road->bytes(side::frontend) == sent);
    CHECK(here.road->accepted() == dialled);
    CHECK(here.road->open() == 3);
    // Then they are really closed, each with a goodbye, and the database may sleep.
    co_await here.road->until_empty();
    CHECK((co_await test::backends_of(here.direct, ours)) == 0);
    CHECK(here.road->accepted() == dialled);
    const auto counts = co_await here.pool.statistics();
    CHECK(counts.idle == 0);
    CHECK_FALSE(co_await test::write_one(here.pool, here.book));
    co_await here.end();
}

TEST_CASE("an idle pool sends no byte, closes at its idle timeout, and works on") {
    test::run(rest_without_a_word());
}

asio::awaitable<void> run_late_again_and_again() {
    const bitdotio::statement slow = bitdotio::statement("SELECT pg_sleep(30)").timeout(60ms);
    scene here(co_await asio::this_coro::executor, at_most(1), 0ms, 10s);
    co_await here.begin();
    census watch;
    auto one = [&](std::size_t i) -> asio::awaitable<void> {
        if (i == 0) {
            co_await watch.take(here.direct);
            co_return;
        }
        for (int turn = 0; turn < 20; ++turn) {
            const auto failure = co_await test::failure_of(here.pool, slow);
            REQUIRE(failure);
            CHECK(failure->code() == errc::timeout);
            CHECK_FALSE(co_await test::write_one(here.pool, here.book));
        }
        watch.end();
    };
    test::expect_none(co_await test::gather(2, one));
    CHECK(watch.most() == 1);
    const auto counts = co_await here.pool.statistics();
    CHECK(counts.opened == 1);
    co_await here.end();
}

TEST_CASE("a statement past its deadline on a pool of 1 never means two backends") {
    test::run(run_late_again_and_again());
}

// Waiters whose deadlines pass at all times, and statements without an answer. Bare timers of the
// same deadlines show how late this machine is by itself.
asio::awaitable<void> keep_deadlines() {
    constexpr std::size_t waiters = 200;
    constexpr std::size_t statements = 40;
    constexpr auto acquire_timeout = 300ms;
    constexpr auto statement_timeout = 200ms;
    constexpr auto cancel_timeout = 200ms;
    pool_options limits = at_most(statements);
    limits.acquire_timeout = acquire_timeout;
    scene here(co_await asio::this_coro::executor, limits, statement_timeout, cancel_timeout);
    co_await here.begin();

    here.road->set(admission::refuse);
    test::lateness waiting;
    test::lateness timers;
    auto wait = [&](std::size_t i) -> asio::awaitable<void> {
        co_await test::rest(milliseconds(2 * (i % waiters)));
        const auto deadline = steady_clock::now() + acquire_timeout;
        if (i >= waiters) {
            co_await test::rest(acquire_timeout);
            timers.add(deadline);
            co_return;
        }
        CHECK(co_await test::write_one(here.pool, here.book));
        waiting.add(deadline);
    };
    test::expect_none(co_await test::gather(2 * waiters, wait));
    CHECK(waiting.p99() <= timers.p99() + punctuality);
    here.road->heal();

    test::lateness running;
    std::size_t lent = 0;
    auto run = [&](std::size_t) -> asio::awaitable<void> {
        std::optional<bitdotio::pooled_connection> held;
        while (!held) {
            try {
                held.emplace(co_await here.pool.acquire());
            } catch (const bitdotio::error&) {  // many dials take longer than acquire_timeout
            }
        }
        if (++lent == statements) {
            here.road->hold_both();
            here.road->set(admission::silent);
        }
        while (lent < statements) {
            co_await test::rest(1ms);
        }
        const auto deadline = steady_clock::now() + statement_timeout + cancel_timeout;
        CHECK(co_await test::write_one(**held, here.book));
        running.add(deadline);
    };
    test::expect_none(co_await test::gather(statements, run));
    CHECK(running.p99() <= timers.p99() + punctuality);
    MESSAGE("bare timers at p99: " << timers.p99().count() << " ms late");
    MESSAGE("later than their deadline at p99: waiters "
            << waiting.p99().count() << " ms, statements " << running.p99().count() << " ms");
    co_await here.end();
}

TEST_CASE("whoever waits is told by the deadline") {
    test::run(keep_deadlines());
}

}  // namespace
