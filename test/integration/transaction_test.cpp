// Transactions, nested ones, cursors and large objects, against the real server.
#include "support/database.hpp"
#include "support/postgres.hpp"
#include "support/with_connection.hpp"

#include <bitdotio/cursor.hpp>
#include <bitdotio/large_object.hpp>
#include <bitdotio/pool.hpp>
#include <bitdotio/quoting.hpp>

#include <boost/asio/this_coro.hpp>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

using namespace bitdotio;
namespace asio = boost::asio;

namespace {

test::database& shared() {
    static test::database one;
    return one;
}

// The error of an operation, or nothing.
template <class T>
asio::awaitable<std::optional<error>> failure_of(asio::awaitable<T> work) {
    try {
        co_await std::move(work);
    } catch (const error& failure) {
        co_return failure;
    }
    co_return std::nullopt;
}

asio::awaitable<std::int64_t> rows_of(connection& c, std::string table) {
    const result answer = co_await c.query("SELECT count(*) FROM " + quote_identifier(table));
    co_return answer.one<std::int64_t>();
}

}  // namespace

TEST_CASE("a transaction has the isolation and access it was begun with") {
    test::with_connection(shared().connect, [](connection& c) -> asio::awaitable<void> {
        transaction_options options;
        options.isolation = isolation_level::serializable;
        options.read_only = true;
        options.deferrable = true;
        transaction t = co_await c.begin(options);
        const result how = co_await t.query(
            "SELECT current_setting('transaction_isolation'), "
            "current_setting('transaction_read_only'), "
            "current_setting('transaction_deferrable')");
        const auto [isolation, read_only, deferrable] =
            how.one<std::tuple<std::string, std::string, std::string>>();
        CHECK(isolation == "serializable");
        CHECK(read_only == "on");
        CHECK(deferrable == "on");
        const auto refused = co_await failure_of(t.query("CREATE TABLE never (a int)"));
        REQUIRE(refused);
        CHECK(refused->sqlstate() == "25006");
    });
}

TEST_CASE("transactions that contradict each other are told as a conflict") {
    test::with_connection(shared().connect, [](connection& one) -> asio::awaitable<void> {
        connection other = co_await connection::open(shared().connect);
        co_await one.script(
            "CREATE TABLE doctors (on_call bool); "
            "INSERT INTO doctors VALUES (true), (true)");
        transaction_options options;
        options.isolation = isolation_level::serializable;
        transaction first = co_await one.begin(options);
        transaction second = co_await other.begin(options);
        const result seen = co_await first.query("SELECT count(*) FROM doctors WHERE on_call");
        const result also = co_await second.query("SELECT count(*) FROM doctors WHERE on_call");
        const std::uint64_t changed =
            co_await first.execute("UPDATE doctors SET on_call = false WHERE ctid = '(0,1)'");
        CHECK(changed == 1);
        const auto late = co_await failure_of(
            second.execute("UPDATE doctors SET on_call = false WHERE ctid = '(0,2)'"));
        const auto lost = co_await failure_of(first.commit());
        std::optional<error> conflict = late ? late : lost;
        if (!conflict) {
            conflict = co_await failure_of(second.commit());
        }
        REQUIRE(conflict);
        CHECK(conflict->code() == errc::transaction_conflict);
        CHECK(conflict->sqlstate() == "40001");
        co_await one.script("DROP TABLE IF EXISTS doctors");
    });
}

TEST_CASE("a nested transaction ends alone, in every way") {
    test::with_connection(shared().connect, [](connection& c) -> asio::awaitable<void> {
        co_await c.script("CREATE TABLE nested (a int)");
        transaction outer = co_await c.begin();
        co_await outer.execute("INSERT INTO nested VALUES (1)");
        {
            transaction inner = co_await outer.begin();
            co_await inner.execute("INSERT INTO nested VALUES (2)");
            const auto silent = co_await failure_of(outer.execute("SELECT 1"));
            REQUIRE(silent);
            CHECK(silent->code() == errc::protocol_violated);
            const auto not_yet = co_await failure_of(outer.commit());
            REQUIRE(not_yet);
            CHECK(not_yet->code() == errc::protocol_violated);
            co_await inner.commit();
            const auto over = co_await failure_of(inner.execute("SELECT 1"));
            REQUIRE(over);
        }
        {
            transaction inner = co_await outer.begin();
            co_await inner.execute("INSERT INTO nested VALUES (3)");
            const auto broken = co_await failure_of(inner.execute("SELECT broken"));
            REQUIRE(broken);
            co_await inner.rollback();
        }
        {
            transaction dropped = co_await outer.begin();
            co_await dropped.execute("INSERT INTO nested VALUES (4)");
            transaction deeper = co_await dropped.begin();
            const auto broken = co_await failure_of(deeper.execute("SELECT broken"));
            REQUIRE(broken);
        }
        co_await outer.execute("INSERT INTO nested VALUES (5)");
        {
            transaction dropped = co_await outer.begin();
            co_await dropped.execute("INSERT INTO nested VALUES (6)");
        }
        co_await outer.commit();
        const result kept =
            co_await c.query("SELECT string_agg(a::text, ',' ORDER BY a) FROM nested");
        CHECK(kept.one<std::string>() == "1,2,5");
        co_await c.script("DROP TABLE nested");
    });
}

