// Statements that fail although they have committed, or at their end although they ran well.
#include "fault/parked_clients.hpp"
#include "support/invariants.hpp"
#include "support/lock_barrier.hpp"
#include "support/postgres_cluster.hpp"
#include "support/run.hpp"

#include <bitdotio/pipeline.hpp>

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
using test::postgres_primary;

postgres_primary& server() {
    static postgres_primary one;
    return one;
}

bitdotio::connect_options direct() {
    bitdotio::connect_options options = server().connect();
    options.application_name = "direct";
    return options;
}

// Begins each case: empties the tables and waits for no standby.
void prepare() {
    server().execute(
        "DROP SCHEMA IF EXISTS public CASCADE; CREATE SCHEMA public AUTHORIZATION tester");
    server().execute(std::string("SET ROLE tester; ") + test::parking_schema);
}

asio::awaitable<test::verdict> judge(bitdotio::pool pool, const ledger& book) {
    co_await test::expect_at_rest(pool);
    bitdotio::connection after = co_await bitdotio::connection::open(direct());
    co_await test::expect_gone(pool, after, "bitdotio");
    const test::verdict found = co_await test::check(book, after);
    test::expect_clean(found);
    co_await after.close();
    co_return found;
}

void wait_for_standby(const std::string& name) {
    server().execute("ALTER SYSTEM SET synchronous_standby_names = '" + name + "'");
    server().execute("SELECT pg_reload_conf()");
    while (server().value("SHOW synchronous_standby_names") != name) {
    }
}

// Every commit waits for a standby that is not there, until `verb` ends the wait.
asio::awaitable<void> lose_the_standby(std::string verb, std::string name) {
    bitdotio::pool pool(co_await asio::this_coro::executor, server().connect());
    ledger book;
    test::place_figures figures;
    const std::vector<fault_place> places{fault_place::query,       fault_place::lease,
                                          fault_place::transaction, fault_place::commit,
                                          fault_place::pipeline,    fault_place::copy_end};
    const std::function<asio::awaitable<void>()> inject = [&]() -> asio::awaitable<void> {
        std::function<void()> wait = [] { wait_for_standby("nobody"); };
        co_await test::elsewhere(std::move(wait));
    };
    bool over = false;
    std::vector<fault_ending> ends;
    auto both = [&](std::size_t i) -> asio::awaitable<void> {
        if (i == 0) {
            ends = co_await test::play(pool, book, places, moment::resting, direct(), inject);
            over = true;
            co_return;
        }
        co_await test::await_waiting(server(), "SyncRep", static_cast<int>(places.size()));
        while (!over) {
            std::function<void()> treat = [&] { test::treat_waiting(server(), "SyncRep", verb); };
            co_await test::elsewhere(std::move(treat));
            co_await test::rest(10ms);
        }
    };
    test::expect_none(co_await test::gather(2, both));
    wait_for_standby("");
    for (const fault_ending& end : ends) {
        INFO(end.text());
        figures.add(end, book);
        REQUIRE(end.failure);
        if (end.where == fault_place::pipeline) {
            REQUIRE(end.statements[0]);
            // With several under way, it is not known yet which commit the server spoke of.
            WARN(end.statements[0]->outcome() == outcome::executed);
            CHECK(end.statements[0]->outcome() != outcome::not_executed);
        } else {
            CHECK(end.failure->outcome() == outcome::executed);
        }
    }
    const auto counts = co_await pool.statistics();
    CHECK(counts.retried == 0);
    const test::verdict found = co_await judge(pool, book);
    figures.report(31, name, moment::under_way, found, counts.retried);
}

constexpr const char* doomed_insert =
    "WITH written AS (INSERT INTO ledger VALUES ($1)) INSERT INTO once VALUES (1)";

// A violated deferred constraint is reported at the end, and nothing was done.
void expect_violated(const std::optional<bitdotio::error>& failure) {
    REQUIRE(failure);
    INFO(std::string(failure->what()));
    CHECK(failure->code() == errc::query_failed);
    CHECK(failure->sqlstate() == "23505");
    CHECK(failure->outcome() == outcome::not_executed);
}

asio::awaitable<void> violate_at_the_end() {
    bitdotio::pool_options limits;
    limits.max_size = 1;
    bitdotio::pool pool(co_await asio::this_coro::executor, server().connect(), limits);
    ledger book;
    const auto doom = [&](auto& session) -> asio::awaitable<void> {
        const ledger::key key = book.open();
        const std::vector<ledger::key> keys{key};
        expect_violated(co_await test::record(book, keys, session.query(doomed_insert, key)));
    };
    co_await doom(pool);
    {
        bitdotio::pooled_connection lent = co_await pool.acquire();
        co_await doom(*lent);
        bitdotio::copy_in rows = co_await lent->copy_from("COPY once FROM STDIN");
        co_await rows.write("1\n");
        const ledger::key none = book.open();
        const std::vector<ledger::key> keys{none};
        expect_violated(co_await test::record(book, keys, rows.finish()));
    }
    {
        const auto keys = book.open(2);
        bitdotio::transaction open = co_await pool.begin();
        co_await open.query(ledger::insert, keys[0]);
        co_await open.query(doomed_insert, keys[1]);
        expect_violated(co_await test::record(book, keys, open.commit()));
    }
    for (const auto sync :
         {bitdotio::pipeline_sync::each_statement, bitdotio::pipeline_sync::once}) {
        bitdotio::pipeline batch(sync);
        std::vector<ledger::key> keys;
        for (const char* const sql : {ledger::insert, doomed_insert, ledger::insert}) {
            keys.push_back(book.open());
            batch.add(sql, keys.back());
        }
        const auto results = co_await pool.run(std::move(batch));
        for (std::size_t i = 0; i < keys.size(); ++i) {
            const bitdotio::error* const failure = results.failure(i);
            const bool expected = i == 1 || sync == bitdotio::pipeline_sync::once;
            CHECK((failure != nullptr) == expected);
            if (failure) {
                expect_violated(*failure);
                book.fail(keys[i], failure->outcome());
            } else {
                book.acknowledge(keys[i]);
            }
        }
    }
    const auto counts = co_await pool.statistics();
    CHECK(counts.opened == 1);  // a refusal costs no connection
    const test::verdict found = co_await judge(pool, book);
    test::figures figures;
    figures.runs = 6;
    figures.writes = book.counts();
    figures.violations = found.violations.size();
    test::report(32, "deferred constraint", "statement, COMMIT, pipeline, COPY", figures);
}

