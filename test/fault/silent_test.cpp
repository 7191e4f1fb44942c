// Networks and servers that are silent: every waiter is told in time, and no write comes late.
#include "fault/proxied_pool.hpp"

#include "support/gather.hpp"
#include "support/pool_use.hpp"
#include "support/run.hpp"

#include <doctest/doctest.h>

#include <vector>

namespace {

namespace asio = boost::asio;
using namespace std::chrono_literals;
using bitdotio::errc;
using bitdotio::outcome;
using test::admission;
using test::all_places;
using test::fault;
using test::fault_proxy;
using test::meaning;
using test::proxied_pool;
using test::rows;
using test::side;

fault late(int number, std::string name, rows left, std::function<void(fault_proxy&)> arm) {
    fault made;
    made.number = number;
    made.name = std::move(name);
    made.means = meaning::late;
    made.left = left;
    made.arm = std::move(arm);
    return made;
}

TEST_CASE("on a dead road every operation ends in time, and what was given up never runs late") {
    const auto all_dead = [](fault_proxy& proxy) {
        proxy.hold_both();
        proxy.set(admission::silent);  // cancel requests go through the proxy too
    };
    const auto requests_dead = [](fault_proxy& proxy) { proxy.hold(side::frontend); };
    const auto replies_dead = [](fault_proxy& proxy) { proxy.hold(side::backend); };
    test::run_everywhere({late(22, "half-open", rows::none, all_dead),
                          late(23, "half-open, requests lost", rows::none, requests_dead),
                          late(23, "half-open, replies lost", rows::all, replies_dead)},
                         all_places(), 250ms);
}

asio::awaitable<void> wait_at(admission how, int number, const char* name) {
    constexpr std::size_t waiters = 20;
    proxied_pool here(co_await asio::this_coro::executor, test::shared_postgres(), 250ms);
    co_await here.begin();
    here.proxy().cut();
    here.proxy().set(how);
    const auto begin = std::chrono::steady_clock::now();
    auto one = [&](std::size_t) -> asio::awaitable<void> {
        const auto failed = co_await test::write_one(here.pool(), here.book());
        if (failed) throw *failed;
    };
    const auto failures = co_await test::gather(waiters, one);
    const auto took = std::chrono::steady_clock::now() - begin;
    CHECK(failures.size() == waiters);
    for (const bitdotio::error& failure : failures) {
        CHECK(failure.code() == errc::database_asleep);
        CHECK(failure.outcome() == outcome::not_sent);
    }
    CHECK(took <= here.acquire_timeout() + 400ms);
    CHECK(here.proxy().accepted() < 20);
    co_await here.judge();
    fault what;
    what.number = number;
    what.name = name;
    here.report(what, "pool");
}

TEST_CASE("a server that accepts and never answers costs its waiters their deadline, not more") {
    test::run_without_trace(test::shared_postgres(),
                            wait_at(admission::silent, 27, "accepts, never answers"));
}

TEST_CASE("a server that accepts and hangs up counts as asleep until the deadline") {
    test::run_without_trace(test::shared_postgres(),
                            wait_at(admission::hang_up, 28, "accepts and hangs up"));
}

// Callers wait at a server that refuses connections; then it accepts them.
asio::awaitable<void> wake(admission how) {
    proxied_pool here(co_await asio::this_coro::executor, test::shared_postgres(), 2s);
    co_await here.begin();
    here.proxy().cut();
    here.proxy().set(how);
    std::size_t served = 0;
    auto one = [&](std::size_t i) -> asio::awaitable<void> {
        if (i == 0) {
            std::function<bool()> dialled = [&] { return here.proxy().accepted() >= 2; };
            co_await here.proxy().until(dialled, "a second dial");
            here.proxy().heal();
            co_return;
        }
        const auto failed = co_await test::write_one(here.pool(), here.book());
        if (failed) throw *failed;
        ++served;
    };
    test::expect_none(co_await test::gather(21, one));
    CHECK(served == 20);
    co_await here.judge();
}

TEST_CASE("waiters are served when a server that held its answer or hung up lets them in") {
    test::run_without_trace(test::shared_postgres(), wake(admission::silent));
    test::run_without_trace(test::shared_postgres(), wake(admission::hang_up));
}

}  // namespace
