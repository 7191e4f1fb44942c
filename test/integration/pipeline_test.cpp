// Many statements in one trip, against the real server.
#include "support/database.hpp"
#include "support/with_connection.hpp"

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

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

asio::awaitable<void> expect_well(connection& c) {
    const result answer = co_await c.query("SELECT 42");
    CHECK(answer.one<int>() == 42);
}

}  // namespace

TEST_CASE("the statements of a pipeline answer in their order, typed as alone") {
    test::with_connection(shared().connect, [](connection& c) -> asio::awaitable<void> {
        for (int round = 0; round < 4; ++round) {  // unnamed, prepared on the way, prepared
            pipeline batch;
            for (int i = 0; i < 100; ++i) {
                batch.add("SELECT $1::int, $2::text", i, std::to_string(i));
            }
            batch.add("SELECT now()").add("SELECT 1.5::float8");
            const pipeline_results results = co_await c.run(batch);
            REQUIRE(results.size() == 102);
            CHECK(results.succeeded());
            for (int i = 0; i < 100; ++i) {
                const auto [number, text] =
                    results[static_cast<std::size_t>(i)].one<std::tuple<int, std::string>>();
                CHECK(number == i);
                CHECK(text == std::to_string(i));
            }
            CHECK(results[101].one<double>() == 1.5);
        }
        const pipeline_results nothing = co_await c.run(pipeline());
        CHECK(nothing.size() == 0);
        co_await expect_well(c);
    });
}

TEST_CASE("with a sync for each statement one's error touches no other") {
    test::with_connection(shared().connect, [](connection& c) -> asio::awaitable<void> {
        co_await c.script("CREATE TABLE each (a int PRIMARY KEY)");
        for (int round = 0; round < 3; ++round) {
            pipeline batch;
            batch.add("INSERT INTO each VALUES ($1)", round * 2)
                .add("INSERT INTO each VALUES ($1)", round * 2)
                .add("SELECT broken")
                .add("INSERT INTO each VALUES ($1)", round * 2 + 1);
            const pipeline_results results = co_await c.run(batch);
            CHECK_FALSE(results.succeeded());
            CHECK(results.failure(0) == nullptr);
            REQUIRE(results.failure(1) != nullptr);
            CHECK(results.failure(1)->sqlstate() == "23505");
            CHECK(results.failure(1)->outcome() == outcome::not_executed);
            REQUIRE(results.failure(2) != nullptr);
            CHECK(results.failure(2)->sqlstate() == "42703");
            CHECK(results[3].affected_rows() == 1);
            CHECK_THROWS_AS(results[1], error);
            CHECK_THROWS_AS(results[4], error);
        }
        const result count = co_await c.query("SELECT count(*)::int FROM each");
        CHECK(count.one<int>() == 6);
        co_await c.script("DROP TABLE each");
    });
}

TEST_CASE("a transactional pipeline leaves all or nothing behind") {
    test::with_connection(shared().connect, [](connection& c) -> asio::awaitable<void> {
        co_await c.script("CREATE TABLE once (a int PRIMARY KEY)");
        for (int round = 0; round < 3; ++round) {
            pipeline good(pipeline_sync::once);
            good.add("INSERT INTO once VALUES ($1)", round * 2)
                .add("INSERT INTO once VALUES ($1)", round * 2 + 1);
            const pipeline_results both = co_await c.run(good);
            CHECK(both.succeeded());
            CHECK(both[1].affected_rows() == 1);

            pipeline bad(pipeline_sync::once);
            bad.add("INSERT INTO once VALUES ($1)", 100)
                .add("INSERT INTO once VALUES ($1)", 0)
                .add("INSERT INTO once VALUES ($1)", 101);
            const pipeline_results none = co_await c.run(bad);
            REQUIRE(none.failure(0) != nullptr);
            CHECK(none.failure(0)->outcome() == outcome::not_executed);
            CHECK(std::string(none.failure(0)->what()).find("statement 1") != std::string::npos);
            REQUIRE(none.failure(1) != nullptr);
            CHECK(none.failure(1)->sqlstate() == "23505");
            CHECK(none.failure(2) != nullptr);
        }
        const result count = co_await c.query("SELECT count(*)::int FROM once");
        CHECK(count.one<int>() == 6);
        co_await c.script("DROP TABLE once");
    });
}

