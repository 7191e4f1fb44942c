// Servers that refuse connections for a while, each for its own reason, and callers that wait.
#include "fault/parked_clients.hpp"
#include "support/invariants.hpp"
#include "support/postgres_cluster.hpp"
#include "support/run.hpp"

#include <doctest/doctest.h>

#include <signal.h>

#include <functional>
#include <future>
#include <string_view>

namespace {

namespace asio = boost::asio;
using namespace std::chrono_literals;
using bitdotio::connection;
using bitdotio::errc;
using std::chrono::steady_clock;
using test::ledger;
using test::postgres_primary;
using test::stop_mode;

// Sessions that a fault needs, held by the test.
struct other_sessions {
    asio::awaitable<void> open(const postgres_primary& server, std::size_t count) {
        bitdotio::connect_options options = server.connect();
        options.application_name = "other session";
        options.tls = bitdotio::tls_mode::disable;  // there may be many
        for (std::size_t i = 0; i < count; ++i) {
            all.push_back(co_await connection::open(options));
            pids.push_back(all.back().backend_pid());
        }
    }

    std::vector<connection> all;
    std::vector<int> pids;
    std::future<void> starting;
};

struct closed_port {
    int fault;
    std::string name;
    std::size_t sessions;  // of others, that the fault needs
    /// What a dial meets; both empty for a server that does not answer at all.
    const char* sqlstate;
    errc code;
    /// Closes the server; opens it. Both block.
    std::function<void(postgres_primary&, other_sessions&)> close;
    std::function<void(postgres_primary&, other_sessions&)> open;
};

const closed_port closed_ports[] = {
    {9, "refused", 0, "", errc::database_asleep,
     [](auto& server, auto&) { server.stop(stop_mode::fast); },
     [](auto& server, auto&) { server.start(); }},
    {10, "starting", 0, "57P03", errc::database_asleep,
     [](auto& server, auto& others) {
         server.stop(stop_mode::fast);
         others.starting = std::async(std::launch::async, [&server] { server.start_slowly(); });
     },
     [](auto&, auto& others) { others.starting.get(); }},
    {11, "shutting down", 1, "57P03", errc::database_asleep,
     [](auto& server, auto&) { server.signal(SIGTERM); },
     [](auto& server, auto& others) {
         ::kill(others.pids.front(), SIGTERM);
         server.stop(stop_mode::smart);
         server.start();
     }},
    // The killed one makes the server end all others; the stopped one keeps it in that state.
    {12, "recovering", 2, "57P03", errc::database_asleep,
     [](auto&, auto& others) {
         ::kill(others.pids[0], SIGSTOP);
         ::kill(others.pids[1], SIGKILL);
     },
     [](auto&, auto& others) { ::kill(others.pids[0], SIGCONT); }},
    // 60 connections at most, of which three are the superuser's.
    {13, "too many connections", 57, "53300", errc::server_busy, [](auto&, auto&) {},
     [](auto&, auto& others) {
         for (std::size_t i = 0; i < 10; ++i) {
             ::kill(others.pids[i], SIGTERM);
         }
     }},
    {15, "postmaster stopped by SIGSTOP", 0, "", errc::database_asleep,
     [](auto& server, auto&) { server.signal(SIGSTOP); },
     [](auto& server, auto&) { server.signal(SIGCONT); }},
};

asio::awaitable<bitdotio::error> refusal_of(bitdotio::connect_options options) {
    options.wake_timeout = 0ms;
    try {
        co_await connection::open(options);
    } catch (const bitdotio::error& failure) {
        co_return failure;
    }
    throw std::runtime_error("the server accepts connections");
}

// A server may take a moment to close.
asio::awaitable<void> expect_closed(const bitdotio::connect_options& options,
                                    const closed_port& closed) {
    const auto deadline = steady_clock::now() + 10s;
    std::optional<bitdotio::error> met;
    while (!met || met->sqlstate() != closed.sqlstate) {
        met.reset();
        try {
            met.emplace(co_await refusal_of(options));
        } catch (const std::runtime_error&) {  // not yet
        }
        REQUIRE(steady_clock::now() < deadline);
    }
    INFO(std::string(met->what()));
    CHECK(met->code() == closed.code);
}

constexpr std::size_t callers = 20;

// Callers come while the server is closed; when it opens, all are served, with few dials.
asio::awaitable<void> wait_for_server(postgres_primary& server, const closed_port& closed) {
    server.execute("TRUNCATE ledger");
    other_sessions others;
    co_await others.open(server, closed.sessions);
    bitdotio::connect_options options = server.connect();
    options.connect_timeout = 400ms;  // for the server that does not answer at all
    bitdotio::pool_options limits;
    limits.max_size = 5;
    bitdotio::pool pool(co_await asio::this_coro::executor, options, limits);
    ledger book;
    std::function<void()> close = [&] { closed.close(server, others); };
    co_await test::elsewhere(std::move(close));
    co_await expect_closed(options, closed);
    steady_clock::duration slowest{0};
    auto one = [&](std::size_t i) -> asio::awaitable<void> {
        if (i < callers) {
            const auto failure = co_await test::write_one(pool, book);
            INFO(std::string(failure ? failure->what() : ""));
            CHECK_FALSE(failure);
            co_return;
        }
        auto now = co_await pool.statistics();
        while ((now.waiting < callers || !now.waking || now.connects < 3) &&
               book.counts().acknowledged == 0) {
            co_await test::rest(5ms);
            now = co_await pool.statistics();
        }
        CHECK(now.connecting <= 1);
        std::function<void()> open = [&] { closed.open(server, others); };
        const auto opened = steady_clock::now();
        co_await test::elsewhere(std::move(open));
        while (book.counts().acknowledged < callers) {
            co_await test::rest(1ms);
        }
        slowest = steady_clock::now() - opened;
    };
    test::expect_none(co_await test::gather(callers + 1, one));
    co_await test::expect_at_rest(pool);
    const auto counts = co_await pool.statistics();
    CHECK(counts.connects <= 20 + limits.max_size);
    CHECK(counts.opened <= limits.max_size);
    for (connection& other : others.all) {
        co_await other.close();
    }
    bitdotio::connect_options direct = server.connect();
    direct.application_name = "direct";
    connection after = co_await connection::open(direct);
    co_await test::expect_gone(pool, after, "bitdotio");
    const test::verdict found = co_await test::check(book, after);
    test::expect_clean(found);
    co_await after.close();
    test::figures figures;
    figures.runs = 1;
    figures.writes = book.counts();
    figures.violations = found.violations.size();
    figures.retried = counts.retried;
    figures.slowest = std::chrono::duration_cast<std::chrono::milliseconds>(slowest);
    test::report(closed.fault, closed.name, "pool.query, connecting", figures);
}

// The password changes while all connections but one are closed: callers with the old one are told
// at once, and no dial is wasted on it; when it fits again, all goes on.
asio::awaitable<void> rotate_password(postgres_primary& server) {
    server.execute("TRUNCATE ledger");
    bitdotio::pool pool(co_await asio::this_coro::executor, server.connect());
    ledger book;
    co_await test::open_all(pool, 4);
    co_await test::expect_at_rest(pool);
    bitdotio::pooled_connection lent = co_await pool.acquire();
    server.execute(
        "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE application_name = "
        "'bitdotio' AND pid <> " +
        std::to_string(lent->backend_pid()));
    const std::string word = postgres_primary::password();
    // The fixture's own connections have another user.
    server.execute("ALTER ROLE tester PASSWORD 'another'");
    const auto before = co_await pool.statistics();
    auto one = [&](std::size_t) -> asio::awaitable<void> {
        const auto failure = co_await test::write_one(pool, book);
        REQUIRE(failure);
        INFO(std::string(failure->what()));
        CHECK(failure->code() == errc::authentication_failed);
        CHECK(failure->sqlstate() == "28P01");
        CHECK(failure->outcome() == bitdotio::outcome::not_sent);
        CHECK(std::string(failure->what()).find(word) == std::string::npos);
    };
    test::expect_none(co_await test::gather(callers, one));
    const auto after = co_await pool.statistics();
    // As many as the pool dials at once while all is well; one refusal answers all callers.
    CHECK(after.connects - before.connects <= bitdotio::pool_options().max_connecting);
    CHECK_FALSE(co_await test::write_one(*lent, book));  // an open session is not affected
    server.execute("ALTER ROLE tester PASSWORD '" + word + "'");
    std::optional<bitdotio::error> failure;
    const auto deadline = steady_clock::now() + 5s;
    do {
        co_await test::rest(20ms);  // the pool remembers the refusal for a moment
        failure = co_await test::write_one(pool, book);
    } while (failure && steady_clock::now() < deadline);
    CHECK_FALSE(failure);
    lent.release();
    co_await test::expect_at_rest(pool);
    bitdotio::connect_options direct = server.connect();
    direct.application_name = "direct";
    connection last = co_await connection::open(direct);
    co_await test::expect_gone(pool, last, "bitdotio");
    const test::verdict found = co_await test::check(book, last);
    test::expect_clean(found);
    co_await last.close();
    test::figures figures;
    figures.runs = callers;
    figures.writes = book.counts();
    figures.violations = found.violations.size();
    test::report(42, "key rotated while asleep", "pool.query, lease, connecting", figures);
}

}  // namespace

TEST_CASE("callers wait at a server that lets nobody in, and all are served when it does") {
    postgres_primary server;
    server.execute(std::string("SET ROLE tester; ") + ledger::create);
    const test::descriptor_baseline descriptors;
    for (const closed_port& closed : closed_ports) {
        CAPTURE(closed.name);
        test::run(wait_for_server(server, closed), 60s);
    }
    descriptors.expect();
}

TEST_CASE("with a key that does not fit any more everybody is told at once, but for who is in") {
    postgres_primary server;
    server.execute(std::string("SET ROLE tester; ") + ledger::create);
    test::run(rotate_password(server));
}
