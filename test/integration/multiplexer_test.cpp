// Statements of many callers on few connections: whose answer is whose, and what needs a connection
// of its own.
#include "support/database.hpp"
#include "support/gather.hpp"
#include "support/pgbouncer.hpp"
#include "support/pool_use.hpp"
#include "support/sharing.hpp"
#include "support/with_connection.hpp"

#include <bitdotio/arrays.hpp>
#include <bitdotio/pool.hpp>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

namespace {

namespace asio = boost::asio;
using namespace std::chrono_literals;
using namespace bitdotio;
using test::expect_none;
using test::failure_of;
using test::gather;
using test::over;
using test::sharing_server;

TEST_CASE("a thousand callers on two connections each get their own answer") {
    test::with_pool(sharing_server().connect(), over(2), [](pool& from) -> asio::awaitable<void> {
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
    test::with_pool(sharing_server().connect(), over(1), [](pool& from) -> asio::awaitable<void> {
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
    sharing_server().execute(
        "CREATE TABLE grows (a integer); INSERT INTO grows VALUES (7); "
        "GRANT ALL ON grows TO tester");
    pool_options options = over(1);
    // While the thread waits for ALTER the connection may have gone back, and be on its way.
    options.max_size = 1;
    test::with_pool(sharing_server().connect(), options, [](pool& from) -> asio::awaitable<void> {
        for (int columns = 1; columns < 4; ++columns) {
            auto one = [&](std::size_t) -> asio::awaitable<void> {
                const auto answer = co_await from.query("SELECT * FROM grows WHERE a = $1", 7);
                CHECK(answer.column_count() == static_cast<std::size_t>(columns));
            };
            expect_none(co_await gather(40, one));
            expect_none(co_await gather(40, one));
            sharing_server().execute("ALTER TABLE grows ADD COLUMN b" + std::to_string(columns) +
                                     " text");
        }
        CHECK((co_await from.statistics()).opened == 1);
    });
}

TEST_CASE("values of a database's own types are read by those who asked for them") {
    sharing_server().execute(
        "CREATE TYPE mood AS ENUM ('sad', 'happy'); CREATE DOMAIN age AS integer; "
        "CREATE TYPE pair AS (a integer, b mood)");
    test::with_pool(sharing_server().connect(), over(1), [](pool& from) -> asio::awaitable<void> {
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
    test::with_pool(sharing_server().connect(), over(1), [](pool& from) -> asio::awaitable<void> {
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

TEST_CASE("who needs a connection of its own gets one, although statements share all there are") {
    pool_options options = over(1);
    options.max_size = 1;
    options.acquire_timeout = 10s;  // sooner than a shared connection goes back in any case
    test::with_pool(sharing_server().connect(), options, [](pool& from) -> asio::awaitable<void> {
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
    connect_options wrong = sharing_server().connect();
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
        test::pgbouncer pooler(sharing_server(), mode);
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
    asio::co_spawn(
        *io, ask(pool(io->get_executor(), sharing_server().connect(), over(1)), std::move(kept)),
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
