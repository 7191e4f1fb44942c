// Types of a database's own, read as what the catalog says they are, never as what they look like.
#include "support/postgres.hpp"
#include "support/values.hpp"

#include <bitdotio/arrays.hpp>
#include <bitdotio/bit_string.hpp>
#include <bitdotio/composites.hpp>
#include <bitdotio/enums.hpp>
#include <bitdotio/pool.hpp>
#include <bitdotio/ranges.hpp>
#include <bitdotio/row_stream.hpp>
#include <bitdotio/transaction.hpp>

#include <array>
#include <chrono>
#include <concepts>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

namespace {

namespace asio = boost::asio;
using namespace bitdotio;
using test::refusal;
using test::says;

// Its superuser may create base types.
test::private_postgres& shared() {
    static test::private_postgres instance;
    return instance;
}

// 1094861636 is "ABCD" in four octets.
constexpr const char* types =
    "CREATE DOMAIN small AS int CHECK (value > 0);"
    "CREATE DOMAIN smaller AS small;"
    "CREATE DOMAIN label AS text;"
    "CREATE DOMAIN labels AS label[];"
    "CREATE TYPE grade AS ENUM ('ABCD', 'E');"
    "CREATE TYPE entry AS (n smaller, l label, g grade, all_of label[]);"
    "CREATE TYPE span AS RANGE (subtype = small);"
    "CREATE TYPE word;"
    "CREATE FUNCTION word_in(cstring) RETURNS word AS 'textin' LANGUAGE internal IMMUTABLE STRICT;"
    "CREATE FUNCTION word_out(word) RETURNS cstring AS 'textout' LANGUAGE internal IMMUTABLE "
    "STRICT;"
    "CREATE FUNCTION word_send(word) RETURNS bytea AS 'textsend' LANGUAGE internal IMMUTABLE "
    "STRICT;"
    "CREATE TYPE word (input = word_in, output = word_out, send = word_send, delimiter = ':');";

asio::awaitable<connection> open_with_types() {
    connection c = co_await connection::open(shared().superuser());
    const auto known = co_await c.query("SELECT to_regtype('word') IS NOT NULL");
    if (!known.one<bool>()) {
        co_await c.script(types);
    }
    co_return c;
}

using texts = std::vector<std::string>;

TEST_CASE("domains read as what they are made of, however deep they are") {
    const auto work = []() -> asio::awaitable<void> {
        connection c = co_await open_with_types();
        const auto column = co_await c.query("SELECT 1094861636::smaller, 'x'::label");
        CHECK(column.one<std::tuple<int, std::string>>() == std::tuple(1094861636, "x"));
        const auto list = co_await c.query("SELECT ARRAY[1094861636, 2]::smaller[]");
        CHECK(list.one<std::vector<int>>() == std::vector{1094861636, 2});
        CHECK(list.one<texts>() == texts{"1094861636", "2"});
        const auto words = co_await c.query("SELECT ARRAY[E'\x01', 'b']::label[], '{c}'::labels");
        CHECK(words.one<std::tuple<texts, texts>>() ==
              std::tuple(texts{std::string(1, '\1'), "b"}, texts{"c"}));
        const auto row =
            co_await c.query("SELECT ROW(1094861636::small, E'\x01'::label, NULL::small)");
        CHECK(row[0][0].as<std::tuple<std::string, std::string, std::optional<int>>>() ==
              std::tuple("1094861636", std::string(1, '\1'), std::nullopt));
        const auto rows = co_await c.query(
            "SELECT ARRAY[ROW(7::smaller, ARRAY['E']::grade[]), ROW(8::smaller, NULL)]");
        using pairs = std::vector<std::tuple<int, std::optional<texts>>>;
        CHECK(rows[0][0].as<pairs>() == pairs{{7, texts{"E"}}, {8, std::nullopt}});
        const auto whole =
            co_await c.query("SELECT ROW(1094861636, 'a', 'ABCD', ARRAY['b'])::entry AS e");
        using entry = std::tuple<int, std::string, std::string, texts>;
        CHECK(whole[0][0].as<entry>() == entry{1094861636, "a", "ABCD", {"b"}});
        using wrong = std::tuple<int, int, std::string, texts>;
        CHECK(says(refusal<wrong>(whole), errc::wrong_type, {"\"e\"", "text", "std::int32_t"}));
        const auto names = co_await c.query(
            "SELECT array_agg(schema_name ORDER BY schema_name) FROM information_schema.schemata "
            "WHERE schema_name = 'public'");
        CHECK(names.one<texts>() == texts{"public"});
    };
    test::run(work());
}

TEST_CASE("what is text in the catalog is text, whatever its characters") {
    const auto work = []() -> asio::awaitable<void> {
        connection c = co_await open_with_types();
        const auto grade = co_await c.query("SELECT 'ABCD'::grade, ARRAY['ABCD', 'E']::grade[]");
        CHECK(grade.one<std::tuple<std::string, texts>>() ==
              std::tuple("ABCD", texts{"ABCD", "E"}));
        CHECK(says(refusal<int>(grade), errc::wrong_type, {"grade", "std::int32_t"}));
        const auto odd = co_await c.query("SELECT E'a\x01'::word, ARRAY[E'\x02']::word[]");
        CHECK(odd.one<std::tuple<std::string, texts>>() ==
              std::tuple(std::string("a\1"), texts{"\2"}));
        const auto entry = co_await c.query("SELECT ROW(1, 'a', 'E', NULL)::entry AS e");
        CHECK(says(refusal<std::string>(entry), errc::wrong_type, {"\"e\"", "entry", "::text"}));
        CHECK(says(refusal<std::vector<int>>(entry), errc::wrong_type, {"entry", "no array"}));
        CHECK(says(refusal<range<int>>(entry), errc::wrong_type, {"entry", "no range"}));
    };
    test::run(work());
}

TEST_CASE("ranges and multiranges of the database's own read in binary") {
    const auto work = []() -> asio::awaitable<void> {
        connection c = co_await open_with_types();
        const auto spans = co_await c.query(
            "SELECT '[1,5)'::span, '{[1,2],[4,5]}'::span_multirange, ARRAY['(3,]']::span[]");
        CHECK(spans[0][0].as<range<int>>() == range<int>{1, 5});
        const multirange<int> two(range<int>{1, 2, true, true}, range<int>{4, 5, true, true});
        CHECK(spans[0][1].as<multirange<int>>() == two);
        const std::vector<range<int>> open{{3, std::nullopt, false, false}};
        CHECK(spans[0][2].as<std::vector<range<int>>>() == open);
    };
    test::run(work());
}

TEST_CASE("arrays in text are cut at their type's own delimiter") {
    const auto work = []() -> asio::awaitable<void> {
        connection c = co_await open_with_types();
        const auto boxes = co_await c.query(
            statement("SELECT ARRAY['(1,1),(0,0)', '(3,3),(2,2)']::box[]").text_results());
        CHECK(boxes.one<texts>() == texts{"(1,1),(0,0)", "(3,3),(2,2)"});
        const auto words = co_await c.query(
            statement("SELECT ARRAY['a,b', 'c:d', 'e']::word[], ARRAY[ARRAY['f'], ARRAY['g']]"
                      "::word[]")
                .text_results());
        CHECK(words[0][0].data() == "{a,b:\"c:d\":e}");
        CHECK(words[0][0].as<texts>() == texts{"a,b", "c:d", "e"});
        CHECK(words[0][1].as<std::vector<texts>>() == std::vector<texts>{{"f"}, {"g"}});
        const auto scripts = co_await c.script("SELECT ARRAY['a,b', 'c']::word[]");
        CHECK(scripts.at(0).one<texts>() == texts{"a,b", "c"});
    };
    test::run(work());
}

TEST_CASE("types are asked for in transactions and pipelines too, and anew after DDL") {
    const auto work = []() -> asio::awaitable<void> {
        connection c = co_await open_with_types();
        pipeline batch;
        batch.add("SELECT ARRAY[$1::int]::small[]", 1094861636)
            .add("SELECT :a::int", named("a", 5));
        auto both = co_await c.run(std::move(batch));
        CHECK(both[0].one<texts>() == texts{"1094861636"});
        CHECK(both[1].one<int>() == 5);
        transaction t = co_await c.begin();
        co_await t.query("CREATE DOMAIN passing AS int");
        const auto made = co_await t.query("SELECT ARRAY[1094861636]::passing[]");
        CHECK(made.one<texts>() == texts{"1094861636"});
        co_await t.query("DROP DOMAIN passing");
        co_await t.query("CREATE DOMAIN passing AS text");
        const auto again = co_await t.query("SELECT ARRAY['ABCD']::passing[]");
        CHECK(again.one<texts>() == texts{"ABCD"});
        co_await t.rollback();
    };
    test::run(work());
}

TEST_CASE("a stream reads types that are known, and refuses to guess others") {
    const auto work = []() -> asio::awaitable<void> {
        connection c = co_await open_with_types();
        const std::string sql = "SELECT ARRAY[1094861636]::small[] AS a, 'E'::grade AS g";
        for (const bool known : {false, true}) {
            CAPTURE(known);
            row_stream rows = co_await c.stream(sql);
            const auto chunk = co_await rows.next();
            REQUIRE(chunk);
            CHECK((*chunk)[0]["g"].as<std::string>() == "E");
            if (known) {
                CHECK((*chunk)[0]["a"].as<texts>() == texts{"1094861636"});
            } else {
                CHECK_THROWS_AS((*chunk)[0]["a"].as<texts>(), error);
            }
            CHECK_FALSE((co_await rows.next()).has_value());
            co_await c.query(sql);
        }
    };
    test::run(work());
}

TEST_CASE("errors while reading claim nothing about the statement") {
    const auto work = []() -> asio::awaitable<void> {
        connection c = co_await open_with_types();
        const auto sum = co_await c.query("SELECT sum(1::bigint) AS s");
        const error found = refusal<std::int64_t>(sum);
        CHECK(says(found, errc::wrong_type, {"\"s\"", "numeric", "::bigint", "sum()"}));
        CHECK(found.outcome() == outcome::none);
        CHECK(found.phase() == phase::none);
        try {
            sum.one<std::tuple<int, int>>();
            FAIL("it has one column");
        } catch (const error& failure) {
            CHECK(failure.outcome() == outcome::none);
        }
    };
    test::run(work());
}

TEST_CASE("values of the library's own types may be made where they are bound") {
    const auto work = []() -> asio::awaitable<void> {
        connection c = co_await open_with_types();
        const std::string longer = "longer than what fits into the string itself";
        const std::vector<bool> bits(100, true);
        const auto bit = co_await c.query("SELECT $1::varbit", bit_string{bits});
        CHECK(bit.one<bit_string>().bits == bits);
        const auto span = co_await c.query("SELECT $1::text", range<std::string>{longer, longer});
        CHECK(span[0][0].data() == "[\"" + longer + "\",\"" + longer + "\")");
        const auto many = co_await c.query(
            "SELECT $1::text", multirange<std::string>(range<std::string>{longer, std::nullopt}));
        CHECK(many[0][0].data() == "{[\"" + longer + "\",)}");
        CHECK((co_await c.query("SELECT :a::text", named("a", range<std::string>{longer, "z"})))
                  .one<std::string>()
                  .starts_with("[\"longer"));
        static_assert(wire::temporary_aggregate<std::array<std::string, 2>>);
        static_assert(!wire::temporary_aggregate<std::array<std::string, 2>&>);
        static_assert(!wire::temporary_aggregate<std::array<int, 2>>);
        static_assert(!wire::temporary_aggregate<multirange<std::string>>);
        static_assert(!wire::temporary_aggregate<bit_string>);
    };
    test::run(work());
}

TEST_CASE("points in time of any clock's unit are timestamps") {
    const auto work = []() -> asio::awaitable<void> {
        using namespace std::chrono;
        connection c = co_await open_with_types();
        const auto now = system_clock::now();
        const auto back = co_await c.query("SELECT $1, $1 = now()", now);
        CHECK(back[0][0].type() == oids::timestamptz);
        CHECK(back[0][0].as<system_clock::time_point>() == round<microseconds>(now));
        const auto seconds =
            co_await c.query("SELECT $1::text", local_seconds(std::chrono::seconds(1)));
        CHECK(seconds.one<std::string>() == "1970-01-01 00:00:01");
        const auto never = co_await c.query("SELECT $1::text, $1", system_clock::time_point::max());
        CHECK(never[0][0].as<std::string>() == "infinity");
        CHECK(never[0][1].as<system_clock::time_point>() == system_clock::time_point::max());
        CHECK(never[0][1].as<sys_seconds>() == sys_seconds::max());
        const auto half = co_await c.query("SELECT '2024-01-01 00:00:00.5+00'::timestamptz AS t");
        CHECK(says(refusal<sys_seconds>(half), errc::wrong_type, {"\"t\"", "lost"}));
        const auto far = co_await c.query("SELECT '9999-01-01'::timestamptz AS t");
        CHECK(says(refusal<system_clock::time_point>(far), errc::wrong_type, {"range"}));
        CHECK(far.one<sys_seconds>() > sys_seconds());
        static_assert(!wire::bindable<steady_clock::time_point>);
        static_assert(!wire::bindable<sys_days>);
        static_assert(!wire::readable<steady_clock::time_point>);
    };
    test::run(work());
}

struct with_view {
    int number;
    std::optional<std::string_view> text;
};
struct without_view {
    int number;
    std::optional<std::string> text;
};

// Whether one can ask a row that is kept in a variable.
template <class Row>
concept asked_later = requires(Row& row) {
    row[0];
};

TEST_CASE("what would dangle does not compile, and what is safe on a temporary does") {
    static_assert(wire::refers_to_result<std::string_view>());
    static_assert(wire::refers_to_result<std::optional<std::string_view>>());
    static_assert(wire::refers_to_result<std::tuple<int, std::string_view>>());
    static_assert(wire::refers_to_result<with_view>());
    static_assert(wire::refers_to_result<std::vector<std::vector<std::string_view>>>());
    static_assert(wire::refers_to_result<std::tuple<std::vector<with_view>>>());
    static_assert(wire::refers_to_result<range<std::string_view>>());
    static_assert(wire::refers_to_result<array_view>());
    static_assert(!wire::refers_to_result<without_view>());
    static_assert(!wire::refers_to_result<std::vector<std::optional<std::string>>>());
    static_assert(!wire::refers_to_result<std::tuple<uuid, timestamptz, bytes, bool>>());
    static_assert(!asked_later<temporary_row>);
    static_assert(asked_later<row_view>);
    const auto work = []() -> asio::awaitable<void> {
        connection c = co_await open_with_types();
        const char* sql = "SELECT 7 AS n, 'text' AS t";
        CHECK((co_await c.query(sql))[0]["t"].as<std::string>() == "text");
        CHECK((co_await c.query(sql)).one<without_view>().text == "text");
        CHECK((co_await c.query(sql)).rows_as<std::tuple<int, std::string>>().size() == 1);
        CHECK((co_await c.query(sql)).maybe_one<without_view>()->number == 7);
        CHECK((co_await c.query(sql))[0].as<without_view>().number == 7);
        const std::string tag = (co_await c.query(sql)).command_tag();
        CHECK(tag == "SELECT 1");
        pipeline batch;
        batch.add(sql).add("SELECT 1/0");
        const pipeline again = batch;
        const result kept = (co_await c.run(std::move(batch)))[0];
        CHECK(kept.size() == 1);
        const auto failure = (co_await c.run(again)).failure(1);
        REQUIRE(failure);
        CHECK(failure->sqlstate() == "22012");
        for (const row_view row : co_await c.query(sql)) {
            CHECK(row["t"].as<std::string_view>() == "text");
        }
    };
    test::run(work());
}

}  // namespace
