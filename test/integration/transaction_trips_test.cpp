// How often a transaction goes to the server, and what its BEGIN does on the way.
#include "support/fault_proxy.hpp"
#include "support/pool_use.hpp"
#include "support/postgres.hpp"
#include "support/run.hpp"

#include <bitdotio/cursor.hpp>
#include <bitdotio/large_object.hpp>
#include <bitdotio/pool.hpp>
#include <bitdotio/resolve_commit.hpp>
#include <bitdotio/retry_transaction.hpp>

#include <doctest/doctest.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace {

namespace asio = boost::asio;
using namespace std::chrono_literals;
using namespace bitdotio;
using test::after;
using test::before;
using test::fault_proxy;
using test::side;

test::private_postgres& server() {
    static test::private_postgres instance([] {
        test::private_postgres_options options;
        options.hba = "host all all 127.0.0.1/32 trust\n";
        return options;
    }());
    static const bool once = [] {
        instance.run(
            "CREATE TABLE t (a integer); "
            "CREATE TABLE later (a integer UNIQUE DEFERRABLE INITIALLY DEFERRED)");
        return true;
    }();
    static_cast<void>(once);
    return instance;
}

// A proxy in front of the server, a connection and a pool of one behind it, and one around it.
struct road {
    explicit road(const asio::any_io_executor& executor)
        : proxy(fault_proxy::start(executor, server().port())),
          shared(executor, through(), one()) {}

    static pool_options one() {
        pool_options limits;
        limits.max_size = 1;
        return limits;
    }

    connect_options through() const {
        connect_options options = server().over_tcp("postgres", "");
        options.hosts = {{"127.0.0.1", proxy->port()}};
        return options;
    }

    asio::awaitable<void> open() {
        own = co_await connection::open(through());
        direct = co_await connection::open(server().superuser());
        co_await direct.script("TRUNCATE t, later");
        co_await test::open_all(shared, 1);
        trips();
    }

    asio::awaitable<void> end() {
        co_await own.close();
        co_await shared.close();
        co_await direct.close();
    }

    // What the server has answered since the last time.
    int trips() {
        const int now = proxy->seen(side::backend, 'Z');
        return now - std::exchange(last_, now);
    }

    asio::awaitable<int> rows(std::string table = "t") {
        const result answer = co_await direct.query("SELECT count(*)::int FROM " + table);
        co_return answer.one<int>();
    }

    std::shared_ptr<fault_proxy> proxy;
    pool shared;
    connection own;
    connection direct;

private:
    int last_ = 0;
};

template <class T>
asio::awaitable<std::optional<error>> caught(asio::awaitable<T> work) {
    try {
        co_await std::move(work);
    } catch (const error& failure) {
        co_return failure;
    }
    co_return std::nullopt;
}

constexpr const char* insert = "INSERT INTO t VALUES (1)";

using use = asio::awaitable<void> (*)(transaction& t);

asio::awaitable<void> use_query(transaction& t) {
    co_await t.query(insert);
}
asio::awaitable<void> use_values(transaction& t) {
    co_await t.execute("INSERT INTO t VALUES ($1)", 1);
}
asio::awaitable<void> use_script(transaction& t) {
    co_await t.script(insert);
}
asio::awaitable<void> use_pipeline(transaction& t) {
    pipeline batch(pipeline_sync::once);
    batch.add(insert).add("SELECT 1");
    const pipeline_results answers = co_await t.run(std::move(batch));
    CHECK(answers.succeeded());
}
asio::awaitable<void> use_cursor(transaction& t) {
    co_await cursor::open(t, "SELECT 1");
}
asio::awaitable<void> use_large_object(transaction& t) {
    co_await large_object::create(t);
}
asio::awaitable<void> use_scripts(transaction& t) {
    co_await t.script("SELECT 1; INSERT INTO t VALUES (1)");
}
asio::awaitable<void> use_pipeline_of_units(transaction& t) {
    pipeline batch;
    batch.add(insert).add("SELECT 1");
    const pipeline_results answers = co_await t.run(std::move(batch));
    CHECK(answers.succeeded());
}
asio::awaitable<void> use_limited(transaction& t) {
    co_await t.query(statement("SELECT 1").largest_result(1'000'000));
}
asio::awaitable<void> use_stream(transaction& t) {
    row_stream rows = co_await t.stream("SELECT generate_series(1, 3)");
    std::size_t count = 0;
    while (const auto some = co_await rows.next()) {
        count += some->size();
    }
    CHECK(count == 3);
}
asio::awaitable<void> use_copy(transaction& t) {
    copy_in rows = co_await t.copy_from("COPY t FROM STDIN");
    co_await rows.write("1\n");
    co_await rows.finish();
}

