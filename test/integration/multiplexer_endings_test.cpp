// What each caller of a shared connection is told when others wait, leave, or the connection ends.
#include "support/database.hpp"
#include "support/gather.hpp"
#include "support/lock_barrier.hpp"
#include "support/pool_use.hpp"
#include "support/sharing.hpp"
#include "support/with_connection.hpp"

#include <bitdotio/pool.hpp>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <deque>
#include <exception>
#include <map>
#include <optional>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

namespace {

namespace asio = boost::asio;
using namespace std::chrono_literals;
using namespace bitdotio;
using std::chrono::steady_clock;
using test::await_waiting;
using test::expect_none;
using test::failure_of;
using test::gather;
using test::over;
using test::rest;
using test::sharing_server;

// A lock that each statement on the table `t` waits for.
class table_lock {
public:
    asio::awaitable<void> put() {
        holder_ = co_await connection::open(sharing_server().connect());
        co_await holder_.script("BEGIN; LOCK TABLE t IN ACCESS EXCLUSIVE MODE");
    }
    asio::awaitable<void> remove() { co_await holder_.script("COMMIT"); }

private:
    connection holder_;
};

// The numbers in the table, each as often as it is there.
std::map<int, int> table_rows() {
    std::map<int, int> found;
    std::istringstream all(
        sharing_server().value("SELECT coalesce(string_agg(a::text, ' '), '') FROM t"));
    for (int a = 0; all >> a;) {
        ++found[a];
    }
    return found;
}

// Callers that insert `first`, `first` + 1, … and what each was told.
class inserters {
public:
    inserters(pool where, int first, std::size_t count)
        : where_(std::move(where)), first_(first), failures_(count), over_(count, false) {}

    /// Starts one more; `change` sets the marks of its statement.
    template <class Change>
    void start(const asio::any_io_executor& executor, std::size_t i, Change change,
               asio::cancellation_slot slot = {}) {
        statement sql("INSERT INTO t VALUES ($1)");
        change(sql);
        const auto on_end = [this, i](const std::exception_ptr& thrown) {
            over_[i] = true;
            try {
                if (thrown) std::rethrow_exception(thrown);
            } catch (const error& failure) {
                failures_[i] = failure;
            }
        };
        asio::co_spawn(executor, insert(std::move(sql), first_ + static_cast<int>(i)),
                       asio::bind_cancellation_slot(slot, on_end));
    }

    asio::awaitable<void> until_over(std::size_t count) {
        const auto deadline = steady_clock::now() + 20s;
        while (over() < count && steady_clock::now() < deadline) {
            co_await rest(1ms);
        }
        REQUIRE(over() >= count);
    }
    std::size_t over() const {
        return static_cast<std::size_t>(std::count(over_.begin(), over_.end(), true));
    }
    const std::optional<error>& failure(std::size_t i) const { return failures_[i]; }
    std::size_t told(outcome what) const {
        return static_cast<std::size_t>(
            std::count_if(failures_.begin(), failures_.end(),
                          [&](const auto& one) { return one && one->outcome() == what; }));
    }

    /// What was told agrees with what the table says.
    void check_table() const {
        const std::map<int, int> found = table_rows();
        for (std::size_t i = 0; i < failures_.size(); ++i) {
            const auto row = found.find(first_ + static_cast<int>(i));
            const int rows = row == found.end() ? 0 : row->second;
            const outcome known = failures_[i] ? failures_[i]->outcome() : outcome::executed;
            CAPTURE(i);
            CHECK(rows <= 1);
            CHECK((known == outcome::unknown || rows == (known == outcome::executed)));
        }
    }

private:
    asio::awaitable<void> insert(statement sql, int value) {
        co_await where_.query(std::move(sql), value);
    }

