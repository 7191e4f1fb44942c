// Statements of many callers on few connections: whose answer is whose, and what each is told when
// others fail, wait, leave or lose the connection they share.
#include "support/database.hpp"
#include "support/gather.hpp"
#include "support/lock_barrier.hpp"
#include "support/pgbouncer.hpp"
#include "support/pool_use.hpp"
#include "support/with_connection.hpp"

#include <bitdotio/arrays.hpp>
#include <bitdotio/pool.hpp>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <deque>
#include <exception>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <sstream>
#include <string>
#include <string_view>
#include <tuple>
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
using test::rest;

test::postgres_primary& shared() {
    static test::postgres_primary instance;
    static const bool made = [] {
        instance.execute("CREATE TABLE t (a integer); GRANT ALL ON t TO tester");
        return true;
    }();
    REQUIRE(made);
    return instance;
}

pool_options over(std::size_t connections, std::size_t in_flight = 64) {
    pool_options options;
    options.multiplex = multiplexing(connections, in_flight);
    return options;
}

// A lock that each statement on the table `t` waits for.
class table_lock {
public:
    asio::awaitable<void> put() {
        holder_ = co_await connection::open(shared().connect());
        co_await holder_.script("BEGIN; LOCK TABLE t IN ACCESS EXCLUSIVE MODE");
    }
    asio::awaitable<void> remove() { co_await holder_.script("COMMIT"); }

private:
    connection holder_;
};

