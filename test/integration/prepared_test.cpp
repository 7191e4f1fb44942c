// The statements a connection keeps prepared, against the real server.
#include "support/database.hpp"
#include "support/with_connection.hpp"

#include <boost/asio/this_coro.hpp>

#include <chrono>
#include <string>

using namespace bitdotio;
using namespace std::chrono_literals;
namespace asio = boost::asio;

namespace {

test::database& shared() {
    static test::database one;
    return one;
}

// How many of this library's statements are prepared on the connection.
asio::awaitable<int> prepared(connection& c) {
    statement count(
        "SELECT count(*)::int FROM pg_prepared_statements WHERE name LIKE 'bitdotio_%'");
    count.unprepared();
    const result answer = co_await c.query(count);
    co_return answer.one<int>();
}

}  // namespace

TEST_CASE("a statement run twice is prepared, and answers the same") {
    test::with_connection(shared().connect, [](connection& c) -> asio::awaitable<void> {
        for (int i = 0; i < 5; ++i) {
            const result answer = co_await c.query("SELECT $1::int + 1", i);
            CHECK(answer.one<int>() == i + 1);
            const int count = co_await prepared(c);
            CHECK(count == (i == 0 ? 0 : 1));
        }
        // The same text with a parameter of another type is another statement.
        const result answer = co_await c.query("SELECT $1::int + 1", std::int64_t{7});
        CHECK(answer.one<int>() == 8);
        const int count = co_await prepared(c);
        CHECK(count == 1);
    });
}

TEST_CASE("no more stay prepared than the option says, the server's memory included") {
    connect_options options = shared().connect;
    options.statement_cache_size = 3;
    test::with_connection(options, [&](connection& c) -> asio::awaitable<void> {
        for (int i = 0; i < 30; ++i) {
            const std::string sql = "SELECT " + std::to_string(i % 10);
            const result first = co_await c.query(sql);
            const result second = co_await c.query(sql);
            CHECK(second.one<int>() == i % 10);
            const int count = co_await prepared(c);
            CHECK(count <= 4);  // the evicted one goes with the next that is prepared
        }
        const int count = co_await prepared(c);
        CHECK(count >= 3);
    });
}

TEST_CASE("with the cache off, and for statements marked so, nothing is prepared") {
    connect_options off = shared().connect;
    off.statement_cache_size = 0;
    connect_options brief = shared().connect;
    brief.statement_cache_max_length = 5;
    for (const connect_options& options : {off, brief}) {
        test::with_connection(options, [](connection& c) -> asio::awaitable<void> {
            for (int i = 0; i < 3; ++i) {
                const result answer = co_await c.query("SELECT 1");
            }
            const int count = co_await prepared(c);
            CHECK(count == 0);
        });
    }
    test::with_connection(shared().connect, [](connection& c) -> asio::awaitable<void> {
        for (int i = 0; i < 3; ++i) {
            const result answer = co_await c.query(statement("SELECT 1").unprepared());
        }
        const int count = co_await prepared(c);
        CHECK(count == 0);
    });
}

TEST_CASE("a prepared statement survives a table that changed under it") {
    test::with_connection(shared().connect, [](connection& c) -> asio::awaitable<void> {
        co_await c.script("CREATE TABLE changing (a int); INSERT INTO changing VALUES (1)");
        for (int i = 0; i < 3; ++i) {
            const result answer = co_await c.query("SELECT * FROM changing");
            CHECK(answer.column_count() == 1);
        }
        co_await c.script("ALTER TABLE changing ADD b text DEFAULT 'new'");
        const result wider = co_await c.query("SELECT * FROM changing");
        CHECK(wider.column_count() == 2);
        CHECK(wider[0]["b"].as<std::string>() == "new");

        // Inside a transaction the refusal has ended it: the caller gets the error.
        for (int i = 0; i < 3; ++i) {
            const result answer = co_await c.query("SELECT * FROM changing");
        }
        co_await c.script("BEGIN; ALTER TABLE changing ADD c int");
        bool refused = false;
        try {
            const result answer = co_await c.query("SELECT * FROM changing");
        } catch (const error& failure) {
            refused = failure.sqlstate() == "0A000" && failure.outcome() == outcome::not_executed;
        }
        CHECK(refused);
        co_await c.script("ROLLBACK; DROP TABLE changing");
    });
}

TEST_CASE("0A000 of another cause is told and not run again") {
    test::with_connection(shared().connect, [](connection& c) -> asio::awaitable<void> {
        int refused = 0;
        for (int i = 0; i < 3; ++i) {
            try {
                const result answer = co_await c.query(
                    "SELECT xmlparse(document '<a/>') FROM generate_series(1, 2) FOR UPDATE "
                    "OF nothing");
            } catch (const error&) {
                ++refused;
            }
        }
        CHECK(refused == 3);
    });
}

TEST_CASE("what others deallocate is prepared anew without the caller noticing") {
    for (const char* forget : {"DEALLOCATE ALL", "DISCARD ALL",
                               "DO $$ DECLARE s text; BEGIN FOR s IN SELECT name FROM "
                               "pg_prepared_statements LOOP EXECUTE format('DEALLOCATE %I', s); "
                               "END LOOP; END $$"}) {
        CAPTURE(forget);
        test::with_connection(shared().connect, [&](connection& c) -> asio::awaitable<void> {
            for (int round = 0; round < 4; ++round) {
                for (int i = 0; i < 3; ++i) {
                    const result answer = co_await c.query("SELECT $1::text", "same");
                    CHECK(answer.one<std::string>() == "same");
                }
                co_await c.script(forget);
            }
        });
    }
}

TEST_CASE("a statement that fails stays prepared, one that cannot be prepared fails each time") {
    test::with_connection(shared().connect, [](connection& c) -> asio::awaitable<void> {
        for (int i = 0; i < 4; ++i) {
            std::string code;
            try {
                const result answer = co_await c.query("SELECT 1 / $1::int", 0);
            } catch (const error& failure) {
                code = failure.sqlstate();
            }
            CHECK(code == "22012");
            code.clear();
            try {
                const result answer = co_await c.query("SELECT nonsense");
            } catch (const error& failure) {
                code = failure.sqlstate();
            }
            CHECK(code == "42703");
        }
        const result answer = co_await c.query("SELECT 1 / $1::int", 1);
        CHECK(answer.one<int>() == 1);
        const int count = co_await prepared(c);
        CHECK(count == 1);
    });
}

TEST_CASE("a prepared statement past its deadline is stopped and the connection kept") {
    test::with_connection(shared().connect, [](connection& c) -> asio::awaitable<void> {
        const int pid = c.backend_pid();
        for (int i = 0; i < 4; ++i) {
            errc code{};
            try {
                const result answer =
                    co_await c.query(statement("SELECT pg_sleep($1)").timeout(100ms), 30.0);
            } catch (const error& failure) {
                code = failure.code();
            }
            CHECK(code == errc::timeout);
        }
        const result answer = co_await c.query("SELECT 1");
        CHECK(answer.one<int>() == 1);
        CHECK(c.backend_pid() == pid);
    });
}