TEST_CASE("an outer transaction dropped or rolled back takes the nested one along") {
    test::with_connection(shared().connect, [](connection& c) -> asio::awaitable<void> {
        co_await c.script("CREATE TABLE along (a int)");
        std::optional<transaction> inner;
        {
            transaction outer = co_await c.begin();
            inner.emplace(co_await outer.begin());
            co_await inner->execute("INSERT INTO along VALUES (1)");
        }
        const auto orphan = co_await failure_of(inner->execute("SELECT 1"));
        REQUIRE(orphan);
        CHECK(orphan->code() == errc::protocol_violated);
        inner.reset();
        const std::int64_t rows = co_await rows_of(c, "along");
        CHECK(rows == 0);
        co_await c.script("DROP TABLE along");
    });
}

TEST_CASE("a pool gets a connection with dropped nested transactions back clean") {
    pool_options options;
    options.max_size = 1;
    test::with_pool(shared().connect, options, [&](pool& p) -> asio::awaitable<void> {
        for (int i = 0; i < 3; ++i) {
            transaction outer = co_await p.begin();
            transaction inner = co_await outer.begin();
            co_await inner.execute("CREATE TABLE never (a int)");
        }
        const result none = co_await p.query("SELECT to_regclass('never') IS NULL");
        CHECK(none.one<bool>());
        const pool_statistics now = co_await p.statistics();
        CHECK(now.opened == 1);
        CHECK(now.rolled_back == 3);
    });
}

// The prepared transactions, which wait for the second phase.
asio::awaitable<std::vector<std::string>> prepared_ones(connection& c) {
    const result found = co_await c.query("SELECT gid FROM pg_prepared_xacts ORDER BY gid");
    co_return found.rows_as<std::string>();
}

TEST_CASE("a transaction prepared on one connection is committed or rolled back on another") {
    test::private_postgres_options options;
    options.settings = "max_prepared_transactions = 2";
    test::private_postgres server(options);
    server.run("CREATE TABLE twice (a int)");
    test::run([&]() -> asio::awaitable<void> {
        pool p(co_await asio::this_coro::executor, server.superuser());
        for (const int number : {1, 2}) {
            transaction t = co_await p.begin();
            co_await t.execute("INSERT INTO twice VALUES ($1)", number);
            co_await t.execute("PREPARE TRANSACTION " + quote_literal(std::to_string(number)));
        }
        const pool_statistics now = co_await p.statistics();
        CHECK(now.opened == 1);
        CHECK(now.rolled_back == 0);
        co_await p.close();

        connection other = co_await connection::open(server.superuser());
        const std::int64_t none = co_await rows_of(other, "twice");
        CHECK(none == 0);
        const std::vector<std::string> both = co_await prepared_ones(other);
        CHECK(both == std::vector<std::string>{"1", "2"});
        co_await other.execute("COMMIT PREPARED '1'");
        co_await other.script("ROLLBACK PREPARED '2'");
        const result kept = co_await other.query("SELECT a FROM twice");
        CHECK(kept.one<int>() == 1);
        const auto again = co_await failure_of(other.execute("COMMIT PREPARED '1'"));
        REQUIRE(again);
        CHECK(again->sqlstate() == "42704");
        CHECK(again->outcome() == outcome::not_executed);
    });
}