constexpr const char* write_early =
    "CREATE PROCEDURE write_early(key bigint) LANGUAGE plpgsql AS $$"
    "  BEGIN INSERT INTO ledger VALUES (key); COMMIT; PERFORM hold(1); RAISE 'too late'; END $$";

// Each has committed when it is hit, or continues and fails by itself.
asio::awaitable<void> fail_late(std::string verb, std::string name) {
    bitdotio::pool pool(co_await asio::this_coro::executor, server().connect());
    ledger book;
    bitdotio::connection holder = co_await bitdotio::connection::open(direct());
    co_await holder.query("SELECT pg_advisory_lock(1)");
    constexpr std::size_t clients = 4;
    auto one = [&](std::size_t i) -> asio::awaitable<void> {
        const char* const call = "CALL write_early($1)";
        if (i == clients) {
            co_await test::await_waiting(server(), "advisory", clients);
            if (!verb.empty()) {
                test::treat_waiting(server(), "advisory", verb);
            }
            co_await holder.close();
            co_return;
        }
        const ledger::key key = book.open();
        std::optional<bitdotio::error> failure;
        const std::vector<ledger::key> keys{key};
        if (i == 0) {
            failure = co_await test::record(book, keys, pool.query(call, key));
        } else if (i == 1) {
            bitdotio::pooled_connection lent = co_await pool.acquire();
            failure = co_await test::record(book, keys, lent->query(call, key));
        } else if (i == 2) {
            bitdotio::pooled_connection lent = co_await pool.acquire();
            const std::string script = "INSERT INTO ledger VALUES (" + std::to_string(key) +
                                       "); COMMIT; SELECT hold(1); SELECT 1 / 0";
            failure = co_await test::record(book, keys, lent->script(script));
        } else {
            bitdotio::pipeline batch;
            batch.add(call, key);
            const auto results = co_await pool.run(std::move(batch));
            REQUIRE(results.failure(0));
            failure = *results.failure(0);
            book.fail(key, failure->outcome());
        }
        REQUIRE(failure);
        INFO(std::string(failure->what()));
        CHECK(failure->outcome() == outcome::unknown);
    };
    test::expect_none(co_await test::gather(clients + 1, one));
    const auto counts = co_await pool.statistics();
    CHECK(counts.retried == 0);
    bitdotio::connection after = co_await bitdotio::connection::open(direct());
    const auto rows = co_await after.query("SELECT count(*) FROM ledger");
    CHECK(rows.one<std::size_t>() == clients);
    co_await after.close();
    const test::verdict found = co_await judge(pool, book);
    test::figures figures;
    figures.runs = clients;
    figures.writes = book.counts();
    figures.violations = found.violations.size();
    figures.retried = counts.retried;
    test::report(33, name, "pool.query, lease, script, pipeline, under way", figures);
}

}  // namespace

TEST_CASE("what is committed and waits for a standby is told as executed, wherever it is ended") {
    for (const auto& [verb, name] :
         {std::pair("pg_terminate_backend(pid, 10000)", "terminated while waiting for a standby"),
          std::pair("pg_cancel_backend(pid)", "cancelled while waiting for a standby")}) {
        CAPTURE(std::string(name));
        prepare();
        test::run(lose_the_standby(verb, name));
    }
}

TEST_CASE("a deferred constraint is told at the end, with nothing done and the connection well") {
    prepare();
    server().execute(
        "SET ROLE tester; CREATE TABLE once (key bigint UNIQUE DEFERRABLE INITIALLY DEFERRED); "
        "INSERT INTO once VALUES (1)");
    test::run(violate_at_the_end());
}

TEST_CASE("what commits midway and fails later is neither repeated nor said to be undone") {
    for (const auto& [verb, name] :
         {std::pair("pg_terminate_backend(pid, 10000)", "terminated behind its own COMMIT"),
          std::pair("pg_cancel_backend(pid)", "cancelled behind its own COMMIT"),
          std::pair("", "failed behind its own COMMIT")}) {
        CAPTURE(std::string(name));
        prepare();
        server().execute(std::string("SET ROLE tester; ") + write_early);
        test::run(fail_late(verb, name));
    }
}
