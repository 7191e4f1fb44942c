// Transactions that a statement of their own has ended: nothing goes on outside of them.
#include "support/pool_use.hpp"
#include "support/postgres_cluster.hpp"
#include "support/run.hpp"

#include <bitdotio/cursor.hpp>
#include <bitdotio/large_object.hpp>
#include <bitdotio/pool.hpp>
#include <bitdotio/retry_transaction.hpp>

#include <doctest/doctest.h>

#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace {

namespace asio = boost::asio;
using namespace bitdotio;

test::postgres_primary& shared() {
    static test::postgres_primary instance;
    static const bool made = [] {
        instance.execute("CREATE TABLE t (a integer); GRANT ALL ON t TO tester");
        return true;
    }();
    REQUIRE(made);
    return instance;
}

int take_rows() {
    const int rows = std::stoi(shared().value("SELECT count(*)::text FROM t"));
    shared().execute("TRUNCATE t");
    return rows;
}

template <class Work>
asio::awaitable<void> expect_over(Work work) {
    std::optional<error> failure;
    try {
        co_await work();
    } catch (const error& thrown) {
        failure = thrown;
    }
    REQUIRE(failure);
    CAPTURE(failure->what());
    CHECK(failure->code() == errc::protocol_violated);
    CHECK(failure->outcome() == outcome::not_sent);
    CHECK(std::string(failure->what()).find("over") != std::string::npos);
}

// Whatever is asked of it, it says that it is over.
asio::awaitable<void> expect_all_over(transaction& t) {
    CHECK_FALSE(t.is_open());
    auto query = [&]() -> asio::awaitable<void> { co_await t.query("INSERT INTO t VALUES (9)"); };
    co_await expect_over(query);
    auto script = [&]() -> asio::awaitable<void> { co_await t.script("INSERT INTO t VALUES (9)"); };
    co_await expect_over(script);
    pipeline some;
    some.add("INSERT INTO t VALUES (9)");
    auto batch = [&]() -> asio::awaitable<void> { co_await t.run(some); };
    co_await expect_over(batch);
    auto stream = [&]() -> asio::awaitable<void> { co_await t.stream("SELECT 1"); };
    co_await expect_over(stream);
    auto copy = [&]() -> asio::awaitable<void> { co_await t.copy_from("COPY t FROM STDIN"); };
    co_await expect_over(copy);
    auto out = [&]() -> asio::awaitable<void> { co_await t.copy_to("COPY t TO STDOUT"); };
    co_await expect_over(out);
    auto nest = [&]() -> asio::awaitable<void> { co_await t.begin(); };
    co_await expect_over(nest);
    auto open = [&]() -> asio::awaitable<void> { co_await cursor::open(t, "SELECT 1"); };
    co_await expect_over(open);
    auto create = [&]() -> asio::awaitable<void> { co_await large_object::create(t); };
    co_await expect_over(create);
    auto commit = [&]() -> asio::awaitable<void> { co_await t.commit(); };
    co_await expect_over(commit);
    auto rollback = [&]() -> asio::awaitable<void> { co_await t.rollback(); };
    co_await expect_over(rollback);
}

struct ending {
    const char* sql;
    bool as_script;
    int rows;  // there afterwards
};
const ending endings[] = {{"COMMIT", false, 1},
                          {"END", false, 1},
                          {"/* so */ commit work", false, 1},
                          {"ROLLBACK", false, 0},
                          {"ABORT", false, 0},
                          {"COMMIT", true, 1},
                          {"INSERT INTO t VALUES (2); COMMIT", true, 2},
                          {"ROLLBACK; INSERT INTO t VALUES (2)", true, 1}};

asio::awaitable<void> ended(bool of_a_pool) {
    pool from(co_await asio::this_coro::executor, shared().connect());
    connection own = co_await connection::open(shared().connect());
    for (const ending& one : endings) {
        CAPTURE(one.sql);
        {
            transaction t;
            if (of_a_pool) {
                t = co_await from.begin();
            } else {
                t = co_await own.begin();
            }
            co_await t.execute("INSERT INTO t VALUES (1)");
            CHECK(t.is_open());
            if (one.as_script) {
                co_await t.script(one.sql);
            } else {
                co_await t.query(one.sql);
            }
            co_await expect_all_over(t);
        }
        CHECK((co_await own.query("SELECT 1")).one<int>() == 1);
        CHECK((co_await from.query("SELECT 1")).one<int>() == 1);
        CHECK(take_rows() == one.rows);
    }
    const auto counts = co_await from.statistics();
    CHECK(counts.opened <= 1);  // the connection of such a transaction is well
    co_await from.close();
}

TEST_CASE("a transaction that a statement has ended is over, and says so") {
    for (const bool of_a_pool : {false, true}) {
        CAPTURE(of_a_pool);
        test::run(ended(of_a_pool));
    }
}

