// Transactions that are repeated until they have happened once, against the real server.
#include "support/database.hpp"
#include "support/lock_barrier.hpp"
#include "support/relay.hpp"

#include <bitdotio/retry_transaction.hpp>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/steady_timer.hpp>

#include <doctest/doctest.h>

#include <optional>
#include <stdexcept>
#include <string>
#include <utility>

namespace {

namespace asio = boost::asio;
using namespace std::chrono_literals;
using namespace bitdotio;
using test::await_waiting;
using test::lock_barrier;
using test::terminate_waiting;

test::postgres_primary& shared() {
    static test::postgres_primary instance;
    static const bool made = [] {
        instance.execute(
            "CREATE TABLE account (id integer PRIMARY KEY, amount integer NOT NULL);"
            "CREATE TABLE log (a integer UNIQUE DEFERRABLE INITIALLY DEFERRED);"
            "GRANT ALL ON account, log TO tester; INSERT INTO account VALUES (1, 0), (2, 0)");
        return true;
    }();
    REQUIRE(made);
    return instance;
}

std::string amount(int id) {
    return shared().value("SELECT amount::text FROM account WHERE id = " + std::to_string(id));
}

asio::awaitable<pool> new_pool() {
    co_return pool(co_await asio::this_coro::executor, shared().connect());
}

transaction_retry_options quick(int attempts) {
    transaction_retry_options options;
    options.max_attempts = attempts;
    options.first_delay = 1ms;
    options.max_delay = 10ms;
    return options;
}

template <class Work>
asio::awaitable<std::optional<error>> failure_of_retries(pool from, Work& work,
                                                         transaction_retry_options options) {
    try {
        co_await retry_transaction(from, work, options);
    } catch (const error& failure) {
        co_return failure;
    }
    co_return std::nullopt;
}

// Waits, on first use, until as many others have come.
struct meeting {
    explicit meeting(int expected) : missing(expected) {}

    asio::awaitable<void> come() {
        --missing;
        const auto deadline = std::chrono::steady_clock::now() + 30s;
        while (missing > 0) {
            if (std::chrono::steady_clock::now() > deadline) {
                throw std::runtime_error("the others did not come");
            }
            co_await test::rest(1ms);
        }
    }

