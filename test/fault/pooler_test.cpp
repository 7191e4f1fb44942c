// PgBouncer in between, which fails by itself or has lost its server.
#include "fault/parked_clients.hpp"
#include "support/invariants.hpp"
#include "support/pgbouncer.hpp"
#include "support/run.hpp"

#include <doctest/doctest.h>

#include <functional>

namespace {

namespace asio = boost::asio;
using namespace std::chrono_literals;
using bitdotio::errc;
using bitdotio::outcome;
using test::fault_ending;
using test::fault_place;
using test::ledger;
using test::moment;
using test::pgbouncer;
using test::pooling;
using test::postgres_primary;
using test::stop_mode;

constexpr const char* ours = "bitdotio";

postgres_primary& server() {
    static postgres_primary one;
    return one;
}

bitdotio::connect_options direct() {
    bitdotio::connect_options options = server().connect();
    options.application_name = "direct";
    return options;
}

asio::awaitable<test::verdict> judge(bitdotio::pool pool, const ledger& book) {
    co_await test::expect_at_rest(pool);
    co_await pool.close();  // the pooler keeps its own connections
    bitdotio::connection after = co_await bitdotio::connection::open(direct());
    const test::verdict found = co_await test::check(book, after);
    test::expect_clean(found);
    co_await after.close();
    co_return found;
}

bitdotio::connect_options through(const pgbouncer& pooler) {
    bitdotio::connect_options options = pooler.connect();
    options.statement_cache_size = 0;  // which poolers in transaction mode need
    return options;
}

struct trouble {
    const char* name;
    bool clients_stay;  // those at rest, if servers are assigned for each transaction
    std::function<void(pgbouncer&)> inject;
};

const trouble troubles[] = {
    {"PgBouncer stopped, started", false,
     [](pgbouncer& pooler) {
         pooler.stop();
         pooler.start();
     }},
    {"backends behind PgBouncer terminated", true,
     [](pgbouncer&) { server().kill_backends(ours); }},
    {"database killed in PgBouncer, resumed", false,
     [](pgbouncer& pooler) {
         // PgBouncer 1.18 itself sometimes dies of killing what is under way.
         try {
             pooler.command("KILL tests");
             pooler.command("RESUME tests");
         } catch (const bitdotio::error&) {
             if (pooler.is_running()) {
                 throw;
             }
             pooler.start();
         }
     }},
};

asio::awaitable<void> suffer(pgbouncer& pooler, pooling mode, const trouble& fault, moment when) {
    server().execute("TRUNCATE ledger");
    bitdotio::pool pool(co_await asio::this_coro::executor, through(pooler));
    ledger book;
    test::place_figures figures;
    const std::vector<fault_place> places(std::begin(test::parked_places),
                                          std::end(test::parked_places));
    const std::function<asio::awaitable<void>()> inject = [&]() -> asio::awaitable<void> {
        std::function<void()> verb = [&] { fault.inject(pooler); };
        co_await test::elsewhere(std::move(verb));
    };
    const auto ends = co_await test::play(pool, book, places, when, direct(), inject);
    for (const fault_ending& end : ends) {
        if (fault.clients_stay && mode == pooling::transaction && when == moment::resting &&
            end.where == fault_place::lease) {
            CHECK_FALSE(end.failure);
        } else {
            test::expect_loss(end, when);
        }
        figures.add(end, book);
    }
    CHECK_FALSE(co_await test::write_one(pool, book));
    const auto counts = co_await pool.statistics();
    const test::verdict found = co_await judge(pool, book);
    figures.report(36, fault.name, when, found, counts.retried);
}

// Callers at a pooler that has lost its server. The outcome of what it took is unknown.
asio::awaitable<void> lose_the_server(pgbouncer& pooler) {
    server().execute("TRUNCATE ledger");
    bitdotio::pool_options limits;
    limits.max_size = 5;
    bitdotio::pool pool(co_await asio::this_coro::executor, through(pooler), limits);
    ledger book;
    co_await test::open_all(pool, 3);
    std::function<void()> stop = [] { server().stop(stop_mode::fast); };
    co_await test::elsewhere(std::move(stop));
    std::size_t ended = 0;
    auto one = [&](std::size_t i) -> asio::awaitable<void> {
        if (i == 20) {
            co_await test::rest(1s);  // long enough for the pooler to give some up
            std::function<void()> start = [] { server().start(); };
            co_await test::elsewhere(std::move(start));
            co_return;
        }
        const auto failure = co_await test::write_one(pool, book);
        ++ended;
        if (failure) {
            INFO(std::string(failure->what()));
            CHECK(failure->code() == errc::connection_lost);
            CHECK(failure->outcome() == outcome::unknown);
        }
    };
    test::expect_none(co_await test::gather(21, one));
    CHECK(ended == 20);
    std::size_t failed = 0;  // the pooler may still report old failures to its clients
    while (co_await test::write_one(pool, book)) {
        REQUIRE(++failed < 10);
    }
    const auto counts = co_await pool.statistics();
    const test::verdict found = co_await judge(pool, book);
    test::figures figures;
    figures.runs = 20;
    figures.writes = book.counts();
    figures.violations = found.violations.size();
    figures.retried = counts.retried;
    test::report(37, "pooler up, server down", "pool.query", figures);
}

// What waits too long inside the pooler has not reached the server, but only the pooler knows.
asio::awaitable<void> wait_too_long(pgbouncer& pooler) {
    server().execute("TRUNCATE ledger");
    bitdotio::pool pool(co_await asio::this_coro::executor, through(pooler));
    ledger book;
    CHECK_FALSE(co_await test::write_one(pool, book));
    std::function<void()> pause = [&] { pooler.command("PAUSE"); };
    co_await test::elsewhere(std::move(pause));
    const auto failure = co_await test::write_one(pool, book);
    REQUIRE(failure);
    INFO(std::string(failure->what()));
    CHECK(failure->code() == errc::connection_lost);
    CHECK(failure->outcome() == outcome::unknown);
    CHECK(failure->sqlstate() == "08P01");
    std::function<void()> resume = [&] { pooler.command("RESUME"); };
    co_await test::elsewhere(std::move(resume));
    CHECK_FALSE(co_await test::write_one(pool, book));
    const test::verdict found = co_await judge(pool, book);
    test::figures figures;
    figures.runs = 1;
    figures.writes = book.counts();
    figures.violations = found.violations.size();
    test::report(36, "query_wait_timeout of PgBouncer", "pool.query", figures);
}

// A pooler that allows fewer clients than the pool would like to open.
asio::awaitable<void> be_too_many(pgbouncer& pooler) {
    server().execute("TRUNCATE ledger");
    bitdotio::pool_options limits;
    limits.max_size = 6;
    bitdotio::pool pool(co_await asio::this_coro::executor, through(pooler), limits);
    ledger book;
    auto one = [&](std::size_t) -> asio::awaitable<void> {
        CHECK_FALSE(co_await test::write_one(pool, book));
    };
    test::expect_none(co_await test::gather(30, one));
    const auto counts = co_await pool.statistics();
    CHECK(counts.idle <= 3);
    const test::verdict found = co_await judge(pool, book);
    test::figures figures;
    figures.runs = 30;
    figures.writes = book.counts();
    figures.violations = found.violations.size();
    test::report(36, "max_client_conn of PgBouncer", "pool.query", figures);
}

}  // namespace

TEST_CASE("whatever happens to PgBouncer, or behind it, loses and doubles no write") {
    server().execute(std::string("SET ROLE tester; ") + test::parking_schema);
    for (const pooling mode : {pooling::session, pooling::transaction}) {
        CAPTURE(static_cast<int>(mode));
        pgbouncer pooler(server(), mode);
        for (const trouble& fault : troubles) {
            CAPTURE(std::string(fault.name));
            for (const moment when : {moment::resting, moment::under_way}) {
                CAPTURE(test::to_string(when));
                test::run(suffer(pooler, mode, fault, when));
            }
        }
        test::run(lose_the_server(pooler));
    }
    pgbouncer hasty(server(), pooling::transaction, {{"query_wait_timeout", "1"}});
    test::run(wait_too_long(hasty));
    pgbouncer narrow(server(), pooling::session, {{"max_client_conn", "3"}});
    test::run(be_too_many(narrow));
}