struct first_use {
    const char* name;
    use what;
    int trips;
};
const first_use uses[] = {{"query", use_query, 1},
                          {"values", use_values, 1},
                          {"script of one", use_script, 1},
                          {"pipeline", use_pipeline, 1},
                          {"cursor", use_cursor, 1},
                          {"large object", use_large_object, 1},
                          // BEGIN goes ahead.
                          {"script of two", use_scripts, 2},
                          {"pipeline of units", use_pipeline_of_units, 3},
                          {"limited result", use_limited, 2},
                          {"stream", use_stream, 2},
                          {"copy", use_copy, 2}};

asio::awaitable<void> count_trips() {
    road here(co_await asio::this_coro::executor);
    co_await here.open();
    for (const first_use& one : uses) {
        for (const bool of_a_pool : {true, false}) {
            CAPTURE(one.name);
            CAPTURE(of_a_pool);
            transaction t;
            if (of_a_pool) {
                t = co_await here.shared.begin();
            } else {
                t = co_await here.own.begin();
            }
            CHECK(here.trips() == 0);
            CHECK(t.is_open());
            co_await one.what(t);
            CHECK(here.trips() == one.trips);
            const result inside = co_await t.query("SELECT now() = statement_timestamp()");
            CHECK_FALSE(inside.one<bool>());
            CHECK(here.trips() == 1);
            co_await t.commit();
            CHECK(here.trips() == 1);
        }
    }
    co_await here.end();
}

TEST_CASE(
    "a transaction's BEGIN goes with its first statement, or ahead of what libpq cannot join") {
    test::run(count_trips());
}

asio::awaitable<void> expect_no_transaction(connection& own) {
    const auto refused = co_await test::failure_of(own, "SAVEPOINT here");
    REQUIRE(refused);
    CHECK(refused->sqlstate() == "25P01");
}

asio::awaitable<void> not_used() {
    road here(co_await asio::this_coro::executor);
    co_await here.open();
    {
        transaction t = co_await here.shared.begin();
        co_await t.commit();
        transaction next = co_await here.shared.begin();
        co_await next.rollback();
        transaction dropped = co_await here.shared.begin();
    }
    {
        transaction t = co_await here.own.begin();
        co_await t.commit();
        CHECK_FALSE(t.is_open());
        transaction next = co_await here.own.begin();
        co_await next.rollback();
        transaction dropped = co_await here.own.begin();
    }
    CHECK(here.trips() == 0);
    co_await expect_no_transaction(here.own);
    pooled_connection lent = co_await here.shared.acquire();
    const auto refused = co_await test::failure_of(*lent, "SAVEPOINT here");
    REQUIRE(refused);
    CHECK(refused->sqlstate() == "25P01");
    lent.release();
    CHECK(here.proxy->seen(side::frontend, 'Q') == 0);
    co_await here.end();
}

TEST_CASE("a transaction that is not used sends nothing") {
    test::run(not_used());
}