TEST_CASE("to prepare or commit a failed transaction is an error however it is said") {
    test::private_postgres_options options;
    options.settings = "max_prepared_transactions = 2";
    test::private_postgres server(options);
    test::with_connection(server.superuser(), [&](connection& c) -> asio::awaitable<void> {
        const auto in_pipeline = [&](std::string sql) -> asio::awaitable<std::uint64_t> {
            pipeline batch;
            batch.add(sql);
            const pipeline_results results = co_await c.run(std::move(batch));
            co_return results[0].affected_rows();
        };
        for (const std::string sql : {"PREPARE TRANSACTION 'one'", "COMMIT", "end"}) {
            CAPTURE(sql);
            for (const int way : {0, 1, 2}) {
                CAPTURE(way);
                co_await c.script("BEGIN");
                const auto cause = co_await failure_of(c.execute("SELECT 1 / 0"));
                REQUIRE(cause);
                std::optional<error> failure;
                if (way == 0) {
                    failure = co_await failure_of(c.execute(sql));
                } else if (way == 1) {
                    failure = co_await failure_of(c.script(sql));
                } else {
                    failure = co_await failure_of(in_pipeline(sql));
                }
                REQUIRE(failure);
                CHECK(failure->code() == errc::query_failed);
                CHECK(failure->sqlstate() == "22012");
                CHECK(failure->outcome() == outcome::not_executed);
                const result well =
                    co_await c.query("SELECT pg_current_xact_id_if_assigned()::text");
                CHECK(well.one<std::optional<std::string>>() == std::nullopt);
            }
        }
        const std::vector<std::string> none = co_await prepared_ones(c);
        CHECK(none.empty());
        const auto nothing_open = co_await c.script("COMMIT");
        CHECK(nothing_open.size() == 1);
    });
}

TEST_CASE("a script inside a transaction is undone with it, and ends with its own savepoint") {
    test::with_pool(shared().connect, [](pool& p) -> asio::awaitable<void> {
        {
            transaction t = co_await p.begin();
            const std::vector<result> answers = co_await t.script(
                "CREATE TABLE migrated (a int); INSERT INTO migrated VALUES (1), (2); "
                "SELECT a FROM migrated ORDER BY a");
            REQUIRE(answers.size() == 3);
            CHECK(answers[1].affected_rows() == 2);
            CHECK(answers[2].rows_as<int>() == std::vector<int>{1, 2});
            transaction inner = co_await t.begin();
            const auto broken =
                co_await failure_of(inner.script("DELETE FROM migrated; SELECT 1 / 0"));
            REQUIRE(broken);
            CHECK(broken->sqlstate() == "22012");
            CHECK(broken->outcome() == outcome::not_executed);
            co_await inner.rollback();
            const result kept = co_await t.query("SELECT count(*)::int FROM migrated");
            CHECK(kept.one<int>() == 2);
        }
        const result gone = co_await p.query("SELECT to_regclass('migrated') IS NULL");
        CHECK(gone.one<bool>());
    });
}

TEST_CASE("values bind by name") {
    test::with_connection(shared().connect, [](connection& c) -> asio::awaitable<void> {
        const result answer = co_await c.query("SELECT :name::text || ':id', :id::int + :id::int",
                                               named("id", 5), named("name", std::string("a")));
        const auto [text, number] = answer.one<std::tuple<std::string, int>>();
        CHECK(text == "a:id");
        CHECK(number == 10);
        CHECK_THROWS_AS(c.query("SELECT :x", named("y", 1)), error);
    });
}

TEST_CASE("percent signs and backslashes mean themselves, beside values and in them") {
    test::with_connection(shared().connect, [](connection& c) -> asio::awaitable<void> {
        const result answer = co_await c.query(
            "SELECT $1::text LIKE '100\\%%' AND 7 % 4 = 3, $1::text LIKE $2, $3::text", "100% wool",
            "%\\% w_ol", "C:\\new\\'%s'");
        const auto [beside, pattern, path] = answer.one<std::tuple<bool, bool, std::string>>();
        CHECK(beside);
        CHECK(pattern);
        CHECK(path == "C:\\new\\'%s'");
    });
}

TEST_CASE("quoted names and literals mean themselves to the server") {
    test::with_connection(shared().connect, [](connection& c) -> asio::awaitable<void> {
        for (const std::string odd :
             {"plain", "My \"Table\"", "a.b", "; DROP TABLE x; --", "ü\\'"}) {
            CAPTURE(odd);
            const std::string table = quote_identifier({"public", odd});
            co_await c.script("CREATE TABLE " + table + " (a int)");
            co_await c.script("COMMENT ON TABLE " + table + " IS " + quote_literal(odd));
            const result said = co_await c.query(
                "SELECT obj_description(oid, 'pg_class') FROM pg_class WHERE relname = $1", odd);
            CHECK(said.one<std::string>() == odd);
            co_await c.script("DROP TABLE " + table);
        }
    });
}

