// What an interrupted COMMIT reports, how it is settled, and what a missing standby changes.
#include "support/background.hpp"
#include "support/database.hpp"
#include "support/lock_barrier.hpp"
#include "support/relay.hpp"
#include "support/with_connection.hpp"

#include <bitdotio/pool.hpp>
#include <bitdotio/resolve_commit.hpp>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/steady_timer.hpp>

#include <doctest/doctest.h>

#include <exception>
#include <optional>
#include <string>
#include <utility>

namespace {

namespace asio = boost::asio;
using namespace std::chrono_literals;
using namespace bitdotio;
using test::await_waiting;
using test::lock_barrier;
using test::terminate_waiting;

// Rows from 100 on stop at the lock_barrier when they are committed.
test::postgres_primary& shared() {
    static test::postgres_primary instance;
    static const bool made = [] {
        instance.execute(
            "CREATE TABLE t (a integer); GRANT ALL ON t TO tester;"
            "CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM "
            "pg_advisory_xact_lock_shared(4711); RETURN NULL; END $$;"
            "CREATE CONSTRAINT TRIGGER wait AFTER INSERT ON t DEFERRABLE INITIALLY DEFERRED "
            "FOR EACH ROW WHEN (NEW.a >= 100) EXECUTE FUNCTION wait()");
        return true;
    }();
    REQUIRE(made);
    return instance;
}

int rows_of(int a) {
    return std::stoi(shared().value("SELECT count(*)::text FROM t WHERE a = " + std::to_string(a)));
}

asio::awaitable<std::optional<error>> commit_failure(transaction open) {
    try {
        co_await open.commit();
    } catch (const error& failure) {
        co_return failure;
    }
    co_return std::nullopt;
}

// Runs `commit` and `meanwhile` at once; returns what the first of them ends with.
template <class Meanwhile>
asio::awaitable<std::optional<error>> while_committing(transaction open, Meanwhile& meanwhile) {
    std::optional<error> failure;
    auto one = [&](std::size_t i) -> asio::awaitable<void> {
        if (i == 0) {
            failure = co_await commit_failure(std::move(open));
        } else {
            co_await meanwhile();
        }
    };
    const auto broken = co_await test::gather(2, one);
    test::expect_none(broken);
    co_return failure;
}

transaction_options resolvable() {
    transaction_options options;
    options.resolvable = true;
    return options;
}

TEST_CASE("a COMMIT whose backend was terminated is settled as not committed") {
    test::with_pool(shared().connect(), [&](pool& connections) -> asio::awaitable<void> {
        lock_barrier block;
        co_await block.put(shared().connect());
        transaction open = co_await connections.begin(resolvable());
        co_await open.query("INSERT INTO t VALUES (100)");
        auto meanwhile = []() -> asio::awaitable<void> {
            co_await await_waiting(shared(), "advisory");
            terminate_waiting(shared(), "advisory");
        };
        const auto failure = co_await while_committing(std::move(open), meanwhile);
        REQUIRE(failure);
        CHECK(failure->code() == errc::commit_outcome_unknown);
        CHECK(failure->outcome() == outcome::unknown);
        CHECK(failure->phase() == phase::committing);
        CHECK(failure->sqlstate() == "57P01");
        CHECK_FALSE(failure->transaction_id().empty());
        const outcome found = co_await resolve_commit(connections, *failure);
        CHECK(found == outcome::not_executed);
        CHECK(rows_of(100) == 0);
        co_await block.remove();
    });
}

TEST_CASE("a COMMIT that goes on after its connection was cut is waited for and settled") {
    test::run([&]() -> asio::awaitable<void> {
        const auto executor = co_await asio::this_coro::executor;
        const auto relay = test::relay::start(executor, shared().port());
        connect_options through = shared().connect();
        through.hosts = {{"127.0.0.1", relay->port()}};
        pool connections(executor, through);
        lock_barrier block;
        co_await block.put(shared().connect());
        transaction open = co_await connections.begin(resolvable());
        co_await open.query("INSERT INTO t VALUES (101)");
        auto meanwhile = [&]() -> asio::awaitable<void> {
            co_await await_waiting(shared(), "advisory");
            relay->hang_up();
        };
        const auto failure = co_await while_committing(std::move(open), meanwhile);
        REQUIRE(failure);
        CHECK(failure->code() == errc::commit_outcome_unknown);
        CHECK(failure->sqlstate().empty());

        // While it is under way there is no answer; only the patience ends.
        const outcome early = co_await resolve_commit(connections, *failure, 300ms);
        CHECK(early == outcome::unknown);

        std::optional<outcome> found;
        auto both = [&](std::size_t i) -> asio::awaitable<void> {
            if (i == 0) {
                found = co_await resolve_commit(connections, *failure);
            } else {
                co_await block.remove();
            }
        };
        test::expect_none(co_await test::gather(2, both));
        CHECK(found == outcome::executed);
        CHECK(rows_of(101) == 1);
        co_await connections.close();
    });
}

TEST_CASE("what cannot be settled stays unknown: another server, a number not given away") {
    test::with_pool(shared().connect(), [&](pool& connections) -> asio::awaitable<void> {
        const error lost(errc::commit_outcome_unknown, "x");
        const std::string place = shared().value(
            "SELECT substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) || '/' || "
            "system_identifier FROM pg_control_system()");
        const std::string done = shared().value("SELECT pg_current_xact_id()::text");
        const std::pair<std::string, outcome> table[] = {
            {done + "/" + place, outcome::executed},
            {done + "/00000009/" + place.substr(place.find('/') + 1), outcome::unknown},
            {done + "/" + place + "1", outcome::unknown},
            {"4000000000/" + place, outcome::unknown},
        };
        for (const auto& [id, expected] : table) {
            CAPTURE(id);
            const outcome found =
                co_await resolve_commit(connections, lost.with_transaction_id(id));
            CHECK(found == expected);
        }
        std::optional<errc> code;
        try {
            co_await resolve_commit(connections, lost);
        } catch (const error& failure) {
            code = failure.code();
        }
        CHECK(code == errc::bad_input);
    });
}

TEST_CASE("resolvable transactions commit, fail and read as others do") {
    test::with_connection(shared().connect(), [&](connection& c) -> asio::awaitable<void> {
        transaction good = co_await c.begin(resolvable());
        co_await good.query("INSERT INTO t VALUES (1)");
        co_await good.commit();
        CHECK(rows_of(1) == 1);

        transaction_options reading = resolvable();
        reading.read_only = true;
        transaction reader = co_await c.begin(reading);
        co_await reader.query("SELECT 1");
        co_await reader.commit();

        transaction bad = co_await c.begin(resolvable());
        const auto refused = co_await test::failure_of(bad, "SELECT 1 / 0");
        CHECK(refused->sqlstate() == "22012");
        const auto failure = co_await commit_failure(std::move(bad));
        REQUIRE(failure);
        CHECK(failure->code() == errc::query_failed);
        CHECK(failure->sqlstate() == "22012");  // the cause, not that it had failed before
        CHECK(failure->outcome() == outcome::not_executed);
        CHECK(failure->phase() == phase::committing);
        const result answer = co_await c.query("SELECT 1");
        CHECK(answer.one<int>() == 1);
    });
}

TEST_CASE("a promoted standby does not answer for its primary's transactions") {
    test::postgres_standby standby(shared());
    test::run([&]() -> asio::awaitable<void> {
        pool connections(co_await asio::this_coro::executor, shared().connect());
        pool others(co_await asio::this_coro::executor, standby.connect());
        // On a standby there is nothing to settle, and nothing to ask for.
        transaction reader = co_await others.begin(resolvable());
        co_await reader.query("SELECT 1");
        co_await reader.commit();

        const std::string done = shared().value(
            "SELECT pg_current_xact_id() || '/' || "
            "substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) || '/' || "
            "system_identifier FROM pg_control_system()");
        standby.catch_up();
        const error lost = error(errc::commit_outcome_unknown, "x").with_transaction_id(done);
        const outcome here = co_await resolve_commit(connections, lost);
        CHECK(here == outcome::executed);
        // It might be promoted to the server of the transaction, so it is asked again, in vain.
        const outcome waiting = co_await resolve_commit(others, lost, 300ms);
        CHECK(waiting == outcome::unknown);
        standby.promote();
        const outcome elsewhere = co_await resolve_commit(others, lost);
        CHECK(elsewhere == outcome::unknown);
        co_await connections.close();
        co_await others.close();
    });
}

TEST_CASE("COMMIT as a statement is a COMMIT, and loss before one leaves nothing") {
    test::run([&]() -> asio::awaitable<void> {
        lock_barrier block;
        co_await block.put(shared().connect());
        for (const bool committing : {true, false}) {
            CAPTURE(committing);
            connection c = co_await connection::open(shared().connect());
            co_await c.query("BEGIN");
            co_await c.query("INSERT INTO t VALUES (102)");
            std::optional<error> failure;
            auto both = [&](std::size_t i) -> asio::awaitable<void> {
                if (i == 0) {
                    statement last = committing ? statement("COMMIT")
                                                : statement(std::string("SELECT ") + block.stop);
                    failure = co_await test::failure_of(c, std::move(last));
                } else {
                    co_await await_waiting(shared(), "advisory");
                    terminate_waiting(shared(), "advisory");
                }
            };
            test::expect_none(co_await test::gather(2, both));
            REQUIRE(failure);
            CHECK(failure->code() ==
                  (committing ? errc::commit_outcome_unknown : errc::connection_lost));
            CHECK(failure->outcome() == (committing ? outcome::unknown : outcome::not_executed));
            CHECK(failure->phase() == (committing ? phase::committing : phase::awaiting_reply));
        }
        CHECK(rows_of(102) == 0);
        co_await block.remove();
    });
}

TEST_CASE("a procedure that commits before it fails is not said to have done nothing") {
    test::run([&]() -> asio::awaitable<void> {
        shared().execute(
            "CREATE PROCEDURE half() LANGUAGE plpgsql AS $$ BEGIN INSERT INTO t VALUES (2); "
            "COMMIT; PERFORM 1 / 0; END $$");
        connection c = co_await connection::open(shared().connect());
        const auto called = co_await test::failure_of(c, "CALL half()");
        REQUIRE(called);
        CHECK(called->sqlstate() == "22012");
        CHECK(called->outcome() == outcome::unknown);
        CHECK(rows_of(2) == 1);
        const auto plain = co_await test::failure_of(c, "INSERT INTO t SELECT 1 / 0");
        CHECK(plain->outcome() == outcome::not_executed);

        pipeline batch;
        batch.add("SELECT 1").add("CALL half()").add("SELECT 1 / 0");
        const pipeline_results results = co_await c.run(std::move(batch));
        REQUIRE(results.failure(1));
        CHECK(results.failure(1)->outcome() == outcome::unknown);
        REQUIRE(results.failure(2));
        CHECK(results.failure(2)->outcome() == outcome::not_executed);
    });
}

// The state of a connection whose end of a transaction was given up before it was sent.
asio::awaitable<void> give_up_end(connection& c, bool committing, bool nested,
                                  asio::cancellation_signal& signal) {
    co_await asio::this_coro::throw_if_cancelled(false);
    transaction open = co_await c.begin();
    co_await open.query("INSERT INTO t VALUES (103)");
    std::optional<transaction> inner;
    if (nested) {
        inner = co_await open.begin();
    }
    transaction& last = nested ? *inner : open;
    signal.emit(asio::cancellation_type::terminal);
    try {
        if (committing) {
            co_await last.commit();
        } else {
            co_await last.rollback();
        }
        FAIL("it ended well");
    } catch (const error& failure) {
        CHECK(failure.code() == errc::cancelled);
        CHECK(failure.outcome() == outcome::not_sent);
    }
}

TEST_CASE("an end given up before it was sent leaves no transaction to the next statement") {
    test::run([&]() -> asio::awaitable<void> {
        const auto executor = co_await asio::this_coro::executor;
        for (const bool committing : {true, false}) {
            for (const bool nested : {true, false}) {
                CAPTURE(committing);
                CAPTURE(nested);
                connection c = co_await connection::open(shared().connect());
                asio::cancellation_signal signal;
                asio::steady_timer ended(executor, asio::steady_timer::time_point::max());
                const auto on_end = [&](std::exception_ptr) { ended.cancel(); };
                auto giving_up = give_up_end(c, committing, nested, signal);
                asio::co_spawn(executor, std::move(giving_up),
                               asio::bind_cancellation_slot(signal.slot(), on_end));
                boost::system::error_code ignored;
                co_await ended.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
                const result answer =
                    co_await c.query("SELECT pg_current_xact_id_if_assigned() IS NULL");
                CHECK(answer.one<bool>());
            }
        }
        CHECK(rows_of(103) == 0);
    });
}

TEST_CASE("what somebody's function raises is no goodbye") {
    test::run([&]() -> asio::awaitable<void> {
        connect_options options = shared().connect();
        int told = 0;
        options.on_notice = [&](const server_message&) { ++told; };
        connection c = co_await connection::open(options);
        for (const char* code : {"57P01", "57P05", "25P03"}) {
            co_await c.script(std::string("DO $$ BEGIN RAISE WARNING USING ERRCODE = '") + code +
                              "', MESSAGE = 'no'; END $$");
        }
        CHECK(told == 3);
        const result answer = co_await c.query("SELECT 1");
        CHECK(answer.one<int>() == 1);
    });
}

// From here on COMMIT waits for a standby that is not there, but for the superuser.
TEST_CASE("what is committed and waits for its standby is told as executed, however it ends") {
    shared().execute("ALTER ROLE postgres SET synchronous_commit = local");
    shared().execute("ALTER SYSTEM SET synchronous_standby_names = 'nobody'");
    shared().execute("SELECT pg_reload_conf()");
    test::with_pool(shared().connect(), [&](pool& connections) -> asio::awaitable<void> {
        struct ending {
            const char* verb;
            bool in_transaction;
            bool own_deadline;
        };
        const ending table[] = {{"pg_terminate_backend(pid, 10000)", true, false},
                                {"pg_terminate_backend(pid, 10000)", false, false},
                                {"pg_cancel_backend(pid)", true, false},
                                {"pg_cancel_backend(pid)", false, false},
                                {"", false, true}};
        int row = 200;
        for (const ending& one : table) {
            const std::string verb = one.verb;
            CAPTURE(verb);
            CAPTURE(one.in_transaction);
            ++row;
            const std::string insert = "INSERT INTO t VALUES (" + std::to_string(row) + ")";
            std::optional<error> failure;
            std::optional<transaction> open;
            if (one.in_transaction) {
                open = co_await connections.begin();
                co_await open->query(insert);
            }
            auto both = [&](std::size_t i) -> asio::awaitable<void> {
                if (i == 1) {
                    co_await await_waiting(shared(), "SyncRep");
                    if (!one.own_deadline) test::treat_waiting(shared(), "SyncRep", verb);
                } else if (one.in_transaction) {
                    failure = co_await commit_failure(std::move(*open));
                } else {
                    statement marked(insert);
                    marked.idempotent();
                    if (one.own_deadline) marked.timeout(1500ms);
                    failure = co_await test::failure_of(connections, marked);
                }
            };
            test::expect_none(co_await test::gather(2, both));
            REQUIRE(failure);
            CHECK(failure->code() ==
                  (one.own_deadline ? errc::timeout : errc::replication_unconfirmed));
            CHECK(failure->outcome() == outcome::executed);
            CHECK(failure->attempts() == 1);
            CHECK(rows_of(row) == 1);
        }
    });
}

TEST_CASE("a pipeline says which of its statements has no standby") {
    test::with_connection(shared().connect(), [&](connection& c) -> asio::awaitable<void> {
        std::optional<pipeline_results> results;
        auto both = [&](std::size_t i) -> asio::awaitable<void> {
            if (i == 1) {
                co_await await_waiting(shared(), "SyncRep");
                test::treat_waiting(shared(), "SyncRep", "pg_cancel_backend(pid)");
                co_return;
            }
            pipeline batch;
            batch.add("SELECT 1").add("INSERT INTO t VALUES (210)").add("SELECT 2");
            results = co_await c.run(std::move(batch));
        };
        test::expect_none(co_await test::gather(2, both));
        REQUIRE(results);
        CHECK_FALSE(results->failure(0));
        CHECK_FALSE(results->failure(2));
        REQUIRE(results->failure(1));
        CHECK(results->failure(1)->code() == errc::replication_unconfirmed);
        CHECK(results->failure(1)->outcome() == outcome::executed);
        CHECK(rows_of(210) == 1);
    });
    shared().execute("ALTER SYSTEM RESET synchronous_standby_names");
    shared().execute("SELECT pg_reload_conf()");
}

}  // namespace
