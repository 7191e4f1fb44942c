// The server's own timeouts: it ends idle sessions and transactions, and sessions past an age.
#include "fault/chaos_clients.hpp"
#include "fault/parked_clients.hpp"
#include "support/invariants.hpp"
#include "support/postgres_cluster.hpp"
#include "support/run.hpp"
#include "support/values.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

namespace asio = boost::asio;
using namespace std::chrono_literals;
using bitdotio::errc;
using bitdotio::outcome;
using test::fault_ending;
using test::fault_place;
using test::ledger;
using test::moment;
using test::postgres_primary;

constexpr const char* ours = "bitdotio";
// The limit for a test that hangs: its sessions are opened hundreds of times.
constexpr std::chrono::milliseconds slow_machine = 4min;

// The end of every case.
asio::awaitable<test::verdict> judge(bitdotio::pool pool, const ledger& book,
                                     const postgres_primary& server) {
    co_await test::expect_at_rest(pool);
    bitdotio::connect_options direct = server.connect();
    direct.application_name = "direct";
    bitdotio::connection after = co_await bitdotio::connection::open(direct);
    co_await test::expect_gone(pool, after, ours);
    const test::verdict found = co_await test::check(book, after);
    test::expect_clean(found);
    co_await after.close();
    co_return found;
}

// Clients whose sessions the server ends before they go on. False if it ended one too early,
// because the machine is too slow for so short a timeout.
asio::awaitable<bool> be_ended_after(std::chrono::milliseconds server_patience,
                                     postgres_primary& server, int fault, const char* setting,
                                     std::string sqlstate, std::vector<fault_place> places) {
    server.execute("TRUNCATE ledger");
    // Both settings, so that the sessions that the pool opened in addition end too.
    const std::string limit = std::to_string(server_patience.count()) + "ms";
    bitdotio::connect_options options = server.connect();
    options.settings = {{"idle_session_timeout", limit},
                        {"idle_in_transaction_session_timeout", limit}};
    bitdotio::pool pool(co_await asio::this_coro::executor, options);
    ledger book;
    test::place_figures figures;
    const std::function<asio::awaitable<void>()> wait = [&]() -> asio::awaitable<void> {
        bitdotio::connection direct = co_await bitdotio::connection::open(server.connect());
        std::size_t left = 2;  // it counts itself
        while (left > 1) {
            co_await test::rest(10ms);
            left = co_await test::backends_of(direct, ours);
        }
        co_await direct.close();
    };
    bitdotio::connect_options direct = server.connect();
    direct.application_name = "direct";
    std::vector<fault_ending> ends;
    try {
        ends = co_await test::play(pool, book, places, moment::resting, direct, wait);
    } catch (const std::runtime_error&) {  // the clients did not come to their points
    }
    if (ends.empty()) {
        co_await pool.close();
        co_return false;
    }
    for (const fault_ending& end : ends) {
        INFO(end.text());
        figures.add(end, book);
        if (end.where == fault_place::query || end.where == fault_place::pipeline) {
            CHECK_FALSE(end.failure);
        } else {
            CHECK(end.failed(errc::connection_lost, outcome::not_sent));
            CHECK(end.failure->sqlstate() == sqlstate);
        }
    }
    const auto counts = co_await pool.statistics();
    const test::verdict found = co_await judge(pool, book, server);
    figures.report(fault, setting, moment::resting, found, counts.retried);
    co_return true;
}

asio::awaitable<void> be_ended(postgres_primary& server, int fault, const char* setting,
                               std::string sqlstate, std::vector<fault_place> places) {
    constexpr std::chrono::milliseconds longest = 12s;
    std::chrono::milliseconds server_patience = 700ms;
    bool ended = false;
    while (!ended) {
        REQUIRE(server_patience < longest);
        ended = co_await be_ended_after(server_patience, server, fault, setting, sqlstate, places);
        server_patience *= 4;
    }
}

// Many clients that rest just as long as the server allows, a little more or a little less: some
// statements cross the goodbye on the way.
template <class Write>
asio::awaitable<void> race(postgres_primary& server, int fault, const char* setting,
                           const char* where, Write& write) {
    server.execute("TRUNCATE ledger");
    constexpr std::size_t clients = 10;
    bitdotio::connect_options options = server.connect();
    options.settings = {{setting, "40ms"}};
    bitdotio::pool pool(co_await asio::this_coro::executor, options);
    ledger book;
    test::dice dice;
    CAPTURE(dice.seed);
    auto one = [&](std::size_t) -> asio::awaitable<void> {
        for (int turn = 0; turn < 25; ++turn) {
            const auto rest = [&] {
                return test::rest(std::chrono::milliseconds(dice.number(30, 42)));
            };
            const auto failure = co_await write(pool, book, rest);
            if (failure) {
                INFO(std::string(failure->what()));
                CHECK(failure->code() == errc::connection_lost);
                CHECK(failure->outcome() != outcome::unknown);
            }
        }
    };
    test::expect_none(co_await test::gather(clients, one));
    const auto counts = co_await pool.statistics();
    test::figures figures;
    figures.runs = clients * 25;
    figures.writes = book.counts();
    figures.retried = counts.retried;
    CHECK(figures.writes.unknown == 0);
    // Usually it is not even noticed, except for COMMIT, which is not sent again.
    const bool noticed = std::string(setting) != "idle_session_timeout";
    const bool quiet = noticed || figures.writes.acknowledged >= figures.runs * 95 / 100;
    CHECK(quiet);
    const test::verdict found = co_await judge(pool, book, server);
    figures.violations = found.violations.size();
    test::report(fault, setting, where, figures);
}