TEST_CASE("a cursor gives a big result in portions, in binary, in both directions") {
    test::with_connection(shared().connect, [](connection& c) -> asio::awaitable<void> {
        transaction t = co_await c.begin();
        cursor forward =
            co_await cursor::open(t, "SELECT i FROM generate_series(1, $1) i", 100'000);
        int expected = 1;
        while (true) {
            const result portion = co_await forward.fetch(7'000);
            if (portion.empty()) break;
            for (const int number : portion.rows_as<int>()) {
                CHECK(number == expected);
                ++expected;
            }
            const result between = co_await t.query("SELECT 1");
            CHECK(between.one<int>() == 1);
        }
        CHECK(expected == 100'001);
        co_await forward.close();

        cursor scroll = co_await cursor::open_scroll(t, "SELECT i FROM generate_series(1, 10) i");
        const std::uint64_t moved = co_await scroll.move(5);
        CHECK(moved == 5);
        const result back = co_await scroll.fetch_backward(2);
        CHECK(back.rows_as<int>() == std::vector<int>{4, 3});
        const result on = co_await scroll.fetch(1);
        CHECK(on.one<int>() == 4);
        co_await t.commit();
        const auto over = co_await failure_of(scroll.fetch(1));
        REQUIRE(over);
        CHECK(over->code() == errc::protocol_violated);
        const result well = co_await c.query("SELECT 1");
        CHECK(well.one<int>() == 1);
    });
}

TEST_CASE("a cursor keeps what its statement said of text results and time") {
    test::with_connection(shared().connect, [](connection& c) -> asio::awaitable<void> {
        transaction t = co_await c.begin();
        cursor points = co_await cursor::open(
            t, statement("SELECT point(i, $1) FROM generate_series(1, 3) i").text_results(), 5);
        const result first = co_await points.fetch(2);
        CHECK(first.rows_as<std::string>() == std::vector<std::string>{"(1,5)", "(2,5)"});
        cursor slow = co_await cursor::open(
            t, statement("SELECT pg_sleep(30)").timeout(std::chrono::milliseconds(200)));
        const auto failure = co_await failure_of(slow.fetch(1));
        REQUIRE(failure);
        CHECK(failure->code() == errc::timeout);
    });
}

TEST_CASE(
    "cursors that others made are read by their names, and WITH HOLD outlives its transaction") {
    test::with_connection(shared().connect, [](connection& c) -> asio::awaitable<void> {
        co_await c.script(
            "CREATE FUNCTION opened() RETURNS refcursor LANGUAGE plpgsql AS "
            "$$ DECLARE a refcursor := 'An \"odd\" one'; "
            "BEGIN OPEN a FOR SELECT generate_series(1, 3); RETURN a; END $$");
        transaction t = co_await c.begin();
        const result opened = co_await t.query("SELECT opened()::text");
        const std::string name = quote_identifier(opened.one<std::string>());
        const result all = co_await t.query("FETCH ALL FROM " + name);
        CHECK(all.rows_as<int>() == std::vector<int>{1, 2, 3});
        co_await t.execute("DECLARE held CURSOR WITH HOLD FOR SELECT generate_series(1, 3)");
        co_await t.commit();

        const result held = co_await c.query("FETCH 2 FROM held");
        CHECK(held.rows_as<int>() == std::vector<int>{1, 2});
        const auto gone = co_await failure_of(c.query("FETCH 1 FROM " + name));
        REQUIRE(gone);
        CHECK(gone->sqlstate() == "34000");
        co_await c.script("CLOSE held; DROP FUNCTION opened");
    });
}

TEST_CASE("a large object is written, read, sought beyond 2 GiB, cut and removed") {
    test::with_connection(shared().connect, [](connection& c) -> asio::awaitable<void> {
        transaction t = co_await c.begin();
        const oid number = co_await large_object::create(t);
        large_object object =
            co_await large_object::open(t, number, large_object::mode::read_write);
        bytes data(3'000'000);
        for (std::size_t i = 0; i < data.size(); ++i) {
            data[i] = static_cast<std::byte>(i * 7);
        }
        co_await object.write(data);
        co_await object.seek(0);
        bytes back;
        while (true) {
            const bytes piece = co_await object.read(1'000'000);
            if (piece.empty()) break;
            back.insert(back.end(), piece.begin(), piece.end());
        }
        CHECK(back == data);

        const std::int64_t far = std::int64_t{3} << 30;
        const std::int64_t position = co_await object.seek(far);
        CHECK(position == far);
        const bytes one(1, std::byte{42});
        co_await object.write(one);
        const std::int64_t behind = co_await object.tell();
        CHECK(behind == far + 1);
        co_await object.truncate(10);
        const std::int64_t end = co_await object.seek(0, large_object::origin::end);
        CHECK(end == 10);
        co_await object.close();
        co_await t.commit();

        transaction again = co_await c.begin();
        co_await large_object::unlink(again, number);
        const auto gone =
            co_await failure_of(large_object::open(again, number, large_object::mode::read));
        REQUIRE(gone);
        CHECK(gone->sqlstate() == "42704");
    });
}
