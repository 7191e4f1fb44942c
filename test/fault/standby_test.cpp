// Clients of a primary with a standby: failover, promotion, and replay that is in their way.
#include "fault/parked_clients.hpp"
#include "support/invariants.hpp"
#include "support/postgres_cluster.hpp"
#include "support/relay.hpp"
#include "support/run.hpp"

#include <bitdotio/pipeline.hpp>
#include <bitdotio/retry_transaction.hpp>

#include <doctest/doctest.h>

#include <functional>

namespace {

namespace asio = boost::asio;
using namespace std::chrono_literals;
using bitdotio::errc;
using bitdotio::outcome;
using bitdotio::statement;
using test::ledger;
using test::postgres_primary;
using test::postgres_standby;
using test::stop_mode;

template <class Server>
bitdotio::connect_options direct(const Server& server) {
    bitdotio::connect_options options = server.connect();
    options.application_name = "direct";
    return options;
}

void report(int fault, const char* name, const char* where, std::size_t runs, const ledger& book,
            const test::verdict& found, std::uint64_t retried) {
    test::figures figures;
    figures.runs = runs;
    figures.writes = book.counts();
    figures.violations = found.violations.size();
    figures.retried = retried;
    test::report(fault, name, where, figures);
}

// The error of a statement of a pipeline, which must have one.
bitdotio::error refusal_in(const bitdotio::pipeline_results& results, std::size_t index) {
    REQUIRE(results.failure(index));
    return *results.failure(index);
}

void expect_read_only(const bitdotio::error& failure) {
    INFO(std::string(failure.what()));
    CHECK(failure.sqlstate() == "25006");
    CHECK(failure.outcome() == outcome::not_executed);
}

void expect_well(const std::optional<bitdotio::error>& failure) {
    INFO(std::string(failure ? failure->what() : ""));
    CHECK_FALSE(failure);
}

// An address moves from a standby to the primary, while connections to the old server live on.
asio::awaitable<void> move_address(postgres_primary& primary, postgres_standby& standby) {
    const auto executor = co_await asio::this_coro::executor;
    const auto address = test::relay::start(executor, standby.port());
    bitdotio::connect_options options = primary.connect();
    options.hosts = {{"127.0.0.1", address->port()}};
    bitdotio::pool pool(executor, options);
    ledger book;
    co_await test::open_all(pool, 4);
    co_await test::expect_at_rest(pool);  // nothing on its way to the old server
    bitdotio::pooled_connection lent = co_await pool.acquire();
    bitdotio::transaction open = co_await pool.begin();
    address->target = primary.port();

    // A connection on loan is not exchanged.
    const auto leased = co_await test::write_one(*lent, book);
    REQUIRE(leased);
    expect_read_only(*leased);
    const auto inside = co_await test::write_one(open, book);
    REQUIRE(inside);
    expect_read_only(*inside);
    bitdotio::pipeline batch;
    const ledger::key key = book.open();
    batch.add(ledger::insert, key);
    const auto results = co_await pool.run(std::move(batch));
    expect_read_only(refusal_in(results, 0));
    book.fail(key, outcome::not_executed);

    expect_well(co_await test::write_one(pool, book));
    // What was opened before the failover is no longer lent.
    expect_well(co_await test::write_together(pool, book, 2));
    co_await open.rollback();
    lent.release();
    const auto counts = co_await pool.statistics();
    CHECK(counts.retried >= 1);
    co_await test::expect_at_rest(pool);
    bitdotio::connection after = co_await bitdotio::connection::open(direct(primary));
    co_await test::expect_gone(pool, after, "bitdotio");
    const test::verdict found = co_await test::check(book, after);
    test::expect_clean(found);
    co_await after.close();
    report(34, "address moves from a standby to the primary",
           "pool.query, lease, transaction, pipeline", 5, book, found, counts.retried);
}

// Writers at a primary that crashes for good, and at its standby, which takes over.
asio::awaitable<void> fail_over(postgres_primary& primary, postgres_standby& standby) {
    bitdotio::connect_options both = primary.connect();
    both.hosts.push_back(standby.address());
    both.target_session_attrs = bitdotio::session_attributes::read_write;
    bitdotio::pool_options limits;
    limits.max_size = 6;
    bitdotio::pool pool(co_await asio::this_coro::executor, both, limits);
    ledger book;
    constexpr std::size_t writers = 10;
    bool promoted = false;
    std::size_t since = 0;
    auto one = [&](std::size_t i) -> asio::awaitable<void> {
        while (i < writers && since < 200) {
            std::optional<bitdotio::error> failure;
            if (i % 2 == 0) {
                failure = co_await test::write_one(pool, book);
            } else {
                failure = co_await test::write_together(pool, book, 2);
            }
            if (failure) {
                INFO(std::string(failure->what()));
                const bool lost = failure->code() == errc::connection_lost ||
                                  failure->code() == errc::commit_outcome_unknown;
                CHECK(lost);
            } else {
                since += promoted;
            }
        }
        if (i == writers) {
            while (book.counts().acknowledged < 100) {
                co_await test::rest(1ms);
            }
            std::function<void()> take_over = [&] {
                primary.stop(stop_mode::immediate);
                standby.promote();
            };
            co_await test::elsewhere(std::move(take_over));
            promoted = true;
        }
    };
    test::expect_none(co_await test::gather(writers + 1, one));
    const auto counts = co_await pool.statistics();
    co_await test::expect_at_rest(pool);
    bitdotio::connection after = co_await bitdotio::connection::open(direct(standby));
    co_await test::expect_gone(pool, after, "bitdotio");
    const test::verdict found = co_await test::check(book, after);
    test::expect_clean(found);
    co_await after.close();
    report(34, "primary crashes, synchronous standby promoted", "pool.query, transaction", writers,
           book, found, counts.retried);
}

// Replay on the standby does not wait for readers of what it is about to change.
asio::awaitable<void> be_in_the_way(postgres_primary& primary, postgres_standby& standby) {
    bitdotio::pool pool(co_await asio::this_coro::executor, standby.connect());
    // Sleeps for each row: until the table is emptied under it, and not after that.
    const char* const slow_read = "SELECT count(*) FROM busy WHERE pg_sleep(60) IS NOT NULL";
    const auto truncate_under = [&](const char* state) -> asio::awaitable<void> {
        const std::string ask = std::string(
                                    "SELECT count(*)::text FROM pg_stat_activity WHERE "
                                    "application_name = 'bitdotio' AND query LIKE '%busy%' AND "
                                    "state = '") +
                                state + "'";
        while (standby.value(ask) == "0") {
            co_await test::rest(5ms);
        }
        primary.execute("TRUNCATE busy");
    };
    const auto collide = [&](statement sql) -> asio::awaitable<std::optional<bitdotio::error>> {
        std::optional<bitdotio::error> failure;
        primary.execute("INSERT INTO busy VALUES (1)");
        standby.catch_up();
        auto both = [&](std::size_t i) -> asio::awaitable<void> {
            if (i == 0) {
                failure = co_await test::failure_of(pool, sql);
            } else {
                co_await truncate_under("active");
            }
        };
        test::expect_none(co_await test::gather(2, both));
        co_return failure;
    };
    const auto refused = co_await collide(slow_read);
    REQUIRE(refused);
    INFO(std::string(refused->what()));
    CHECK(refused->code() == errc::transaction_conflict);
    CHECK(refused->sqlstate() == "40001");
    CHECK(refused->outcome() == outcome::not_executed);
    // A statement that its caller calls read only is repeated.
    CHECK_FALSE(co_await collide(statement(slow_read).read_only()));

    // A resting transaction is ended with its connection; its closure runs again.
    int runs = 0;
    auto read = [&](bitdotio::transaction& open) -> asio::awaitable<void> {
        co_await open.query("SELECT count(*) FROM busy");
        if (++runs == 1) {
            co_await truncate_under("idle in transaction");
            standby.catch_up();
        }
        co_await open.query("SELECT 1");
    };
    co_await bitdotio::retry_transaction(pool, read);
    CHECK(runs == 2);
    const auto counts = co_await pool.statistics();
    co_await pool.close();
    test::figures figures;
    figures.runs = 3;
    figures.retried = counts.retried;
    test::report(35, "recovery conflict on a standby", "pool.query, transaction", figures);
}

}  // namespace

TEST_CASE("a failover costs no acknowledged write, and no statement is lost on the old server") {
    postgres_primary primary;
    postgres_standby standby(primary);
    primary.execute(std::string("SET ROLE tester; ") + ledger::create +
                    "; CREATE TABLE busy (a integer)");
    standby.catch_up();
    test::run(move_address(primary, standby));

    standby.execute("ALTER SYSTEM SET max_standby_streaming_delay = 0");
    standby.execute("SELECT pg_reload_conf()");
    test::run(be_in_the_way(primary, standby));

    // What is acknowledged from here on is on both servers.
    primary.execute("TRUNCATE ledger");
    primary.execute("ALTER SYSTEM SET synchronous_standby_names = '*'");
    primary.execute("SELECT pg_reload_conf()");
    while (primary.value("SELECT count(*)::text FROM pg_stat_replication WHERE sync_state = "
                         "'sync'") != "1") {
    }
    test::run(fail_over(primary, standby));
}