    pool where_;
    const int first_;
    std::vector<std::optional<error>> failures_;
    std::vector<bool> over_;
};

const auto unmarked = [](statement&) {};

TEST_CASE("a connection that breaks with 64 in flight tells each caller what is true for it") {
    sharing_server().execute("TRUNCATE t");
    test::with_pool(sharing_server().connect(), over(1, 64),
                    [](pool& from) -> asio::awaitable<void> {
                        const auto executor = co_await asio::this_coro::executor;
                        table_lock lock;
                        co_await lock.put();
                        inserters all(from, 1000, 110);
                        for (std::size_t i = 0; i < 100; ++i) {
                            all.start(executor, i, unmarked);
                        }
                        co_await await_waiting(sharing_server(), "relation");
                        test::terminate_waiting(sharing_server(), "relation");
                        co_await all.until_over(64);
                        // The others have moved on, and those that may run twice are among the next
                        // to be lost.
                        for (std::size_t i = 100; i < 110; ++i) {
                            all.start(executor, i, [](statement& sql) { sql.idempotent(); });
                        }
                        co_await await_waiting(sharing_server(), "relation");
                        CHECK(all.over() == 64);
                        co_await lock.remove();
                        co_await all.until_over(110);
                        CHECK(all.told(outcome::unknown) == 64);
                        for (std::size_t i = 0; i < 110; ++i) {
                            CAPTURE(i);
                            CHECK(all.failure(i).has_value() == (i < 64));
                            if (i < 64) {
                                CHECK(all.failure(i)->code() == errc::connection_lost);
                                CHECK(all.failure(i)->sqlstate() == "57P01");
                                CHECK(all.failure(i)->attempts() == 1);
                            }
                        }
                        all.check_table();
                        CHECK((co_await from.statistics()).opened == 2);
                    });
}

TEST_CASE("statements that may run twice are sent again when their connection breaks") {
    sharing_server().execute("TRUNCATE t");
    test::with_pool(sharing_server().connect(), over(1), [](pool& from) -> asio::awaitable<void> {
        const auto executor = co_await asio::this_coro::executor;
        table_lock lock;
        co_await lock.put();
        inserters all(from, 2000, 20);
        for (std::size_t i = 0; i < 20; ++i) {
            all.start(executor, i, [i](statement& sql) {
                if (i % 2 == 0) sql.idempotent();
            });
        }
        co_await await_waiting(sharing_server(), "relation");
        test::terminate_waiting(sharing_server(), "relation");
        co_await all.until_over(10);
        co_await await_waiting(sharing_server(), "relation");
        co_await lock.remove();
        co_await all.until_over(20);
        for (std::size_t i = 0; i < 20; ++i) {
            CAPTURE(i);
            CHECK(all.failure(i).has_value() == (i % 2 == 1));
        }
        CHECK((co_await from.statistics()).retried == 10);
        all.check_table();
    });
}

TEST_CASE("cancelled callers leave at once, and their answers go to nobody") {
    sharing_server().execute("TRUNCATE t");
    test::with_pool(sharing_server().connect(), over(1, 64),
                    [](pool& from) -> asio::awaitable<void> {
                        const auto executor = co_await asio::this_coro::executor;
                        table_lock lock;
                        co_await lock.put();
                        inserters all(from, 3000, 300);
                        std::deque<asio::cancellation_signal> signals(300);
                        for (std::size_t i = 0; i < 300; ++i) {
                            all.start(executor, i, unmarked, signals[i].slot());
                        }
                        co_await await_waiting(sharing_server(), "relation");
                        for (std::size_t i = 0; i < 300; ++i) {
                            if (i % 3 != 0) signals[i].emit(asio::cancellation_type::terminal);
                        }
                        co_await all.until_over(200);
                        CHECK(all.over() == 200);
                        co_await lock.remove();
                        co_await all.until_over(300);
                        for (std::size_t i = 0; i < 300; ++i) {
                            CAPTURE(i);
                            REQUIRE(all.failure(i).has_value() == (i % 3 != 0));
                            if (i % 3 != 0) {
                                CHECK(all.failure(i)->code() == errc::cancelled);
                                CHECK(all.failure(i)->outcome() ==
                                      (i < 64 ? outcome::unknown : outcome::not_sent));
                            }
                        }
                        all.check_table();
                        expect_none(co_await test::ask_often(from, 200));
                        const auto now = co_await from.statistics();
                        CHECK(now.opened == 1);
                        CHECK(now.cancels == 0);
                        CHECK(now.waiting == 0);
                    });
}

TEST_CASE("a deadline is kept behind a statement that waits, and says what is known") {
    sharing_server().execute("TRUNCATE t");
    test::with_pool(
        sharing_server().connect(), over(1, 2), [](pool& from) -> asio::awaitable<void> {
            const auto executor = co_await asio::this_coro::executor;
            table_lock lock;
            co_await lock.put();
            inserters all(from, 4000, 8);
            all.start(executor, 0, unmarked);
            co_await await_waiting(sharing_server(), "relation");
            const auto began = steady_clock::now();
            for (std::size_t i = 1; i < 8; ++i) {
                all.start(executor, i, [](statement& sql) { sql.timeout(150ms); });
            }
            co_await all.until_over(7);
            CHECK(steady_clock::now() - began >= 150ms);
            CHECK(steady_clock::now() - began < 5s);
            std::size_t not_sent = 0;
            for (std::size_t i = 1; i < 8; ++i) {
                CAPTURE(i);
                REQUIRE(all.failure(i));
                CHECK(all.failure(i)->code() == errc::timeout);
                not_sent += all.failure(i)->outcome() == outcome::not_sent;
                CHECK(all.failure(i)->phase() == (all.failure(i)->outcome() == outcome::not_sent
                                                      ? phase::acquiring
                                                      : phase::awaiting_reply));
            }
            CHECK(not_sent >= 6);
            co_await lock.remove();
            co_await all.until_over(8);
            CHECK_FALSE(all.failure(0));
            all.check_table();
        });
}

TEST_CASE("a connection on which nobody waits any more is cut, and its place is free") {
    test::with_pool(sharing_server().connect(), over(1), [](pool& from) -> asio::awaitable<void> {
        table_lock lock;
        co_await lock.put();
        co_await from.query("SELECT 1");  // so that the time of the next is not that of connecting
        const auto stuck = co_await failure_of(from, statement("SELECT * FROM t").timeout(1s));
        REQUIRE(stuck);
        CHECK(stuck->code() == errc::timeout);
        CHECK(stuck->outcome() == outcome::unknown);
        const auto next = co_await from.query(statement("SELECT 1").timeout(10s));
        CHECK(next.one<int>() == 1);
        CHECK((co_await from.statistics()).opened == 2);
        co_await lock.remove();
    });
}

TEST_CASE("a slow statement holds up none that come after it, as long as there is another place") {
    test::with_pool(sharing_server().connect(), over(2), [](pool& from) -> asio::awaitable<void> {
        const auto executor = co_await asio::this_coro::executor;
        table_lock lock;
        co_await lock.put();
        inserters slow(from, 5000, 1);
        slow.start(executor, 0, unmarked);
        co_await await_waiting(sharing_server(), "relation");
        co_await rest(60ms);
        expect_none(co_await test::ask_often(from, 300));
        CHECK(slow.over() == 0);
        co_await lock.remove();
        co_await slow.until_over(1);
    });
}

TEST_CASE("statements that share connections wake a sleeping database, and let it sleep again") {
    test::database db(test::quick_to_sleep());
    pool_options options = over(2);
    options.idle_timeout = 300ms;
    test::with_pool(db.connect, options, [&](pool& from) -> asio::awaitable<void> {
        for (int time = 0; time < 2; ++time) {
            auto one = [&](std::size_t i) -> asio::awaitable<void> {
                const auto answer = co_await from.query("SELECT $1::int", static_cast<int>(i));
                CHECK(answer.one<std::size_t>() == i);
            };
            expect_none(co_await gather(100, one));
            co_await db.server.server().wait_until_asleep(db.name);
        }
        const auto now = co_await from.statistics();
        CHECK(now.used == 0);
        CHECK(now.idle == 0);
    });
}

TEST_CASE("close serves the statements that are there, and refuses later ones") {
    test::run([]() -> asio::awaitable<void> {
        const auto executor = co_await asio::this_coro::executor;
        pool from(executor, sharing_server().connect(), over(1, 8));
        std::size_t answered = 0;
        std::vector<error> failures;
        bool over_now = false;
        auto one = [&](std::size_t) -> asio::awaitable<void> {
            co_await from.query("SELECT pg_sleep(0.002)");
            ++answered;
        };
        auto all = [&]() -> asio::awaitable<void> {
            failures = co_await gather(100, one);
            over_now = true;
        };
        asio::co_spawn(executor, all(), [](const std::exception_ptr& thrown) { CHECK(!thrown); });
        while (answered == 0) {
            co_await rest(1ms);
        }
        co_await from.close();
        while (!over_now) {
            co_await rest(1ms);
        }
        expect_none(failures);
        CHECK(answered == 100);
        const auto refused = co_await failure_of(from, "SELECT 1");
        REQUIRE(refused);
        CHECK(refused->code() == errc::pool_closed);
        CHECK(refused->outcome() == outcome::not_sent);
    });
}

TEST_CASE("close by force tells those in flight and those that wait apart") {
    test::run([]() -> asio::awaitable<void> {
        const auto executor = co_await asio::this_coro::executor;
        pool from(executor, sharing_server().connect(), over(1, 4));
        table_lock lock;
        co_await lock.put();
        inserters all(from, 6000, 10);
        for (std::size_t i = 0; i < 10; ++i) {
            all.start(executor, i, unmarked);
        }
        co_await await_waiting(sharing_server(), "relation");
        std::optional<error> late;
        try {
            co_await from.close(50ms);
        } catch (const error& failure) {
            late = failure;
        }
        REQUIRE(late);
        CHECK(late->code() == errc::timeout);
        co_await all.until_over(10);
        CHECK(all.told(outcome::unknown) == 4);
        CHECK(all.told(outcome::not_sent) == 6);
        co_await lock.remove();
        all.check_table();
    });
}

TEST_CASE("more that wait than may wait are refused") {
    pool_options options = over(1, 4);
    options.max_waiters = 5;
    test::with_pool(sharing_server().connect(), options, [](pool& from) -> asio::awaitable<void> {
        const auto executor = co_await asio::this_coro::executor;
        table_lock lock;
        co_await lock.put();
        inserters all(from, 7000, 20);
        all.start(executor, 0, unmarked);
        co_await await_waiting(sharing_server(), "relation");
        for (std::size_t i = 1; i < 20; ++i) {
            all.start(executor, i, unmarked);
        }
        co_await all.until_over(11);
        const std::size_t refused = all.over();  // three more may have found a place in flight
        CHECK(refused <= 14);
        co_await lock.remove();
        co_await all.until_over(20);
        CHECK(all.told(outcome::not_sent) == refused);
        for (std::size_t i = 0; i < 20; ++i) {
            if (i < 6) {
                CHECK_FALSE(all.failure(i));
            } else if (all.failure(i)) {
                CHECK(all.failure(i)->code() == errc::queue_full);
            }
        }
        all.check_table();
    });
}

TEST_CASE("who waits when the last connection breaks gets another, although none could be had") {
    sharing_server().execute("TRUNCATE t");
    pool_options options = over(2, 1);
    options.max_size = 2;
    options.acquire_timeout = 5s;  // a dial is in it, too
    test::with_pool(sharing_server().connect(), options, [](pool& from) -> asio::awaitable<void> {
        const auto executor = co_await asio::this_coro::executor;
        const pooled_connection held = co_await from.acquire();
        table_lock lock;
        co_await lock.put();
        inserters all(from, 8000, 3);
        all.start(executor, 0, unmarked);
        co_await await_waiting(sharing_server(), "relation");
        all.start(executor, 1, unmarked);  // for which a second connection is asked for in vain
        co_await all.until_over(1);
        REQUIRE(all.failure(1));
        CHECK(all.failure(1)->code() == errc::acquire_timeout);
        while ((co_await from.statistics()).waiting > 0) {
            co_await rest(1ms);
        }
        all.start(executor, 2, unmarked);
        test::terminate_waiting(sharing_server(), "relation");
        co_await all.until_over(2);
        CHECK(all.told(outcome::unknown) == 1);
        co_await lock.remove();
        co_await all.until_over(3);
        CHECK_FALSE(all.failure(2));
        all.check_table();
    });
}

}  // namespace