asio::awaitable<void> first_fails() {
    road here(co_await asio::this_coro::executor);
    co_await here.open();
    for (const bool of_a_pool : {true, false}) {
        CAPTURE(of_a_pool);
        transaction t;
        if (of_a_pool) {
            t = co_await here.shared.begin();
        } else {
            t = co_await here.own.begin();
        }
        auto failure = co_await test::failure_of(t, "SELECT 1 / 0");
        REQUIRE(failure);
        CHECK(failure->sqlstate() == "22012");
        CHECK(failure->outcome() == outcome::not_executed);
        CHECK(t.is_open());
        failure = co_await test::failure_of(t, insert);
        REQUIRE(failure);
        CHECK(failure->sqlstate() == "25P02");
        failure = co_await caught(t.commit());
        REQUIRE(failure);
        CHECK(failure->sqlstate() == "22012");
        CHECK(failure->phase() == phase::committing);
    }
    // What this side refuses leaves it as it was.
    transaction t = co_await here.own.begin();
    here.trips();
    const auto refused = co_await caught(t.run("SELECT $1::int", params(1, 2)));
    REQUIRE(refused);
    CHECK(refused->code() == errc::bad_input);
    co_await t.query(insert);
    CHECK(here.trips() == 1);
    co_await t.commit();
    int rows = co_await here.rows();
    CHECK(rows == 1);
    // What is run on the connection beside the handle belongs to it.
    transaction undone = co_await here.own.begin();
    co_await here.own.query(insert);
    co_await undone.rollback();
    rows = co_await here.rows();
    CHECK(rows == 1);
    // It may end with its first statement.
    transaction ended = co_await here.own.begin();
    co_await ended.query("COMMIT");
    CHECK_FALSE(ended.is_open());
    const auto over = co_await test::failure_of(ended, insert);
    REQUIRE(over);
    CHECK(over->code() == errc::protocol_violated);
    // A savepoint may be the first of all.
    transaction outer = co_await here.own.begin();
    transaction inner = co_await outer.begin();
    co_await inner.query(insert);
    co_await inner.rollback();
    co_await outer.query(insert);
    co_await outer.commit();
    rows = co_await here.rows();
    CHECK(rows == 2);
    co_await here.end();
}

TEST_CASE("a first statement leaves its transaction as any other does") {
    test::run(first_fails());
}

asio::awaitable<void> with_options() {
    road here(co_await asio::this_coro::executor);
    co_await here.open();
    transaction_options options;
    options.isolation = isolation_level::serializable;
    options.read_only = true;
    options.deferrable = true;
    {
        transaction t = co_await here.own.begin(options);
        CHECK(here.trips() == 0);
        const result level = co_await t.query("SHOW transaction_isolation");
        CHECK(level.one<std::string>() == "serializable");
        CHECK(here.trips() == 1);
        const auto refused = co_await test::failure_of(t, insert);
        REQUIRE(refused);
        CHECK(refused->sqlstate() == "25006");
        co_await t.rollback();
        here.trips();
    }
    // A limit for the beginning alone is one for a trip of its own.
    options.begin_timeout = 10s;
    transaction t = co_await here.own.begin(options);
    CHECK(here.trips() == 1);
    co_await t.rollback();
    transaction pooled = co_await here.shared.begin(options);
    CHECK(here.trips() == 2);
    co_await pooled.rollback();
    here.trips();
    // A limit for all tries is not.
    transaction_retry_options limited;
    limited.timeout = 60s;
    auto work = [](transaction& on) -> asio::awaitable<void> { co_await on.query(insert); };
    co_await retry_transaction(here.shared, work, limited);
    CHECK(here.trips() == 2);
    co_await here.end();
}

TEST_CASE("a transaction's options travel with it") {
    test::run(with_options());
}

struct loss {
    const char* name;
    test::fault_rule rule;
    bool begun;  // the server's answer to BEGIN arrived
};

