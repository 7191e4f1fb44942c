// Connections that many statements share, and that break with all of them in flight: each statement
// has its own outcome, and it is true.
#include "fault/parked_clients.hpp"
#include "fault/scene.hpp"
#include "support/fault_report.hpp"
#include "support/gather.hpp"
#include "support/invariants.hpp"
#include "support/lock_barrier.hpp"
#include "support/pool_use.hpp"
#include "support/postgres_cluster.hpp"
#include "support/run.hpp"

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <deque>
#include <functional>
#include <set>
#include <vector>

namespace {

namespace asio = boost::asio;
using namespace std::chrono_literals;
using bitdotio::errc;
using bitdotio::outcome;
using bitdotio::statement;
using test::after_bytes;
using test::any_message;
using test::before;
using test::fault_proxy;
using test::ledger;
using test::postgres_primary;
using test::scene;
using test::side;
using test::stop_mode;

constexpr std::size_t in_flight = 64;  // on the one connection
constexpr std::size_t callers = 96;    // of which the others wait for a place
constexpr auto acquire_timeout = 3s;

bitdotio::pool_options shared(std::size_t most = in_flight) {
    bitdotio::pool_options options = test::at_most(3);
    options.multiplex = bitdotio::multiplexing(1, most);
    options.acquire_timeout = acquire_timeout;
    return options;
}

// Callers that write a key each, all at once; every fourth reads instead, and says so.
class crowd {
public:
    crowd(bitdotio::pool from, ledger& book, std::string insert = ledger::insert)
        : from_(std::move(from)), book_(book), insert_(std::move(insert)), failures_(callers) {}

    static bool reads(std::size_t i) { return i % 4 == 3; }

    asio::awaitable<void> come(std::size_t i) {
        if (reads(i)) {
            statement asks("SELECT $1::bigint");
            asks.read_only();
            try {
                const auto answer =
                    co_await from_.query(std::move(asks), static_cast<std::int64_t>(i));
                CHECK(answer.one<std::size_t>() == i);
            } catch (const bitdotio::error& failure) {
                failures_[i] = failure;
            }
        } else {
            const std::vector<ledger::key> keys{book_.open()};
            failures_[i] = co_await test::record(book_, keys, from_.query(insert_, keys.front()));
        }
    }

    const std::optional<bitdotio::error>& failure(std::size_t i) const { return failures_[i]; }
    std::size_t told(outcome known) const {
        return static_cast<std::size_t>(
            std::count_if(failures_.begin(), failures_.end(),
                          [&](const auto& one) { return one && one->outcome() == known; }));
    }