    int missing;
};

template <class Work>
concept retriable = requires(pool from, Work&& work) {
    retry_transaction(from, std::forward<Work>(work));
};
template <class Work>
concept runnable = requires(pool from, Work&& work) {
    from.transaction(std::forward<Work>(work));
};

TEST_CASE("a callable must have a name, which a temporary has not") {
    auto work = [](transaction&) -> asio::awaitable<void> { co_return; };
    CHECK(retriable<decltype(work)&>);
    CHECK_FALSE(retriable<decltype(work)>);
    CHECK(runnable<decltype(work)&>);
    CHECK_FALSE(runnable<decltype(work)>);
}

TEST_CASE("transactions that contradict each other all happen, each once") {
    test::run([&]() -> asio::awaitable<void> {
        pool connections = co_await new_pool();
        transaction_retry_options options;
        options.transaction.isolation = isolation_level::serializable;
        meeting all(3);
        int runs = 0;
        auto deposit = [&](transaction& t) -> asio::awaitable<int> {
            ++runs;
            const result before = co_await t.query("SELECT amount FROM account WHERE id = 1");
            const int amount = before.one<int>() + 1;
            co_await all.come();  // all have read before any of them writes
            co_await t.query("UPDATE account SET amount = $1 WHERE id = 1", amount);
            co_return amount;
        };
        int sum = 0;
        auto one = [&](std::size_t) -> asio::awaitable<void> {
            sum += co_await retry_transaction(connections, deposit, options);
        };
        test::expect_none(co_await test::gather(3, one));
        CHECK(amount(1) == "3");
        CHECK(sum == 1 + 2 + 3);
        CHECK(runs > 3);
        const auto now = co_await connections.statistics();
        CHECK(now.retried >= 2);
        co_await connections.close();
    });
}

TEST_CASE("of two transactions in a deadlock the victim runs again") {
    test::run([&]() -> asio::awaitable<void> {
        pool connections = co_await new_pool();
        meeting both(2);
        int runs = 0;
        auto one = [&](std::size_t i) -> asio::awaitable<void> {
            const int first = i == 0 ? 1 : 2;
            auto transfer = [&, first](transaction& t) -> asio::awaitable<void> {
                ++runs;
                co_await t.query("UPDATE account SET amount = amount + 10 WHERE id = $1", first);
                co_await both.come();
                co_await t.query("UPDATE account SET amount = amount + 10 WHERE id = $1",
                                 3 - first);
            };
            co_await retry_transaction(connections, transfer);
        };
        const int before = std::stoi(amount(2));
        test::expect_none(co_await test::gather(2, one));
        CHECK(runs == 3);
        CHECK(std::stoi(amount(2)) == before + 20);
        co_await connections.close();
    });
}

TEST_CASE("a connection lost before COMMIT runs the whole again, lost at COMMIT only if settled") {
    test::run([&]() -> asio::awaitable<void> {
        pool connections = co_await new_pool();
        lock_barrier block;
        co_await block.put(shared().connect());
        int runs = 0;
        auto insert = [&](transaction& t) -> asio::awaitable<int> {
            ++runs;
            co_await t.query("INSERT INTO log VALUES (1)");
            co_await t.query(std::string("SELECT ") + block.stop);
            co_return 7;
        };
        std::optional<int> answer;
        auto one = [&](std::size_t i) -> asio::awaitable<void> {
            if (i == 0) {
                answer = co_await retry_transaction(connections, insert);
            } else {
                co_await await_waiting(shared(), "advisory");
                terminate_waiting(shared(), "advisory");
                co_await block.remove();
            }
        };
        test::expect_none(co_await test::gather(2, one));
        CHECK(answer == 7);
        CHECK(runs == 2);
        CHECK(shared().value("SELECT count(*)::text FROM log WHERE a = 1") == "1");
        co_await connections.close();
    });
}

TEST_CASE("a COMMIT cut off is settled: rolled back it runs again, committed it has succeeded") {
    shared().execute(
        "CREATE TABLE slow (a integer); GRANT ALL ON slow TO tester;"
        "CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM "
        "pg_advisory_xact_lock_shared(4711); RETURN NULL; END $$;"
        "CREATE CONSTRAINT TRIGGER wait AFTER INSERT ON slow DEFERRABLE INITIALLY DEFERRED "
        "FOR EACH ROW EXECUTE FUNCTION wait()");
    struct turn {
        bool terminated;  // false: only cut off from the client
        bool resolvable;
        int runs;
        int rows;
    };
    const turn table[] = {
        {true, true, 2, 1}, {true, false, 1, 0}, {false, true, 1, 1}, {false, false, 1, 1}};
    test::run(120s, [&]() -> asio::awaitable<void> {
        const auto executor = co_await asio::this_coro::executor;
        const auto relay = test::relay::start(executor, shared().port());
        connect_options through = shared().connect();
        through.hosts = {{"127.0.0.1", relay->port()}};
        int row = 0;
        for (const turn& one : table) {
            CAPTURE(one.terminated);
            CAPTURE(one.resolvable);
            ++row;
            pool connections(executor, through);
            lock_barrier block;
            co_await block.put(shared().connect());
            transaction_retry_options options;
            options.transaction.resolvable = one.resolvable;
            int runs = 0;
            auto insert = [&](transaction& t) -> asio::awaitable<void> {
                ++runs;
                co_await t.query("INSERT INTO slow VALUES ($1)", row);
            };
            std::optional<error> failure;
            auto both = [&](std::size_t i) -> asio::awaitable<void> {
                if (i == 0) {
                    failure = co_await failure_of_retries(connections, insert, options);
                    co_return;
                }
                co_await await_waiting(shared(), "advisory");
                if (one.terminated) {
                    terminate_waiting(shared(), "advisory");
                } else {
                    relay->hang_up();
                }
                co_await block.remove();
            };
            test::expect_none(co_await test::gather(2, both));
            CHECK(runs == one.runs);
            CHECK(failure.has_value() == !one.resolvable);
            if (failure) {
                CHECK(failure->code() == errc::commit_outcome_unknown);
                CHECK(failure->attempts() == 1);
            }
            const std::string count =
                "SELECT count(*)::text FROM slow WHERE a = " + std::to_string(row);
            const auto deadline = std::chrono::steady_clock::now() + 10s;
            while (shared().value(count) != std::to_string(one.rows) &&
                   std::chrono::steady_clock::now() < deadline) {
                co_await test::rest(5ms);  // the server commits by itself
            }
            CHECK(shared().value(count) == std::to_string(one.rows));
            co_await connections.close();
        }
    });
}

TEST_CASE("pool::transaction settles a COMMIT too, and says what it found") {
    test::run([&]() -> asio::awaitable<void> {
        pool connections = co_await new_pool();
        lock_barrier block;
        co_await block.put(shared().connect());
        auto insert = [&](transaction& t) -> asio::awaitable<void> {
            co_await t.query("INSERT INTO slow VALUES (50)");
        };
        transaction_options options;
        options.resolvable = true;
        std::optional<error> failure;
        auto both = [&](std::size_t i) -> asio::awaitable<void> {
            if (i == 1) {
                co_await await_waiting(shared(), "advisory");
                terminate_waiting(shared(), "advisory");
                co_return;
            }
            try {
                co_await connections.transaction(insert, options);
            } catch (const error& thrown) {
                failure = thrown;
            }
        };
        test::expect_none(co_await test::gather(2, both));
        REQUIRE(failure);
        CHECK(failure->code() == errc::connection_lost);
        CHECK(failure->outcome() == outcome::not_executed);
        CHECK(failure->phase() == phase::committing);
        co_await block.remove();
        co_await connections.close();
    });
}

TEST_CASE("a transaction without a chance ends after its tries, with their number") {
    test::run([&]() -> asio::awaitable<void> {
        pool connections = co_await new_pool();
        int runs = 0;
        const std::string conflict =
            "DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '40001', MESSAGE = 'no'; END $$";
        auto loses = [&](transaction& t) -> asio::awaitable<void> {
            ++runs;
            co_await t.query(conflict);
        };
        auto failure = co_await failure_of_retries(connections, loses, quick(3));
        REQUIRE(failure);
        CHECK(failure->code() == errc::transaction_conflict);
        CHECK(failure->sqlstate() == "40001");
        CHECK(failure->attempts() == 3);
        CHECK(failure->outcome() == outcome::not_executed);
        CHECK(runs == 3);

        // The same if the work hides the conflict: COMMIT reports it.
        runs = 0;
        auto hides = [&](transaction& t) -> asio::awaitable<void> {
            ++runs;
            try {
                co_await t.query(conflict);
            } catch (const error&) {
            }
        };
        failure = co_await failure_of_retries(connections, hides, quick(2));
        REQUIRE(failure);
        CHECK(failure->code() == errc::transaction_conflict);
        CHECK(failure->phase() == phase::committing);
        CHECK(runs == 2);

        // No other try begins when the time is up.
        runs = 0;
        transaction_retry_options limited = quick(1'000'000);
        limited.timeout = 200ms;
        failure = co_await failure_of_retries(connections, loses, limited);
        REQUIRE(failure);
        CHECK(runs > 1);
        // The last try may have had no time to begin.
        const bool counted = failure->attempts() == runs || failure->attempts() == runs + 1;
        CHECK(counted);
        const bool well =
            failure->code() == errc::transaction_conflict || failure->code() == errc::timeout;
        CHECK(well);
        co_await connections.close();
    });
}

TEST_CASE("the time for all tries stops the one under way") {
    test::run(20s, [&]() -> asio::awaitable<void> {
        pool connections = co_await new_pool();
        co_await connections.query("SELECT 1");
        auto sleeps = [](transaction& t) -> asio::awaitable<void> {
            co_await t.query("SELECT pg_sleep(60)");
        };
        transaction_retry_options limited;
        limited.timeout = 200ms;
        const auto failure = co_await failure_of_retries(connections, sleeps, limited);
        REQUIRE(failure);
        CHECK(failure->code() == errc::timeout);
        CHECK(failure->attempts() == 1);
        const result answer = co_await connections.query("SELECT 1");
        CHECK(answer.one<int>() == 1);
        co_await connections.close();
    });
}

TEST_CASE("errors that another try would meet again end the tries") {
    test::run([&]() -> asio::awaitable<void> {
        pool connections = co_await new_pool();
        int runs = 0;
        auto breaks_constraint = [&](transaction& t) -> asio::awaitable<void> {
            ++runs;
            co_await t.query("INSERT INTO log VALUES (20), (20)");  // refused by COMMIT
        };
        auto failure = co_await failure_of_retries(connections, breaks_constraint, quick(5));
        REQUIRE(failure);
        CHECK(failure->sqlstate() == "23505");
        CHECK(failure->phase() == phase::committing);
        CHECK(failure->outcome() == outcome::not_executed);
        CHECK(runs == 1);

        runs = 0;
        auto throws = [&](transaction& t) -> asio::awaitable<void> {
            ++runs;
            co_await t.query("INSERT INTO log VALUES (21)");
            throw std::runtime_error("mine");
        };
        bool mine = false;
        try {
            co_await retry_transaction(connections, throws, quick(5));
        } catch (const std::runtime_error&) {
            mine = true;
        }
        CHECK(mine);
        CHECK(runs == 1);

        // A transaction that its work has committed is over, even if something fails later.
        runs = 0;
        auto commits = [&](transaction& t) -> asio::awaitable<void> {
            ++runs;
            co_await t.query("INSERT INTO log VALUES (22)");
            co_await t.commit();
            throw error(errc::transaction_conflict, "not this one's").with(phase::replied);
        };
        failure = co_await failure_of_retries(connections, commits, quick(5));
        REQUIRE(failure);
        CHECK(runs == 1);
        runs = 0;
        auto says_commit = [&](transaction& t) -> asio::awaitable<void> {
            ++runs;
            co_await t.query("INSERT INTO log VALUES (23)");
            co_await t.query("COMMIT");
            co_await t.query("DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '40001'; END $$");
        };
        failure = co_await failure_of_retries(connections, says_commit, quick(5));
        REQUIRE(failure);
        CHECK(runs == 1);

        // The loss of another connection says nothing about this transaction.
        runs = 0;
        auto loses_another = [&](transaction& t) -> asio::awaitable<void> {
            ++runs;
            co_await t.query("SELECT 1");
            pooled_connection other = co_await connections.acquire();
            co_await other->query("SELECT pg_terminate_backend(pg_backend_pid())");
        };
        failure = co_await failure_of_retries(connections, loses_another, quick(5));
        REQUIRE(failure);
        CHECK(failure->code() == errc::connection_lost);
        CHECK(runs == 1);

        auto well = [](transaction& t) -> asio::awaitable<void> { co_await t.rollback(); };
        co_await retry_transaction(connections, well);
        CHECK(shared().value("SELECT string_agg(a::text, ',' ORDER BY a) FROM log WHERE a >= 20") ==
              "22,23");
        co_await connections.close();
    });
}

TEST_CASE("a cancellation ends the pause between two tries") {
    test::run(60s, [&]() -> asio::awaitable<void> {
        const auto executor = co_await asio::this_coro::executor;
        pool connections = co_await new_pool();
        asio::cancellation_signal signal;
        asio::steady_timer ended(executor, asio::steady_timer::time_point::max());
        std::optional<error> failure;
        int runs = 0;
        auto loses = [&](transaction& t) -> asio::awaitable<void> {
            ++runs;
            co_await t.query("DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '40001'; END $$");
        };
        transaction_retry_options slow;
        slow.first_delay = 1h;
        slow.max_delay = 1h;
        const auto on_end = [&](std::exception_ptr thrown) {
            try {
                if (thrown) std::rethrow_exception(thrown);
            } catch (const error& caught) {
                failure = caught;
            }
            ended.cancel();
        };
        auto retries = retry_transaction(connections, loses, slow);
        asio::co_spawn(executor, std::move(retries),
                       asio::bind_cancellation_slot(signal.slot(), on_end));
        // It pauses after it has failed and returned its connection.
        pool_statistics now;
        const auto deadline = std::chrono::steady_clock::now() + 30s;
        while ((runs == 0 || now.used > 0 || now.idle == 0) &&
               std::chrono::steady_clock::now() < deadline) {
            now = co_await connections.statistics();
        }
        signal.emit(asio::cancellation_type::terminal);
        boost::system::error_code ignored;
        co_await ended.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
        REQUIRE(failure);
        CHECK(failure->code() == errc::cancelled);
        CHECK(failure->sqlstate() == "40001");
        CHECK(runs == 1);
        co_await connections.close();
    });
}

TEST_CASE("options that cannot be are refused by name") {
    transaction_retry_options options;
    options.max_attempts = 0;
    CHECK_THROWS_WITH_AS(options.check(),
                         "transaction_retry_options::max_attempts is 0; it must be at least 1",
                         error);
    options = {};
    options.max_delay = -1ms;
    CHECK_THROWS_WITH_AS(options.check(),
                         "transaction_retry_options::max_delay is -1 ms; it must not be negative",
                         error);
}

}  // namespace