asio::awaitable<void> lose_first() {
    road here(co_await asio::this_coro::executor);
    co_await here.open();
    const loss losses[] = {{"request", before(side::frontend, 'P').reset(), false},
                           {"all answers", before(side::backend, '1').reset(), false},
                           {"the answer to BEGIN", before(side::backend, 'C').cut(), false},
                           {"all but the answer to BEGIN", after(side::backend, 'C').cut(), true},
                           {"the end", before(side::backend, 'Z').cut(), true}};
    int rows = 0;
    std::uint64_t retried = 0;
    for (const loss& one : losses) {
        CAPTURE(one.name);
        transaction t = co_await here.shared.begin();
        here.proxy->set(one.rule);
        const auto failure = co_await test::failure_of(t, insert);
        pool_statistics now = co_await here.shared.statistics();
        if (one.begun) {
            REQUIRE(failure);
            CHECK(failure->code() == errc::connection_lost);
            CHECK(failure->outcome() == outcome::not_executed);
            co_await t.rollback();
        } else {
            CHECK_FALSE(failure);
            co_await t.commit();
            ++rows;
            ++retried;
        }
        now = co_await here.shared.statistics();
        CHECK(now.retried == retried);
        CHECK(co_await here.rows() == rows);
        co_await test::open_all(here.shared, 1);
    }
    // What goes behind BEGIN, and pipelines, as well.
    for (const use what : {use_stream, use_copy, use_scripts, use_pipeline}) {
        transaction t = co_await here.shared.begin();
        here.proxy->set(before(side::backend, 'C').cut());
        co_await what(t);
        co_await t.rollback();
        ++retried;
        const pool_statistics now = co_await here.shared.statistics();
        CHECK(now.retried == retried);
    }
    CHECK(co_await here.rows() == rows);
    // A connection of one's own is not replaced.
    transaction t = co_await here.own.begin();
    here.proxy->set(before(side::backend, 'C').cut());
    const auto failure = co_await test::failure_of(t, insert);
    REQUIRE(failure);
    CHECK(failure->code() == errc::connection_lost);
    CHECK(failure->outcome() == outcome::not_executed);
    const auto again = co_await test::failure_of(t, insert);
    REQUIRE(again);
    CHECK(again->code() == errc::connection_lost);
    CHECK(again->outcome() == outcome::not_sent);
    co_await t.rollback();
    const auto dead = co_await caught(here.own.begin());
    REQUIRE(dead);
    CHECK(dead->code() == errc::connection_lost);
    CHECK(co_await here.rows() == rows);
    co_await here.end();
}

TEST_CASE("a connection lost before BEGIN is answered is replaced, one lost after it is told") {
    test::run(lose_first());
}

pipeline three() {
    pipeline batch;
    batch.add(insert).add("INSERT INTO t VALUES ($1)", 2).add("SHOW transaction_isolation");
    return batch;
}

asio::awaitable<std::optional<error>> failure_of_whole(road& here, bool of_a_pool, pipeline batch) {
    if (of_a_pool) {
        co_return co_await caught(here.shared.transaction(std::move(batch)));
    }
    co_return co_await caught(here.own.transaction(std::move(batch)));
}

asio::awaitable<void> in_one_trip() {
    road here(co_await asio::this_coro::executor);
    co_await here.open();
    transaction_options options;
    options.isolation = isolation_level::serializable;
    {
        const pipeline_results answers = co_await here.shared.transaction(three(), options);
        CHECK(here.trips() == 1);
        REQUIRE(answers.size() == 3);
        CHECK(answers[0].affected_rows() == 1);
        CHECK(answers[2].one<std::string>() == "serializable");
    }
    co_await here.own.transaction(three());
    CHECK(here.trips() == 1);
    int rows = co_await here.rows();
    CHECK(rows == 4);
    // What fails is named, and nothing of the rest stays.
    for (const bool of_a_pool : {true, false}) {
        CAPTURE(of_a_pool);
        pipeline batch = three();
        batch.add("SELECT 1 / 0").add(insert);
        auto failure = co_await failure_of_whole(here, of_a_pool, batch);
        REQUIRE(failure);
        CHECK(failure->sqlstate() == "22012");
        CHECK(failure->outcome() == outcome::not_executed);
        CHECK(std::string(failure->what()).find("statement 3 ") != std::string::npos);
        pipeline deferred;
        deferred.add("INSERT INTO later VALUES (1), (1)");
        failure = co_await failure_of_whole(here, of_a_pool, deferred);
        REQUIRE(failure);
        CHECK(failure->sqlstate() == "23505");
        CHECK(failure->phase() == phase::committing);
        CHECK(failure->outcome() == outcome::not_executed);
        pipeline ends;
        ends.add(insert).add("COMMIT");
        here.trips();
        failure = co_await failure_of_whole(here, of_a_pool, ends);
        REQUIRE(failure);
        CHECK(failure->code() == errc::bad_input);
        CHECK(here.trips() == 0);
    }
    rows = co_await here.rows();
    CHECK(rows == 4);
    co_await expect_no_transaction(here.own);
    {
        transaction t = co_await here.own.begin();
        co_await t.query("SELECT 1");
        const auto failure = co_await caught(here.own.transaction(three()));
        REQUIRE(failure);
        CHECK(failure->code() == errc::protocol_violated);
        CHECK(failure->outcome() == outcome::not_sent);
    }
    // After one that was dropped, and with a number to ask for.
    options.resolvable = true;
    co_await here.own.transaction(three(), options);
    co_await here.shared.transaction(three(), options);
    rows = co_await here.rows();
    CHECK(rows == 8);
    co_await here.end();
}

