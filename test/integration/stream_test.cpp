// Big results in bounded memory, and COPY both ways, against the real server.
#include "support/database.hpp"
#include "support/with_connection.hpp"

#include <bitdotio/pool.hpp>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <malloc.h>
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <exception>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#ifdef __SANITIZE_ADDRESS__
// A function of the sanitizer's run-time library; Debian's g++ comes without its header.
extern "C" std::size_t __sanitizer_get_current_allocated_bytes();
#endif

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

// The bytes allocated at this moment, without the freed ones that a sanitizer keeps.
std::size_t allocated() {
#ifdef __SANITIZE_ADDRESS__
    return __sanitizer_get_current_allocated_bytes();
#else
    return mallinfo2().uordblks;
#endif
}

}  // namespace

TEST_CASE("a stream gives every row once, in order, in chunks no larger than asked") {
    test::with_connection(shared().connect, [](connection& c) -> asio::awaitable<void> {
        row_stream rows =
            co_await c.stream("SELECT i, i::text FROM generate_series(1, $1) i", 5'000);
        int expected = 1;
        std::size_t most = 300;
        while (const std::optional<row_chunk> chunk = co_await rows.next(most)) {
            CHECK(chunk->size() > 0);
            CHECK(chunk->size() <= most);
            most = expected % 3 == 0 ? 7 : expected % 3 == 1 ? 1 : 150;
            for (const auto& [number, text] : chunk->rows_as<std::tuple<int, std::string>>()) {
                CHECK(number == expected);
                CHECK(text == std::to_string(expected));
                ++expected;
            }
        }
        CHECK(expected == 5'001);
        const std::optional<row_chunk> over = co_await rows.next();
        CHECK_FALSE(over);
        co_await expect_well(c);

        row_stream none = co_await c.stream("SELECT 1 WHERE false");
        const std::optional<row_chunk> nothing = co_await none.next();
        CHECK_FALSE(nothing);
        co_await expect_well(c);
    });
}

TEST_CASE("a stream gives typed rows one by one, mixed with chunks") {
    test::with_connection(shared().connect, [](connection& c) -> asio::awaitable<void> {
        using line = std::tuple<int, std::string, std::optional<double>>;
        row_stream rows = co_await c.stream(
            "SELECT i, i::text, CASE WHEN i % 2 = 0 THEN i / 4.0 END::float8 "
            "FROM generate_series(1, 5000) i");
        int expected = 1;
        const auto check = [&](const line& one) {
            CHECK(std::get<0>(one) == expected);
            CHECK(std::get<1>(one) == std::to_string(expected));
            CHECK(std::get<2>(one) ==
                  (expected % 2 == 0 ? std::optional(expected / 4.0) : std::nullopt));
            ++expected;
        };
        while (true) {
            const std::optional<line> one = co_await rows.next_row<line>();
            if (!one) break;
            check(*one);
            if (expected % 7 == 0) {
                const std::optional<row_chunk> some = co_await rows.next(3);
                if (!some) break;
                CHECK(some->size() <= 3);
                for (const line& next : some->rows_as<line>())
                    check(next);
            }
        }
        CHECK(expected == 5'001);
        const std::optional<line> over = co_await rows.next_row<line>();
        CHECK_FALSE(over);
        co_await expect_well(c);
    });
}

TEST_CASE("after a row that does not fit a stream goes on with the next") {
    test::with_connection(shared().connect, [](connection& c) -> asio::awaitable<void> {
        row_stream rows = co_await c.stream(
            "SELECT * FROM (VALUES (1), (NULL), (70000), (4), (5)) some_rows (a)");
        std::vector<std::string> seen;
        while (true) {
            std::optional<error> failure;
            std::optional<std::int16_t> one;
            try {
                if (seen.size() == 3) {
                    using two = std::tuple<int, int>;
                    const std::optional<two> none = co_await rows.next_row<two>();
                    CHECK_FALSE(none);
                } else {
                    one = co_await rows.next_row<std::int16_t>();
                }
            } catch (const error& thrown) {
                failure = thrown;
            }
            if (!failure && !one) break;
            seen.push_back(failure ? failure->what() : std::to_string(*one));
        }
        REQUIRE(seen.size() == 5);
        CHECK(seen[0] == "1");
        CHECK(seen[1] ==
              "column \"a\" (integer) is NULL in row 1, which does not read as short int; read it "
              "as a std::optional");
        CHECK(seen[2].find("70000 is out of its range") != std::string::npos);
        CHECK(seen[3] == "a row has 1 columns, the C++ type 2");
        CHECK(seen[4] == "5");
        co_await expect_well(c);
    });
}

TEST_CASE("a row that cannot be bound leaves nothing of itself in a binary COPY") {
    test::with_connection(shared().connect, [](connection& c) -> asio::awaitable<void> {
        co_await c.script("CREATE TABLE bound (a int, b text)");
        copy_in in = co_await c.copy_from("COPY bound FROM STDIN (FORMAT binary)");
        const std::string cut("a\0b", 3);
        std::string said;
        try {
            co_await in.write_row(1, cut);
        } catch (const error& failure) {
            CHECK(failure.code() == errc::bad_input);
            said = failure.what();
        }
        CHECK(said.starts_with("the text of $2 contains a zero byte"));
        co_await in.write_row(2, nullptr);
        co_await in.write_row(std::optional<int>(), "c");
        const params bound(3, "d");
        co_await in.write_row(bound);
        const std::uint64_t copied = co_await in.finish();
        CHECK(copied == 3);
        const result rows = co_await c.query("SELECT a, b FROM bound ORDER BY b NULLS FIRST");
        using line = std::tuple<std::optional<int>, std::optional<std::string>>;
        const std::vector<line> expected = {{2, std::nullopt}, {std::nullopt, "c"}, {3, "d"}};
        CHECK(rows.rows_as<line>() == expected);
    });
}

TEST_CASE("rows of a stream that was given back are not handed on") {
    test::with_connection(shared().connect, [](connection&) -> asio::awaitable<void> {
        const auto executor = co_await asio::this_coro::executor;
        pool_options options;
        options.max_size = 1;
        pool from(executor, shared().connect, options);
        pooled_connection lent = co_await from.acquire();
        row_stream rows = co_await lent->stream("SELECT generate_series(1, 100)");
        const std::optional<int> first = co_await rows.next_row<int>();
        CHECK(first == 1);
        lent.release();
        const result well = co_await from.query("SELECT 42");  // on the same connection
        CHECK(well.one<int>() == 42);
        errc code{};
        try {
            co_await rows.next_row<int>();
        } catch (const error& failure) {
            code = failure.code();
        }
        CHECK(code == errc::protocol_violated);
        co_await from.close();
    });
}

TEST_CASE("a chunk of large rows is small, and gives each whole") {
    test::with_connection(shared().connect, [](connection& c) -> asio::awaitable<void> {
        row_stream rows = co_await c.stream(
            "SELECT i, repeat(chr(64 + i % 26), 700000) FROM generate_series(1, 40) i");
        const std::size_t before = allocated();
        std::size_t most = 0;
        int count = 0;
        while (const std::optional<row_chunk> chunk = co_await rows.next()) {
            most = std::max(most, allocated());
            for (std::size_t i = 0; i < chunk->size(); ++i) {
                const row_view row = (*chunk)[i];
                ++count;
                CHECK(row[0].as<int>() == count);
                const std::string wanted(700'000, static_cast<char>(64 + count % 26));
                CHECK(row[1].as<std::string_view>() == wanted);
            }
        }
        CHECK(count == 40);
        CHECK(most < before + 8'000'000);
    });
}

TEST_CASE("a big result is streamed in little memory") {
    test::with_connection(shared().connect, [](connection& c) -> asio::awaitable<void> {
        const std::size_t before = allocated();
        std::size_t most = 0;
        std::size_t octets = 0;
        row_stream rows =
            co_await c.stream("SELECT repeat('x', 1000) FROM generate_series(1, 200000)");
        while (const std::optional<row_chunk> chunk = co_await rows.next()) {
            chunk->each(
                [&](const row_view& row) { octets += row[0].as<std::string_view>().size(); });
            most = std::max(most, allocated());
        }
        CHECK(octets == 200'000'000);
        CHECK(most > before);
        CHECK(most < before + 10'000'000);
    });
}

TEST_CASE("an error behind rows comes after them, and the connection stays well") {
    test::with_connection(shared().connect, [](connection& c) -> asio::awaitable<void> {
        row_stream rows = co_await c.stream("SELECT 1 / (100 - i) FROM generate_series(1, 200) i");
        std::size_t count = 0;
        std::string code;
        try {
            while (const std::optional<row_chunk> chunk = co_await rows.next(10)) {
                count += chunk->size();
            }
        } catch (const error& failure) {
            code = failure.sqlstate();
        }
        CHECK(count <= 99);
        CHECK(count >= 90);  // libpq 17 keeps nothing of an unfinished piece
        CHECK(code == "22012");
        const std::optional<row_chunk> over = co_await rows.next();
        CHECK_FALSE(over);
        co_await expect_well(c);
    });
}

TEST_CASE("while a stream is open the connection does nothing else, and dropping it frees it") {
    test::with_connection(shared().connect, [](connection& c) -> asio::awaitable<void> {
        const int pid = c.backend_pid();
        {
            row_stream rows =
                co_await c.stream("SELECT repeat('x', 1000), generate_series(1, 100000000)");
            const std::optional<row_chunk> chunk = co_await rows.next();
            CHECK(chunk);
            errc code{};
            try {
                const result answer = co_await c.query("SELECT 1");
            } catch (const error& failure) {
                code = failure.code();
            }
            CHECK(code == errc::protocol_violated);
            const std::optional<row_chunk> more = co_await rows.next();
            CHECK(more);
        }
        co_await expect_well(c);
        CHECK(c.backend_pid() == pid);
    });
}

TEST_CASE("a stream dropped inside a transaction leaves the transaction alive") {
    test::with_connection(shared().connect, [](connection& c) -> asio::awaitable<void> {
        co_await c.script("BEGIN; CREATE TABLE alive (a int)");
        {
            row_stream rows = co_await c.stream("SELECT i FROM generate_series(1, 100000) i");
            const std::optional<row_chunk> chunk = co_await rows.next(1);
            CHECK(chunk);
        }
        const result inserted = co_await c.query("INSERT INTO alive VALUES (1)");
        CHECK(inserted.affected_rows() == 1);
        co_await c.script("ROLLBACK");
    });
}

TEST_CASE("a stream past its deadline is stopped and the connection kept") {
    test::with_connection(shared().connect, [](connection& c) -> asio::awaitable<void> {
        const int pid = c.backend_pid();
        row_stream rows = co_await c.stream(statement("SELECT pg_sleep(30)").timeout(200ms));
        errc code{};
        try {
            const std::optional<row_chunk> chunk = co_await rows.next();
        } catch (const error& failure) {
            code = failure.code();
            CHECK(failure.outcome() == outcome::not_executed);
        }
        CHECK(code == errc::timeout);
        co_await expect_well(c);
        CHECK(c.backend_pid() == pid);
    });
}

TEST_CASE("COPY takes lines in and gives them out") {
    test::with_connection(shared().connect, [](connection& c) -> asio::awaitable<void> {
        co_await c.script("CREATE TABLE lines (a int, b text)");
        for (const std::string options : {"", " (FORMAT csv)"}) {
            const std::string comma = options.empty() ? "\t" : ",";
            copy_in in = co_await c.copy_from("COPY lines FROM STDIN" + options);
            std::string expected;
            for (int i = 0; i < 20'000; ++i) {
                std::string line = std::to_string(i) + comma + "row " + std::to_string(i) + "\n";
                expected += line;
                const std::size_t half = line.size() / 2;  // bytes may end anywhere
                if (i % 100 == 0) {
                    co_await in.write(line.substr(0, half));
                    line.erase(0, half);
                }
                co_await in.write(std::move(line));
            }
            const std::uint64_t count = co_await in.finish();
            CHECK(count == 20'000);

            copy_out out = co_await c.copy_to("COPY lines TO STDOUT" + options);
            std::string text;
            while (const std::optional<std::string> piece = co_await out.next()) {
                CHECK(piece->back() == '\n');
                text += *piece;
            }
            CHECK(text == expected);
            co_await c.script("TRUNCATE lines");
        }
        co_await c.script("DROP TABLE lines");
        co_await expect_well(c);
    });
}

TEST_CASE("COPY takes typed rows in binary") {
    test::with_connection(shared().connect, [](connection& c) -> asio::awaitable<void> {
        co_await c.script("CREATE TABLE typed (a int, b text, c float8)");
        copy_in in = co_await c.copy_from("COPY typed FROM STDIN (FORMAT binary)");
        for (int i = 0; i < 50'000; ++i) {
            const std::optional<double> third = i % 2 ? std::optional(i / 2.0) : std::nullopt;
            co_await in.write_row(i, std::to_string(i), third);
        }
        const std::uint64_t count = co_await in.finish();
        CHECK(count == 50'000);
        const result sums = co_await c.query(
            "SELECT sum(a)::int8, count(c), count(*) FILTER (WHERE b = a::text) "
            "FROM typed");
        const auto [sum, halves, same] =
            sums.one<std::tuple<std::int64_t, std::int64_t, std::int64_t>>();
        CHECK(sum == std::int64_t{50'000} * 49'999 / 2);
        CHECK(halves == 25'000);
        CHECK(same == 50'000);

        copy_in empty = co_await c.copy_from("COPY typed FROM STDIN (FORMAT binary)");
        const std::uint64_t none = co_await empty.finish();
        CHECK(none == 0);
        copy_in text = co_await c.copy_from("COPY typed FROM STDIN");
        CHECK_THROWS_AS(text.write_row(1, "a", 1.0), error);
        co_await text.cancel("no more");
        co_await c.script("DROP TABLE typed");
    });
}

TEST_CASE("COPY gives typed rows out of binary") {
    struct line {
        int a;
        std::string b;
        std::optional<double> c;
    };
    test::with_connection(shared().connect, [](connection& c) -> asio::awaitable<void> {
        copy_out out = co_await c.copy_to(
            "COPY (SELECT i, i::text, CASE WHEN i % 2 = 0 THEN i / 2.0::float8 END "
            "FROM generate_series(0, 29999) i) TO STDOUT (FORMAT binary)");
        int expected = 0;
        while (const std::optional<line> row = co_await out.next_row<line>()) {
            CHECK(row->a == expected);
            CHECK(row->b == std::to_string(expected));
            CHECK(row->c.has_value() == (expected % 2 == 0));
            ++expected;
        }
        CHECK(expected == 30'000);
        co_await expect_well(c);

        copy_out none = co_await c.copy_to("COPY (SELECT 1 WHERE false) TO STDOUT (FORMAT binary)");
        const std::optional<int> nothing = co_await none.next_row<int>();
        CHECK_FALSE(nothing);
        co_await expect_well(c);

        errc code{};
        try {
            copy_out wrong =
                co_await c.copy_to("COPY (SELECT 1::int8, 2) TO STDOUT (FORMAT binary)");
            const std::optional<int> narrow = co_await wrong.next_row<int>();
            CHECK_FALSE(narrow);
        } catch (const error& failure) {
            code = failure.code();
        }
        CHECK(code == errc::unexpected_shape);
        copy_out lines = co_await c.copy_to("COPY (SELECT 1) TO STDOUT");
        try {
            const std::optional<int> text = co_await lines.next_row<int>();
            CHECK_FALSE(text);
        } catch (const error& failure) {
            code = failure.code();
        }
        CHECK(code == errc::bad_input);
    });
}

TEST_CASE("a COPY that fails, is given up or dropped copies nothing and leaves a clean session") {
    test::with_connection(shared().connect, [](connection& c) -> asio::awaitable<void> {
        const int pid = c.backend_pid();
        co_await c.script("CREATE TABLE nothing (a int)");

        copy_in malformed = co_await c.copy_from("COPY nothing FROM STDIN");
        std::string code;
        std::string context;
        try {
            co_await malformed.write("1\n2\nnonsense\n");
            for (int i = 0; i < 20'000; ++i) {  // the refusal may come while rows are sent
                co_await malformed.write("4\n");
            }
            const std::uint64_t count = co_await malformed.finish();
            CHECK(count == 0);
        } catch (const error& failure) {
            code = failure.sqlstate();
            context = failure.server().context;
            CHECK(failure.outcome() == outcome::not_executed);
        }
        CHECK(code == "22P02");
        CHECK(context.find("line 3") != std::string::npos);
        co_await expect_well(c);

        copy_in given_up = co_await c.copy_from("COPY nothing FROM STDIN");
        co_await given_up.write("1\n");
        co_await given_up.cancel("changed our mind");
        co_await expect_well(c);

        {
            copy_in dropped = co_await c.copy_from("COPY nothing FROM STDIN");
            co_await dropped.write("1\n");
        }
        {
            copy_out dropped =
                co_await c.copy_to("COPY (SELECT generate_series(1, 100000000)) TO STDOUT");
            const std::optional<std::string> piece = co_await dropped.next();
            CHECK(piece);
        }
        const result count = co_await c.query("SELECT count(*)::int FROM nothing");
        CHECK(count.one<int>() == 0);
        CHECK(c.backend_pid() == pid);

        for (const bool in : {true, false}) {
            errc refused{};
            try {
                if (in) {
                    const copy_in wrong = co_await c.copy_from("COPY nothing TO STDOUT");
                } else {
                    const copy_out wrong = co_await c.copy_to("COPY nothing FROM STDIN");
                }
            } catch (const error& failure) {
                refused = failure.code();
            }
            CHECK(refused == errc::bad_input);
            co_await expect_well(c);
        }
        std::string unknown;
        try {
            const copy_in wrong = co_await c.copy_from("COPY no_such_table FROM STDIN");
        } catch (const error& failure) {
            unknown = failure.sqlstate();
        }
        CHECK(unknown == "42P01");
        co_await c.script("DROP TABLE nothing");
        CHECK(c.backend_pid() == pid);
    });
}

// Cancels its caller, then continues with one of the streams; the caller keeps the handle.
asio::awaitable<void> go_on_cancelled(std::string way, row_stream& rows, copy_in& in, copy_out& out,
                                      asio::cancellation_signal& signal,
                                      std::optional<error>& failure) {
    co_await asio::this_coro::throw_if_cancelled(false);
    signal.emit(asio::cancellation_type::terminal);
    try {
        if (way == "next row") {
            co_await rows.next();
        } else if (way == "write") {
            co_await in.write("2\n");
        } else if (way == "finish") {
            co_await in.finish();
        } else if (way == "cancel") {
            co_await in.cancel("changed our mind");
        } else {
            co_await out.next();
        }
    } catch (const error& told) {
        failure = told;
    }
}

TEST_CASE("a stream whose caller gave up before going on with it frees its connection") {
    test::run([]() -> asio::awaitable<void> {
        const auto executor = co_await asio::this_coro::executor;
        connection for_rows = co_await connection::open(shared().connect);
        connection for_in = co_await connection::open(shared().connect);
        connection for_out = co_await connection::open(shared().connect);
        co_await for_rows.script("CREATE TABLE begun (a int)");
        const std::string endless = "SELECT repeat('x', 1000), generate_series(1, 100000000)";
        for (const std::string way : {"next row", "write", "finish", "cancel", "next piece"}) {
            CAPTURE(way);
            row_stream rows = co_await for_rows.stream(endless);
            copy_in in = co_await for_in.copy_from("COPY begun FROM STDIN");
            co_await in.write("1\n");
            copy_out out = co_await for_out.copy_to("COPY (" + endless + ") TO STDOUT");
            std::optional<error> failure;
            asio::cancellation_signal signal;
            asio::steady_timer ended(executor, asio::steady_timer::time_point::max());
            bool has_ended = false;  // it may end before anybody waits for it
            const auto on_end = [&](std::exception_ptr) {
                has_ended = true;
                ended.cancel();
            };
            auto going_on = go_on_cancelled(way, rows, in, out, signal, failure);
            asio::co_spawn(executor, std::move(going_on),
                           asio::bind_cancellation_slot(signal.slot(), on_end));
            boost::system::error_code ignored;
            if (!has_ended) {
                co_await ended.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
            }
            REQUIRE(failure);
            CHECK(failure->code() == errc::cancelled);
            CHECK(failure->outcome() == outcome::not_sent);
            if (way == "next row") {
                co_await expect_well(for_rows);
            } else if (way == "next piece") {
                co_await expect_well(for_out);
            } else {
                const result none = co_await for_in.query("SELECT count(*)::int FROM begun");
                CHECK(none.one<int>() == 0);
            }
        }
        co_await for_in.script("DROP TABLE begun");  // for_in's COPY still holds it
    });
}

TEST_CASE("a COPY past its deadline when it ends has copied nothing") {
    test::with_connection(shared().connect, [](connection& c) -> asio::awaitable<void> {
        co_await c.script(
            "CREATE TABLE slow (a int); "
            "CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN PERFORM pg_sleep(30); RETURN NULL; END $$; "
            "CREATE TRIGGER waiting AFTER INSERT ON slow EXECUTE FUNCTION wait()");
        for (const bool finishing : {true, false}) {
            CAPTURE(finishing);
            copy_in in = co_await c.copy_from(statement("COPY slow FROM STDIN").timeout(200ms));
            co_await in.write("1\n");
            std::optional<error> failure;
            try {
                if (finishing) {
                    co_await in.finish();
                } else {
                    co_await in.cancel("changed our mind");
                }
            } catch (const error& told) {
                failure = told;
            }
            CHECK(failure.has_value() == finishing);
            if (failure) {
                CHECK(failure->code() == errc::timeout);
                CHECK(failure->outcome() == outcome::not_executed);
            }
            const result none = co_await c.query("SELECT count(*)::int FROM slow");
            CHECK(none.one<int>() == 0);
        }
        co_await c.script("DROP TABLE slow; DROP FUNCTION wait");
    });
}

TEST_CASE("what a pool gets back with a stream open is clean for the next borrower") {
    pool_options options;
    options.max_size = 1;
    options.return_timeout = 60s;  // a busy machine needs long to read what is on its way
    connect_options where = shared().connect;
    where.cancel_timeout = 60s;
    test::with_pool(where, options, [&](pool& p) -> asio::awaitable<void> {
        for (int i = 0; i < 3; ++i) {
            pooled_connection lent = co_await p.acquire();
            row_stream rows =
                co_await lent->stream("SELECT generate_series(1, 100000000), pg_backend_pid()");
            const std::optional<row_chunk> chunk = co_await rows.next();
            CHECK(chunk);
        }
        const result answer = co_await p.query("SELECT 42");
        CHECK(answer.one<int>() == 42);
        const pool_statistics now = co_await p.statistics();
        CHECK(now.opened == 1);
    });
}

TEST_CASE("the first statement of a pipeline after a stream has all of its rows") {
    test::with_connection(shared().connect, [](connection& c) -> asio::awaitable<void> {
        const statement sql("SELECT generate_series(1, $1)");
        const result prepared = co_await c.query(sql, 2);
        CHECK(prepared.size() == 2);
        row_stream rows = co_await c.stream("SELECT 1");
        while (true) {
            const std::optional<row_chunk> chunk = co_await rows.next();
            if (!chunk) {
                break;
            }
        }
        pipeline both;
        both.add(sql, 3).add(sql, 4);
        const pipeline_results answers = co_await c.run(std::move(both));
        CHECK(answers[0].size() == 3);
        CHECK(answers[1].size() == 4);
    });
}