asio::awaitable<void> nested() {
    connection own = co_await connection::open(shared().connect());
    transaction outer = co_await own.begin();
    transaction inner = co_await outer.begin();
    co_await inner.execute("INSERT INTO t VALUES (1)");
    co_await inner.query("COMMIT");
    co_await expect_all_over(inner);
    co_await expect_all_over(outer);
    // Dropping them does no harm to the next one.
    transaction next = co_await own.begin();
    co_await next.execute("INSERT INTO t VALUES (2)");
    outer = transaction();
    inner = transaction();
    co_await next.commit();
    CHECK(take_rows() == 2);
}

TEST_CASE("with a transaction, those around it and nested in it are over") {
    test::run(nested());
}

asio::awaitable<void> portals() {
    connection own = co_await connection::open(shared().connect());
    transaction t = co_await own.begin();
    cursor rows = co_await cursor::open(t, "SELECT 1");
    const oid number = co_await large_object::create(t);
    large_object object = co_await large_object::open(t, number, large_object::mode::read_write);
    co_await t.query("ROLLBACK");
    auto fetch = [&]() -> asio::awaitable<void> { co_await rows.fetch(1); };
    co_await expect_over(fetch);
    auto none = [&]() -> asio::awaitable<void> { co_await rows.fetch(0); };
    co_await expect_over(none);
    auto read = [&]() -> asio::awaitable<void> { co_await object.read(1); };
    co_await expect_over(read);
}

TEST_CASE("with a transaction, its cursors and large objects are over") {
    test::run(portals());
}

asio::awaitable<void> in_a_pipeline() {
    connection own = co_await connection::open(shared().connect());
    for (const pipeline_sync sync : {pipeline_sync::each_statement, pipeline_sync::once}) {
        transaction t = co_await own.begin();
        pipeline midway(sync);
        midway.add("INSERT INTO t VALUES (1)").add("ROLLBACK").add("INSERT INTO t VALUES (2)");
        std::optional<error> refused;
        try {
            co_await t.run(midway);
        } catch (const error& thrown) {
            refused = thrown;
        }
        REQUIRE(refused);
        CHECK(refused->code() == errc::bad_input);
        CHECK(refused->outcome() == outcome::not_sent);
        CHECK(t.is_open());
        pipeline back(sync);
        back.add("SAVEPOINT s").add("INSERT INTO t VALUES (1)").add("ROLLBACK TO SAVEPOINT s");
        back.add("rollback work to s").add("INSERT INTO t VALUES (2)");
        CHECK((co_await t.run(back)).succeeded());
        CHECK(t.is_open());
        pipeline last(sync);
        last.add("INSERT INTO t VALUES (3)").add("COMMIT");
        CHECK((co_await t.run(last)).succeeded());
        co_await expect_all_over(t);
        CHECK(take_rows() == 2);
    }
}

TEST_CASE("a pipeline may end its transaction with its last statement, and with no other") {
    test::run(in_a_pipeline());
}

asio::awaitable<void> refused_commit() {
    connection own = co_await connection::open(shared().connect());
    co_await own.query("CREATE TEMP TABLE u (a integer UNIQUE DEFERRABLE INITIALLY DEFERRED)");
    transaction t = co_await own.begin();
    co_await t.execute("INSERT INTO u VALUES (1), (1)");
    const auto failure = co_await test::failure_of(t, "COMMIT");
    REQUIRE(failure);
    CHECK(failure->sqlstate() == "23505");
    co_await expect_all_over(t);
}

TEST_CASE("a COMMIT that the server refuses ends the transaction all the same") {
    test::run(refused_commit());
}

asio::awaitable<void> nothing_is_repeated() {
    pool from(co_await asio::this_coro::executor, shared().connect());
    int runs = 0;
    auto goes_on = [&](transaction& t) -> asio::awaitable<void> {
        ++runs;
        co_await t.execute("INSERT INTO t VALUES (1)");
        co_await t.query("ROLLBACK");
        co_await t.execute("INSERT INTO t VALUES (2)");
    };
    auto again = [&]() -> asio::awaitable<void> { co_await retry_transaction(from, goes_on); };
    co_await expect_over(again);
    auto once = [&]() -> asio::awaitable<void> { co_await from.transaction(goes_on); };
    co_await expect_over(once);
    CHECK(runs == 2);
    CHECK(take_rows() == 0);

    // What ends there is left alone.
    auto ends = [&](transaction& t) -> asio::awaitable<void> {
        co_await t.execute("INSERT INTO t VALUES (1)");
        co_await t.query("COMMIT");
    };
    co_await retry_transaction(from, ends);
    co_await from.transaction(ends);
    CHECK(take_rows() == 2);
    co_await from.close();
}

TEST_CASE("work that goes on after it has ended its transaction fails, and is not run again") {
    test::run(nothing_is_repeated());
}

}  // namespace