    // The connection broke: those that had been sent know nothing, the others nothing of it, and
    // what may run twice did.
    void expect_loss(std::size_t most) const {
        for (std::size_t i = 0; i < callers; ++i) {
            CAPTURE(i);
            if (reads(i)) {
                CHECK_FALSE(failures_[i]);
            } else if (failures_[i]) {
                INFO(std::string(failures_[i]->what()));
                CHECK(failures_[i]->code() == errc::connection_lost);
                CHECK(failures_[i]->outcome() == outcome::unknown);
                CHECK(failures_[i]->attempts() == 1);
            }
        }
        CHECK(told(outcome::unknown) <= most);
    }

private:
    bitdotio::pool from_;
    ledger& book_;
    const std::string insert_;
    std::vector<std::optional<bitdotio::error>> failures_;
};

void report(int number, const std::string& name, const std::string& place, const ledger& book,
            std::uint64_t retried, std::chrono::milliseconds slowest) {
    test::figures measured;
    measured.runs = 1;
    measured.writes = book.counts();
    measured.retried = retried;
    measured.slowest = slowest;
    test::report(number, name, place, measured);
}

// ---- on the road

struct road_fault {
    int number;
    const char* name;
    std::function<void(fault_proxy&)> arm;
    std::size_t answered = 0;  // before it happens; then all are in flight at once
    bool is_silent = false;    // nobody learns of it but by time
    bool is_harmless = false;
};

asio::awaitable<void> suffer(const road_fault& fault) {
    const std::size_t most = fault.answered > 0 ? callers : in_flight;
    scene here(co_await asio::this_coro::executor, shared(most), fault.is_silent ? 300ms : 0ms);
    co_await here.begin();
    co_await here.pool.query("SELECT 1");  // the connection is there, and known
    fault.arm(*here.proxy);
    crowd all(here.pool, here.book);
    auto one = [&](std::size_t i) -> asio::awaitable<void> { return all.come(i); };
    const auto began = std::chrono::steady_clock::now();
    test::expect_none(co_await test::gather(callers, one));
    const auto took = test::since(began);
    CHECK(took <= acquire_timeout + 3s);
    const auto counts = co_await here.pool.statistics();
    if (fault.is_harmless) {
        CHECK(here.book.counts().acknowledged == here.book.size());
        CHECK(counts.opened == 1);
    } else if (fault.is_silent) {
        // In time: those that were sent know nothing, the others that nothing was sent.
        for (std::size_t i = 0; i < callers; ++i) {
            CAPTURE(i);
            REQUIRE(all.failure(i));
            CHECK((all.failure(i)->outcome() == outcome::not_sent ||
                   (all.failure(i)->code() == errc::timeout &&
                    all.failure(i)->outcome() == outcome::unknown)));
        }
        CHECK(all.told(outcome::unknown) <= in_flight);
        CHECK(all.told(outcome::not_sent) >= callers - in_flight);
    } else {
        all.expect_loss(most - fault.answered);
        CHECK(counts.opened >= 2);
    }
    CHECK(counts.cancels == 0);  // it would have hit another's statement
    co_await here.end();
    report(fault.number, fault.name, "shared connection", here.book, counts.retried, took);
}

const road_fault road_faults[] = {
    {16, "RST while idle", [](auto& road) { road.reset(); }},
    {19, "FIN while idle", [](auto& road) { road.cut(); }},
    {17, "RST, request lost",
     [](auto& road) { road.set(before(side::frontend, any_message).reset()); }},
    {19, "FIN, request lost",
     [](auto& road) { road.set(before(side::frontend, any_message).cut()); }},
    {18, "RST, reply lost",
     [](auto& road) { road.set(before(side::backend, any_message).reset()); }},
    {19, "FIN, reply lost", [](auto& road) { road.set(before(side::backend, any_message).cut()); }},
    {19, "FIN from the server only",
     [](auto& road) { road.set(before(side::backend, any_message).half_close()); }},
    {18, "RST, reply lost in part",
     [](auto& road) { road.set(before(side::backend, 'C', 20).reset()); }, 19},
    {21, "cut between CommandComplete and ReadyForQuery",
     [](auto& road) { road.set(before(side::backend, 'Z', 20).cut()); }, 19},
    {21, "RST between CommandComplete and ReadyForQuery",
     [](auto& road) { road.set(before(side::backend, 'Z', 20).reset()); }, 19},
    {22, "half-open",
     [](auto& road) {
         road.hold_both();
         road.set(test::admission::silent);
     },
     0, true},
    {26, "sliced at message boundaries",
     [](auto& road) { road.set(before(side::backend, any_message).slice(0ms)); }, 0, false, true},
};

TEST_CASE("whatever breaks a shared connection, each statement on it has its own true outcome") {
    test::scene_server();
    for (const road_fault& fault : road_faults) {
        CAPTURE(std::string(fault.name));
        const test::descriptor_baseline descriptors;
        test::run(suffer(fault));
        descriptors.expect();
    }
}

// The replies to few statements, cut after each seventh byte.
TEST_CASE("replies on a shared connection that are cut anywhere acknowledge what is whole") {
    bool whole = false;
    std::size_t cuts = 0;
    ledger sum;
    for (std::size_t bytes = 1; !whole; bytes += 7) {
        REQUIRE(bytes < 2'000);
        CAPTURE(bytes);
        auto work = [&]() -> asio::awaitable<void> {
            scene here(co_await asio::this_coro::executor, shared());
            co_await here.begin();
            co_await here.pool.query("SELECT 1");
            const std::size_t before_it = here.proxy->fired();
            const auto rule = after_bytes(side::backend, bytes);
            here.proxy->set(bytes % 2 == 0 ? rule.cut() : rule.reset());
            auto one = [&](std::size_t) -> asio::awaitable<void> {
                const auto failure = co_await test::write_one(here.pool, here.book);
                if (failure) CHECK(failure->outcome() == outcome::unknown);
            };
            test::expect_none(co_await test::gather(8, one));
            whole = here.proxy->fired() == before_it;
            CHECK((here.book.counts().unknown == 0) == whole);
            co_await here.end();
        };
        test::run(work());
        ++cuts;
    }
    CHECK(cuts > 10);
}

TEST_CASE("a storm of cancellations on a connection that breaks leaves true outcomes") {
    auto work = []() -> asio::awaitable<void> {
        const auto executor = co_await asio::this_coro::executor;
        scene here(executor, shared());
        co_await here.begin();
        co_await here.pool.query("SELECT 1");
        here.proxy->set(before(side::backend, 'Z', 10).reset());
        crowd all(here.pool, here.book);
        std::deque<asio::cancellation_signal> signals(callers);
        std::size_t over = 0;
        for (std::size_t i = 0; i < callers; ++i) {
            const auto on_end = [&](const std::exception_ptr&) { ++over; };
            asio::co_spawn(executor, all.come(i),
                           asio::bind_cancellation_slot(signals[i].slot(), on_end));
        }
        for (std::size_t round = 0; over < callers; ++round) {
            for (std::size_t i = round % 3; i < callers && round < 3; i += 4) {
                signals[i].emit(asio::cancellation_type::terminal);
            }
            co_await test::rest(1ms);
        }
        const auto counts = co_await here.pool.statistics();
        CHECK(counts.cancels == 0);
        co_await here.end();
        report(40, "storm of cancellations, then RST", "shared connection", here.book,
               counts.retried, 0ms);
    };
    test::run(work());
}

// ---- at the server

struct killing {
    int number;
    const char* name;
    std::function<void(postgres_primary&)> inject;
};

const killing killings[] = {
    {1, "backends terminated", [](auto& server) { server.kill_backends("bitdotio"); }},
    {5, "immediate stop, start",
     [](auto& server) {
         server.stop(stop_mode::immediate);
         server.start();
     }},
    {6, "own backends killed by SIGKILL",
     [](auto& server) { server.kill_hard(server.backends("bitdotio")); }},
    {8, "postmaster killed by SIGKILL, start",
     [](auto& server) {
         server.crash();
         server.start();
     }},
};

asio::awaitable<void> be_killed(postgres_primary& server, const killing& fault) {
    bitdotio::connect_options direct = server.connect();
    direct.application_name = "direct";
    bitdotio::pool_options options = shared();
    options.acquire_timeout = 30s;  // it starts again
    bitdotio::pool pool(co_await asio::this_coro::executor, server.connect(), options);
    ledger book;
    bitdotio::connection holder = co_await bitdotio::connection::open(direct);
    co_await holder.query("SELECT pg_advisory_lock(1)");
    crowd all(pool, book, "INSERT INTO ledger SELECT $1::bigint FROM hold(1)");
    std::chrono::steady_clock::time_point struck;
    auto one = [&](std::size_t i) -> asio::awaitable<void> {
        if (i < callers) {
            co_await all.come(i);
            co_return;
        }
        co_await test::await_waiting(server, "advisory");
        struck = std::chrono::steady_clock::now();
        std::function<void()> verb = [&] { fault.inject(server); };
        co_await test::elsewhere(std::move(verb));
        co_await holder.close();
    };
    test::expect_none(co_await test::gather(callers + 1, one));
    const auto took = test::since(struck);
    all.expect_loss(in_flight);
    CHECK(book.counts().unknown > 0);
    const auto counts = co_await pool.statistics();
    CHECK(counts.retried > 0);  // those that read
    co_await test::expect_at_rest(pool);
    bitdotio::connection after = co_await bitdotio::connection::open(direct);
    co_await test::expect_gone(pool, after, "bitdotio");
    const test::verdict found = co_await test::check(book, after);
    test::expect_clean(found);
    co_await after.query("TRUNCATE ledger");
    co_await after.close();
    report(fault.number, fault.name, "shared connection, under way", book, counts.retried, took);
}

TEST_CASE("a server that is killed under a shared connection tells no statement what is not true") {
    postgres_primary server;
    server.execute(std::string("SET ROLE tester; ") + test::parking_schema);
    for (const killing& fault : killings) {
        CAPTURE(std::string(fault.name));
        test::run(be_killed(server, fault), 120s);
    }
}

}  // namespace
