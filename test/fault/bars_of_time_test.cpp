// Figures that a pool must reach when statements are cancelled and deadlines pass, without end and
// all at once.
#include "fault/scene.hpp"
#include "support/environment.hpp"
#include "support/run.hpp"
#include "support/values.hpp"

#include <bitdotio/pool.hpp>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/redirect_error.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <exception>
#include <optional>
#include <utility>

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
using test::at_most;
using test::before;
using test::punctuality;
using test::scene;
using test::side;
using test::since;

// Counts the pool's backends at the server while something goes on, and keeps the most.
class census {
public:
    asio::awaitable<void> take(connection& direct) {
        while (!over_) {
            most_ = std::max(most_, co_await test::backends_of(direct, test::scene_pool));
            co_await test::rest(2ms);
        }
    }
    void end() { over_ = true; }
    std::size_t most() const { return most_; }

private:
    bool over_ = false;
    std::size_t most_ = 0;
};

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
    // A cancellation that meets the first of two steps must not end the second with Asio's words.
    co_await asio::this_coro::throw_if_cancelled(false);
    bitdotio::transaction open = co_await from.begin();
    co_await open.query("SELECT 1");  // which takes BEGIN along
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
            open = std::max(open, here.proxy->open());
        }
        watch.end();
    };
    test::expect_none(co_await test::gather(1 + victims + innocents, one));
    CHECK(watch.most() <= here.max_size + 2);
    CHECK(cancelled > 20);
    CHECK(served > 0);
    CHECK(here.proxy->seen(side::frontend, test::cancel_request) > 5);
    const auto rate = static_cast<std::int64_t>(cancelled) * 1'000 / since(begin).count();
    MESSAGE(rate << " cancellations a second, "
                 << here.proxy->seen(side::frontend, test::cancel_request)
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
        here.proxy->set(before(side::backend, any_message).slice(2ms));
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

    here.proxy->set(admission::refuse);
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
    here.proxy->heal();

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
            here.proxy->hold_both();
            here.proxy->set(admission::silent);
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