TEST_CASE("a transaction whose statements are known goes in one trip, all or none") {
    test::run(in_one_trip());
}

asio::awaitable<void> lose_whole() {
    road here(co_await asio::this_coro::executor);
    co_await here.open();
    // The server has done it, and nobody can tell.
    here.proxy->set(before(side::backend, 'Z').cut());
    auto failure = co_await caught(here.shared.transaction(three()));
    REQUIRE(failure);
    CHECK(failure->code() == errc::commit_outcome_unknown);
    CHECK(failure->outcome() == outcome::unknown);
    CHECK(failure->phase() == phase::committing);
    int rows = co_await here.rows();
    CHECK(rows == 2);
    // It was refused before its connection broke.
    pipeline batch;
    batch.add(insert).add("SELECT 1 / 0");
    here.proxy->set(before(side::backend, 'Z').cut());
    failure = co_await caught(here.shared.transaction(batch));
    REQUIRE(failure);
    CHECK(failure->sqlstate() == "22012");
    CHECK(failure->outcome() == outcome::not_executed);
    // One whose number is known is settled.
    transaction_options options;
    options.resolvable = true;
    co_await test::open_all(here.shared, 1);
    here.proxy->set(before(side::backend, 'Z', 3).cut());  // BEGIN and all, its number, COMMIT
    co_await here.shared.transaction(three(), options);
    rows = co_await here.rows();
    CHECK(rows == 4);
    // Its own time is up.
    pipeline slow = three();
    slow.add("SELECT pg_sleep(30)").timeout(100ms);
    failure = co_await caught(here.own.transaction(slow));
    REQUIRE(failure);
    CHECK(failure->code() == errc::timeout);
    CHECK(failure->outcome() == outcome::not_executed);
    CHECK(here.own.is_open());
    rows = co_await here.rows();
    CHECK(rows == 4);
    co_await here.end();
}

TEST_CASE("a transaction in one trip says what is known when it is lost or stopped") {
    test::run(lose_whole());
}

asio::awaitable<void> chains() {
    road here(co_await asio::this_coro::executor);
    co_await here.open();
    transaction t = co_await here.own.begin();
    co_await t.query(insert);
    for (const char* sql : {"COMMIT AND CHAIN", "rollback work and chain", "END /* so */ AND CHAIN",
                            "ABORT TRANSACTION AND CHAIN"}) {
        CAPTURE(sql);
        const auto refused = co_await test::failure_of(t, sql);
        REQUIRE(refused);
        CHECK(refused->code() == errc::bad_input);
        CHECK(refused->outcome() == outcome::not_sent);
        const auto in_script = co_await caught(t.script("SELECT 1; " + std::string(sql)));
        REQUIRE(in_script);
        CHECK(in_script->code() == errc::bad_input);
        pipeline batch;
        batch.add("SELECT 1").add(sql);
        const auto in_batch = co_await caught(t.run(std::move(batch)));
        REQUIRE(in_batch);
        CHECK(in_batch->code() == errc::bad_input);
        CHECK(t.is_open());
    }
    const result fine = co_await t.query("SELECT 'COMMIT AND CHAIN'");
    CHECK(fine.one<std::string>() == "COMMIT AND CHAIN");
    co_await t.query("COMMIT AND NO CHAIN");
    CHECK_FALSE(t.is_open());
    const int rows = co_await here.rows();
    CHECK(rows == 1);
    co_await here.end();
}

TEST_CASE("AND CHAIN, which would leave a transaction for another, is refused by name") {
    test::run(chains());
}

}  // namespace