// The numbers in the table, each as often as it is there.
std::map<int, int> table_rows() {
    std::map<int, int> found;
    std::istringstream all(shared().value("SELECT coalesce(string_agg(a::text, ' '), '') FROM t"));
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

TEST_CASE("a thousand callers on two connections each get their own answer") {
    test::with_pool(shared().connect(), over(2), [](pool& from) -> asio::awaitable<void> {
        std::set<int> backends;
        auto one = [&](std::size_t i) -> asio::awaitable<void> {
            for (int time = 0; time < 3; ++time) {
                const int asked = static_cast<int>(i) * 10 + time;
                const std::string text(i % 50, 'x');
                const auto answer =
                    co_await from.query("SELECT $1::int, $2::text, pg_backend_pid()", asked, text);
                const auto [number, echo, backend] =
                    answer.one<std::tuple<int, std::string, int>>();
                CHECK(number == asked);
                CHECK(echo == text);
                backends.insert(backend);
                const auto touched =
                    co_await from.execute("SELECT 1 FROM generate_series(1, $1)", time);
                CHECK(touched == static_cast<std::uint64_t>(time));
            }
        };
        expect_none(co_await gather(1000, one));
        CHECK(backends.size() == 2);
        const auto now = co_await from.statistics();
        CHECK(now.opened <= 2);
        CHECK(now.waiting == 0);
    });
}

TEST_CASE("what one caller's statement fails with is nobody else's") {
    test::with_pool(shared().connect(), over(1), [](pool& from) -> asio::awaitable<void> {
        auto one = [&](std::size_t i) -> asio::awaitable<void> {
            std::optional<error> failure;
            int answer = 0;
            try {
                switch (i % 4) {
                    case 0:
                        answer = (co_await from.query("SELECT 100 / $1::int", 0)).one<int>();
                        break;
                    case 1:
                        answer = (co_await from.query("SELECT nothing FROM t")).one<int>();
                        break;
                    case 2:
                        answer = (co_await from.query("SELECT $1::int + 1", 1, 2)).one<int>();
                        break;
                    default:
                        answer =
                            (co_await from.query("SELECT $1::int", static_cast<int>(i))).one<int>();
                }
            } catch (const error& thrown) {
                failure = thrown;
            }
            if (i % 4 == 3) {
                CHECK_FALSE(failure);
                CHECK(answer == static_cast<int>(i));
                co_return;
            }
            REQUIRE(failure);
            CHECK(failure->attempts() == 1);
            if (i % 4 == 2) {
                CHECK(failure->code() == errc::bad_input);
                CHECK(failure->outcome() == outcome::not_sent);
            } else {
                CHECK(failure->sqlstate() == (i % 4 == 0 ? "22012" : "42703"));
                CHECK(failure->outcome() == outcome::not_executed);
            }
        };
        expect_none(co_await gather(400, one));
        CHECK((co_await from.statistics()).opened == 1);
    });
}

TEST_CASE("prepared statements that go out of date are run again, and nobody notices") {
    shared().execute(
        "CREATE TABLE grows (a integer); INSERT INTO grows VALUES (7); "
        "GRANT ALL ON grows TO tester");
    test::with_pool(shared().connect(), over(1), [](pool& from) -> asio::awaitable<void> {
        for (int columns = 1; columns < 4; ++columns) {
            auto one = [&](std::size_t) -> asio::awaitable<void> {
                const auto answer = co_await from.query("SELECT * FROM grows WHERE a = $1", 7);
                CHECK(answer.column_count() == static_cast<std::size_t>(columns));
            };
            expect_none(co_await gather(40, one));
            expect_none(co_await gather(40, one));
            shared().execute("ALTER TABLE grows ADD COLUMN b" + std::to_string(columns) + " text");
        }
        CHECK((co_await from.statistics()).opened <= 2);
    });
}

TEST_CASE("values of a database's own types are read by those who asked for them") {
    shared().execute(
        "CREATE TYPE mood AS ENUM ('sad', 'happy'); CREATE DOMAIN age AS integer; "
        "CREATE TYPE pair AS (a integer, b mood)");
    test::with_pool(shared().connect(), over(1), [](pool& from) -> asio::awaitable<void> {
        auto one = [&](std::size_t i) -> asio::awaitable<void> {
            const std::string wanted = i % 2 == 0 ? "sad" : "happy";
            const auto answer = co_await from.query("SELECT $1::mood, ARRAY[$1::mood]", wanted);
            const auto [mood, all] =
                answer.one<std::tuple<std::string, std::vector<std::string>>>();
            CHECK(mood == wanted);
            CHECK(all == std::vector{wanted});
        };
        expect_none(co_await gather(60, one));
    });
}

TEST_CASE("a session is changed on a connection of its own, and transactions have theirs") {
    test::with_pool(shared().connect(), over(1), [](pool& from) -> asio::awaitable<void> {
        const char* const ask = "SELECT current_setting('application_name'), pg_backend_pid()";
        using answer = std::tuple<std::string, int>;
        auto changes = [&](std::size_t i) -> asio::awaitable<void> {
            if (i % 3 == 0) {
                co_await from.query("SET application_name TO 'changed'");
            } else if (i % 3 == 1) {
                co_await from.query("SELECT set_config('application_name', 'changed', false)");
            } else {
                transaction open = co_await from.begin();
                co_await open.query("SET LOCAL application_name TO 'changed'");
                co_await open.query("INSERT INTO t VALUES (-1)");
                co_await open.rollback();
            }
        };
        auto reads = [&](std::size_t) -> asio::awaitable<void> {
            for (int time = 0; time < 20; ++time) {
                const auto [name, backend] = (co_await from.query(ask)).one<answer>();
                CHECK(name != "changed");
                const auto seen = co_await from.query("SELECT count(*) FROM t WHERE a = -1");
                CHECK(seen.one<int>() == 0);
            }
        };
        auto both = [&](std::size_t i) -> asio::awaitable<void> {
            return i % 2 == 0 ? changes(i / 2) : reads(i);
        };
        expect_none(co_await gather(30, both));
    });
}

TEST_CASE("a connection that breaks with 64 in flight tells each caller what is true for it") {
    shared().execute("TRUNCATE t");
    test::with_pool(shared().connect(), over(1, 64), [](pool& from) -> asio::awaitable<void> {
        const auto executor = co_await asio::this_coro::executor;
        table_lock lock;
        co_await lock.put();
        inserters all(from, 1000, 110);
        for (std::size_t i = 0; i < 100; ++i) {
            all.start(executor, i, unmarked);
        }
        co_await await_waiting(shared(), "relation");
        test::terminate_waiting(shared(), "relation");
        co_await all.until_over(64);
        // The others have moved on, and those that may run twice are among the next to be lost.
        for (std::size_t i = 100; i < 110; ++i) {
            all.start(executor, i, [](statement& sql) { sql.idempotent(); });
        }
        co_await await_waiting(shared(), "relation");
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
    shared().execute("TRUNCATE t");
    test::with_pool(shared().connect(), over(1), [](pool& from) -> asio::awaitable<void> {
        const auto executor = co_await asio::this_coro::executor;
        table_lock lock;
        co_await lock.put();
        inserters all(from, 2000, 20);
        for (std::size_t i = 0; i < 20; ++i) {
            all.start(executor, i, [i](statement& sql) {
                if (i % 2 == 0) sql.idempotent();
            });
        }
        co_await await_waiting(shared(), "relation");
        test::terminate_waiting(shared(), "relation");
        co_await all.until_over(10);
        co_await await_waiting(shared(), "relation");
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
    shared().execute("TRUNCATE t");
    test::with_pool(shared().connect(), over(1, 64), [](pool& from) -> asio::awaitable<void> {
        const auto executor = co_await asio::this_coro::executor;
        table_lock lock;
        co_await lock.put();
        inserters all(from, 3000, 300);
        std::deque<asio::cancellation_signal> signals(300);
        for (std::size_t i = 0; i < 300; ++i) {
            all.start(executor, i, unmarked, signals[i].slot());
        }
        co_await await_waiting(shared(), "relation");
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
                CHECK(all.failure(i)->outcome() == (i < 64 ? outcome::unknown : outcome::not_sent));
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
    shared().execute("TRUNCATE t");
    test::with_pool(shared().connect(), over(1, 2), [](pool& from) -> asio::awaitable<void> {
        const auto executor = co_await asio::this_coro::executor;
        table_lock lock;
        co_await lock.put();
        inserters all(from, 4000, 8);
        all.start(executor, 0, unmarked);
        co_await await_waiting(shared(), "relation");
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
    test::with_pool(shared().connect(), over(1), [](pool& from) -> asio::awaitable<void> {
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
    test::with_pool(shared().connect(), over(2), [](pool& from) -> asio::awaitable<void> {
        const auto executor = co_await asio::this_coro::executor;
        table_lock lock;
        co_await lock.put();
        inserters slow(from, 5000, 1);
        slow.start(executor, 0, unmarked);
        co_await await_waiting(shared(), "relation");
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
        pool from(executor, shared().connect(), over(1, 8));
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
        pool from(executor, shared().connect(), over(1, 4));
        table_lock lock;
        co_await lock.put();
        inserters all(from, 6000, 10);
        for (std::size_t i = 0; i < 10; ++i) {
            all.start(executor, i, unmarked);
        }
        co_await await_waiting(shared(), "relation");
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
    test::with_pool(shared().connect(), options, [](pool& from) -> asio::awaitable<void> {
        const auto executor = co_await asio::this_coro::executor;
        table_lock lock;
        co_await lock.put();
        inserters all(from, 7000, 20);
        all.start(executor, 0, unmarked);
        co_await await_waiting(shared(), "relation");
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
    shared().execute("TRUNCATE t");
    pool_options options = over(2, 1);
    options.max_size = 2;
    options.acquire_timeout = 5s;  // a dial is in it, too
    test::with_pool(shared().connect(), options, [](pool& from) -> asio::awaitable<void> {
        const auto executor = co_await asio::this_coro::executor;
        const pooled_connection held = co_await from.acquire();
        table_lock lock;
        co_await lock.put();
        inserters all(from, 8000, 3);
        all.start(executor, 0, unmarked);
        co_await await_waiting(shared(), "relation");
        all.start(executor, 1, unmarked);  // for which a second connection is asked for in vain
        co_await all.until_over(1);
        REQUIRE(all.failure(1));
        CHECK(all.failure(1)->code() == errc::acquire_timeout);
        while ((co_await from.statistics()).waiting > 0) {
            co_await rest(1ms);
        }
        all.start(executor, 2, unmarked);
        test::terminate_waiting(shared(), "relation");
        co_await all.until_over(2);
        CHECK(all.told(outcome::unknown) == 1);
        co_await lock.remove();
        co_await all.until_over(3);
        CHECK_FALSE(all.failure(2));
        all.check_table();
    });
}

TEST_CASE("who needs a connection of its own gets one, although statements share all there are") {
    pool_options options = over(1);
    options.max_size = 1;
    options.acquire_timeout = 10s;  // sooner than a shared connection goes back in any case
    test::with_pool(shared().connect(), options, [](pool& from) -> asio::awaitable<void> {
        std::size_t begun = 0;
        std::size_t wanted = 3;
        auto work = [&](std::size_t i) -> asio::awaitable<void> {
            if (i < 2) {
                while (begun < wanted) {
                    co_await from.query("SELECT 1");
                }
                co_return;
            }
            try {
                for (; begun < wanted; ++begun) {
                    co_await from.query("SELECT 1");
                    transaction own = co_await from.begin();
                    co_await own.execute("SELECT 1");
                    co_await own.commit();
                }
            } catch (const error&) {
                wanted = 0;
                throw;
            }
        };
        expect_none(co_await gather(3, work));
        CHECK(begun == 3);
    });
}

TEST_CASE("a pool that cannot connect tells all callers why") {
    connect_options wrong = shared().connect();
    wrong.password = "wrong";
    test::with_pool(wrong, over(2), [](pool& from) -> asio::awaitable<void> {
        auto one = [&](std::size_t) -> asio::awaitable<void> {
            const auto failure = co_await failure_of(from, "SELECT 1");
            REQUIRE(failure);
            CHECK(failure->code() == errc::authentication_failed);
            CHECK(failure->outcome() == outcome::not_sent);
        };
        expect_none(co_await gather(100, one));
    });
}

// Tells of warnings.
struct warnings : pool_observer {
    void warned(std::string_view words) override { all.emplace_back(words); }
    std::vector<std::string> all;
};

TEST_CASE("behind PgBouncer statements do not share connections, and none is confused") {
    for (const test::pooling mode : {test::pooling::session, test::pooling::transaction}) {
        CAPTURE(static_cast<int>(mode));
        test::pgbouncer pooler(shared(), mode);
        pool_options options = over(2);
        options.max_size = 10;
        const auto heard = std::make_shared<warnings>();
        options.observer = heard;
        test::with_pool(pooler.connect(), options, [&](pool& from) -> asio::awaitable<void> {
            auto one = [&](std::size_t i) -> asio::awaitable<void> {
                for (int time = 0; time < 5; ++time) {
                    const auto failure = co_await failure_of(from, "SELECT 1 / 0");
                    REQUIRE(failure);
                    CHECK(failure->sqlstate() == "22012");
                    const auto answer = co_await from.query("SELECT $1::int", static_cast<int>(i));
                    CHECK(answer.one<std::size_t>() == i);
                }
            };
            expect_none(co_await gather(100, one));
            CHECK(heard->all.size() == 1);
            pooler.stop();
            pooler.start();
            auto again = [&](std::size_t i) -> asio::awaitable<void> {
                const auto answer = co_await from.query(statement("SELECT $1::int").read_only(),
                                                        static_cast<int>(i));
                CHECK(answer.one<std::size_t>() == i);
            };
            expect_none(co_await gather(50, again));
        });
    }
}

TEST_CASE("a caller whose executor ends before its statement is looked at ends with it") {
    auto io = std::make_unique<asio::io_context>();
    auto kept = std::make_shared<int>();
    const std::weak_ptr<int> left = kept;
    auto ask = [](pool from, std::shared_ptr<int>) -> asio::awaitable<void> {
        co_await from.query("SELECT 1");
    };
    asio::co_spawn(*io, ask(pool(io->get_executor(), shared().connect(), over(1)), std::move(kept)),
                   asio::detached);
    io->poll_one();
    REQUIRE_FALSE(left.expired());
    io.reset();
    CHECK(left.expired());
}

TEST_CASE("options of multiplexing that cannot be are refused by name") {
    struct row {
        std::size_t connections;
        std::size_t in_flight;
        session_reset reset;
    };
    const row table[] = {{0, 1, session_reset::smart},
                         {101, 1, session_reset::smart},
                         {1, 0, session_reset::smart},
                         {1, 1, session_reset::always}};
    for (const row& one : table) {
        pool_options options = over(one.connections, one.in_flight);
        options.reset = one.reset;
        try {
            options.check();
            FAIL("it was taken");
        } catch (const error& failure) {
            CHECK(failure.code() == errc::bad_input);
            CHECK(std::string(failure.what()).find("multiplex") != std::string::npos);
        }
    }
}

}  // namespace