TEST_CASE("a constraint checked only at the end fails what it covers") {
    test::with_connection(shared().connect, [](connection& c) -> asio::awaitable<void> {
        co_await c.script("CREATE TABLE late (a int, UNIQUE (a) DEFERRABLE INITIALLY DEFERRED)");
        pipeline each;
        each.add("INSERT INTO late VALUES (1)")
            .add("INSERT INTO late VALUES (1)")
            .add("INSERT INTO late VALUES (2)");
        const pipeline_results some = co_await c.run(each);
        CHECK(some.failure(0) == nullptr);
        REQUIRE(some.failure(1) != nullptr);
        CHECK(some.failure(1)->sqlstate() == "23505");
        CHECK(some.failure(2) == nullptr);

        pipeline once(pipeline_sync::once);
        once.add("INSERT INTO late VALUES (3)").add("INSERT INTO late VALUES (3)");
        const pipeline_results none = co_await c.run(once);
        REQUIRE(none.failure(0) != nullptr);
        REQUIRE(none.failure(1) != nullptr);
        CHECK(none.failure(1)->sqlstate() == "23505");

        // The same for a single statement: its row count came first, the refusal after it.
        std::string code;
        try {
            const result answer = co_await c.query("INSERT INTO late VALUES (1)");
        } catch (const error& failure) {
            code = failure.sqlstate();
        }
        CHECK(code == "23505");
        const result count = co_await c.query("SELECT count(*)::int FROM late");
        CHECK(count.one<int>() == 2);
        co_await c.script("DROP TABLE late");
    });
}

TEST_CASE("statements and answers larger than all buffers pass each other") {
    test::with_connection(shared().connect, [](connection& c) -> asio::awaitable<void> {
        const std::string big(60'000, 'x');
        for (const pipeline_sync sync : {pipeline_sync::each_statement, pipeline_sync::once}) {
            pipeline batch(sync);
            for (int i = 0; i < 600; ++i) {
                batch.add("SELECT $1::text", big);
            }
            const pipeline_results results = co_await c.run(std::move(batch));
            CHECK(results.succeeded());
            CHECK(results[599].one<std::string_view>() == big);
        }
        co_await expect_well(c);
    });
}

TEST_CASE("past its deadline the rest of a pipeline is stopped and the connection kept") {
    test::with_connection(shared().connect, [](connection& c) -> asio::awaitable<void> {
        const int pid = c.backend_pid();
        for (const pipeline_sync sync : {pipeline_sync::each_statement, pipeline_sync::once}) {
            pipeline batch(sync);
            batch.timeout(200ms).add("SELECT 1").add("SELECT pg_sleep(30)").add("SELECT 2");
            const pipeline_results results = co_await c.run(batch);
            REQUIRE(results.failure(1) != nullptr);
            CHECK(results.failure(1)->code() == errc::timeout);
            CHECK(results.failure(1)->outcome() == outcome::not_executed);
            CHECK((results.failure(0) == nullptr) == (sync == pipeline_sync::each_statement));
            co_await expect_well(c);
            CHECK(c.backend_pid() == pid);
        }
    });
}

TEST_CASE("a connection lost midway tells for each statement what is known") {
    test::with_connection(shared().connect, [](connection& c) -> asio::awaitable<void> {
        pipeline batch;
        batch.add("SELECT 1").add("SELECT pg_terminate_backend(pg_backend_pid())").add("SELECT 3");
        const pipeline_results results = co_await c.run(batch);
        CHECK(results[0].one<int>() == 1);
        REQUIRE(results.failure(2) != nullptr);
        CHECK(results.failure(2)->code() == errc::connection_lost);
        CHECK(results.failure(2)->outcome() == outcome::unknown);
        CHECK_FALSE(c.is_open());
    });
}

TEST_CASE("in an open transaction a pipeline belongs to it") {
    test::with_connection(shared().connect, [](connection& c) -> asio::awaitable<void> {
        co_await c.script("CREATE TABLE inside (a int)");
        co_await c.script("BEGIN");
        pipeline batch;
        batch.add("INSERT INTO inside VALUES (1)").add("INSERT INTO inside VALUES (2)");
        const pipeline_results results = co_await c.run(batch);
        CHECK(results.succeeded());
        co_await c.script("ROLLBACK");
        const result count = co_await c.query("SELECT count(*)::int FROM inside");
        CHECK(count.one<int>() == 0);
        co_await c.script("DROP TABLE inside");
    });
}

TEST_CASE("COPY in a pipeline and what cannot be sent are refused by name") {
    test::with_connection(shared().connect, [](connection& c) -> asio::awaitable<void> {
        pipeline broken;
        broken.add("SELECT 1").add(std::string("SELECT '\0'", 11));
        errc code{};
        try {
            const pipeline_results results = co_await c.run(broken);
        } catch (const error& failure) {
            code = failure.code();
        }
        CHECK(code == errc::bad_input);
        co_await expect_well(c);

        pipeline copies;
        copies.add("SELECT 1").add("COPY (SELECT 1) TO STDOUT").add("SELECT 3");
        const pipeline_results results = co_await c.run(copies);
        REQUIRE(results.failure(1) != nullptr);
        CHECK(results.failure(1)->code() == errc::bad_input);
        CHECK(std::string(results.failure(1)->what()).find("copy_out") != std::string::npos);
    });
}