// Connections that are ended at an age, whatever their clients are doing.
asio::awaitable<void> grow_old(postgres_primary& server) {
    constexpr std::size_t clients = 14;
    constexpr std::uint64_t operations = 400;
    constexpr const char* end_the_old =
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = "
        "'bitdotio' AND backend_start < clock_timestamp() - interval '250 ms'";
    bitdotio::pool_options limits;
    limits.max_size = 8;
    bitdotio::pool pool(co_await asio::this_coro::executor, server.connect(), limits);
    bitdotio::connect_options direct = server.connect();
    direct.application_name = "direct";
    bitdotio::connection reaper = co_await bitdotio::connection::open(direct);
    ledger book;
    test::dice dice;
    CAPTURE(dice.seed);
    test::chaos_clients everybody(pool, book, dice, test::policy::contract, operations);
    std::uint64_t ended = 0;
    std::size_t most = 0;
    auto one = [&](std::size_t i) -> asio::awaitable<void> {
        if (i < clients) {
            co_await everybody.work();
            co_return;
        }
        while (!everybody.is_over()) {
            const auto old = co_await reaper.query(end_the_old);
            ended += old.one<std::uint64_t>();
            most = std::max(most, co_await test::backends_of(reaper, ours));
            co_await test::rest(10ms);
        }
    };
    test::expect_none(co_await test::gather(clients + 1, one));
    co_await reaper.close();
    test::expect_none(everybody.strange());
    CHECK(everybody.misread() == 0);
    CHECK(ended >= 10);
    CHECK(everybody.lost() > 0);  // some were hit during an operation
    CHECK(most <= limits.max_size);
    const auto counts = co_await pool.statistics();
    const test::verdict found = co_await judge(pool, book, server);
    test::figures figures;
    figures.runs = operations;
    figures.writes = book.counts();
    figures.violations = found.violations.size();
    figures.retried = counts.retried;
    figures.slowest = everybody.slowest();
    MESSAGE(ended << " connections ended at their age, " << figures.writes.acknowledged
                  << " writes acknowledged, " << figures.writes.unknown << " unknown, "
                  << counts.retried << " sent again");
    test::report(41, "maximum lifetime, ended by the server",
                 "pool.query, lease, transaction, pipeline, COPY, row stream, at the same time",
                 figures);
}

}  // namespace

TEST_CASE("connections that the server ends for their age lose and double no write") {
    postgres_primary server;
    server.execute(std::string("SET ROLE tester; ") + test::chaos_clients::schema);
    const test::descriptor_baseline descriptors;
    test::run(grow_old(server), 150s);
    descriptors.expect();
}

TEST_CASE("sessions the server ended for idling are replaced, those on loan say so") {
    postgres_primary server;
    server.execute(std::string("SET ROLE tester; ") + test::parking_schema);
    const test::descriptor_baseline descriptors;
    test::run(be_ended(server, 2, "idle_session_timeout", "57P05",
                       {fault_place::query, fault_place::lease, fault_place::pipeline}),
              slow_machine);
    test::run(be_ended(server, 3, "idle_in_transaction_session_timeout", "25P03",
                       {fault_place::transaction, fault_place::commit}),
              slow_machine);

    auto statement = [](bitdotio::pool& pool, ledger& book,
                        auto rest) -> asio::awaitable<std::optional<bitdotio::error>> {
        co_await rest();
        const auto failure = co_await test::write_one(pool, book);
        // A statement that crosses a goodbye, which proves that nothing was executed, is sent
        // again; one that crosses two in a row fails.
        if (failure) {
            CHECK(failure->attempts() >= 2);
            CHECK(failure->sqlstate() == "57P05");
        }
        co_return failure;
    };
    test::run(race(server, 2, "idle_session_timeout", "pool.query, at the same time", statement),
              slow_machine);

    auto commit = [](bitdotio::pool& pool, ledger& book,
                     auto rest) -> asio::awaitable<std::optional<bitdotio::error>> {
        const auto keys = book.open(2);
        std::optional<bitdotio::transaction> open;
        try {
            open.emplace(co_await pool.begin());
            for (const ledger::key key : keys) {
                co_await open->query(ledger::insert, key);
            }
        } catch (const bitdotio::error& failure) {  // a slow machine: it was idle too long already
            book.fail(keys, outcome::not_executed);
            co_return failure;
        }
        co_await rest();
        co_return co_await test::record(book, keys, open->commit());
    };
    test::run(
        race(server, 3, "idle_in_transaction_session_timeout", "COMMIT, at the same time", commit),
        slow_machine);
    descriptors.expect();
}
