// Cancel requests that get lost on their way, or come late.
#include "fault/proxied_pool.hpp"

#include "support/background.hpp"
#include "support/run.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <future>
#include <vector>

namespace {

namespace asio = boost::asio;
using namespace std::chrono_literals;
using bitdotio::connection;
using bitdotio::errc;
using bitdotio::outcome;
using test::before;
using test::cancel_request;
using test::fault;
using test::fault_proxy;
using test::proxied_pool;
using test::side;

// A long statement is given up, and its cancel request never arrives.
asio::awaitable<void> lose_cancel(bool heals_meanwhile) {
    proxied_pool here(co_await asio::this_coro::executor, test::shared_postgres(), 250ms, 1);
    co_await here.begin();
    here.proxy().set(test::before(side::frontend, test::cancel_request).hold_both());
    const auto key = here.book().open();
    const std::vector<test::ledger::key> keys{key};
    const auto begin = std::chrono::steady_clock::now();
    const auto failed = co_await test::record(
        here.book(), keys, here.pool().query("INSERT INTO ledger SELECT $1 FROM pg_sleep(1)", key));
    CHECK(std::chrono::steady_clock::now() - begin <= here.patience());
    REQUIRE(failed);
    CHECK(failed->code() == errc::timeout);
    CHECK(failed->outcome() == outcome::unknown);
    CHECK(here.proxy().fired() == 1);
    if (heals_meanwhile) {
        here.proxy().heal();
    }
    // Whatever becomes of the request, no other statement is hit.
    for (int i = 0; i < 20; ++i) {
        CHECK_FALSE(co_await test::write_one(here.pool(), here.book()));
    }
    co_await here.judge();
    fault what;
    what.number = 40;
    what.name = heals_meanwhile ? "cancel late" : "cancel lost";
    here.report(what, "pool");
}

TEST_CASE("a lost cancellation costs the connection, and a late one hits nobody else") {
    test::run_without_trace(test::shared_postgres(), lose_cancel(false));
    test::run_without_trace(test::shared_postgres(), lose_cancel(true));
}

// A proxy in a context of its own, which holds cancel requests and outlives other contexts.
class distant_proxy {
public:
    explicit distant_proxy(int held) {
        auto start = [&](int count) -> asio::awaitable<void> {
            proxy_ = fault_proxy::start(co_await asio::this_coro::executor,
                                        test::shared_postgres().port());
            for (int i = 1; i <= count; ++i) {
                proxy_->set(before(side::frontend, cancel_request, i).hold_both());
            }
        };
        context_.wait_for(start(held));
        port_ = proxy_->port();
    }

    bitdotio::connect_options options() const {
        auto options = test::shared_postgres().over_tcp("postgres", "");
        options.hosts = {{"127.0.0.1", port_}};
        options.statement_timeout = 100ms;
        options.cancel_timeout = 200ms;
        return options;
    }

    void heal() {
        auto work = [&]() -> asio::awaitable<void> {
            proxy_->heal();
            co_return;
        };
        context_.wait_for(work());
    }

private:
    test::background context_;
    std::shared_ptr<fault_proxy> proxy_;
    std::uint16_t port_ = 0;
};

asio::awaitable<outcome> outcome_of_slow_statement(bitdotio::connect_options options) {
    connection c = co_await connection::open(options);
    try {
        co_await c.query("SELECT pg_sleep(5)");
    } catch (const bitdotio::error& failure) {
        CHECK(failure.code() == errc::timeout);
        co_return failure.outcome();
    }
    co_return outcome::executed;
}

TEST_CASE("a cancellation that nobody answers does not hold up the end of the context") {
    distant_proxy proxy(1);
    auto work = [&] { return test::run(outcome_of_slow_statement(proxy.options())); };
    auto ended = std::async(std::launch::async, work);
    CHECK(ended.wait_for(5s) == std::future_status::ready);
    proxy.heal();
    CHECK(ended.get() == outcome::unknown);
}

asio::awaitable<void> cancel_often(bitdotio::connect_options options, int lost) {
    for (int i = 0; i < lost; ++i) {
        CHECK((co_await outcome_of_slow_statement(options)) == outcome::unknown);
    }
    CHECK((co_await outcome_of_slow_statement(options)) == outcome::not_executed);
}

TEST_CASE("cancellations that nobody answers do not keep later ones from being heard") {
    distant_proxy proxy(4);
    auto work = [&] { test::run(cancel_often(proxy.options(), 4)); };
    auto ended = std::async(std::launch::async, work);
    CHECK(ended.wait_for(10s) == std::future_status::ready);
    proxy.heal();
    ended.get();
}

}  // namespace
