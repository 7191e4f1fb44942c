// Arrays: containers sent and read back, dimensions, bounds, NULL elements, and what is refused.
#include "support/values.hpp"
#include "support/with_connection.hpp"

#include <bitdotio/arrays.hpp>
#include <bitdotio/calendar.hpp>

#include <array>
#include <limits>
#include <string>
#include <tuple>
#include <vector>

namespace {

namespace asio = boost::asio;
using namespace bitdotio;
using test::refusal;
using test::says;

test::database& shared() {
    static test::database instance;
    return instance;
}

template <class T>
using list = std::vector<T>;

TEST_CASE("containers of every element type go to the server and come back the same") {
    test::with_connection(shared().connect, [](connection& c) -> asio::awaitable<void> {
        test::dice dice;
        CAPTURE(dice.seed);
        constexpr auto least = std::numeric_limits<std::int64_t>::min();
        constexpr auto most = std::numeric_limits<std::int64_t>::max();
        list<list<std::int64_t>> longs{{}, {least, 0, most}};
        list<list<std::int16_t>> shorts{{}, {-32768, 32767}};
        list<list<bool>> bools{{}, {true, false, true}};
        list<list<double>> doubles{{}, {0.1, -1e300, std::numeric_limits<double>::infinity()}};
        list<list<float>> floats{{1.5f, -0.0f}};
        list<list<std::string>> texts{{}, {"", "NULL", "null", "a\"b\\c", "{x,y}", " ž🐘 "}};
        list<list<std::optional<int>>> optionals{{}, {std::nullopt}, {1, std::nullopt, -1}};
        list<list<std::optional<std::string>>> strings{{std::nullopt, "NULL", ""}};
        list<list<bytes>> octets{{bytes(), bytes{std::byte(0), std::byte(255)}}};
        list<list<uuid>> ids{{uuid(), uuid::parse("123e4567-e89b-12d3-a456-426614174000")}};
        list<list<timestamptz>> instants{{timestamptz(), timestamptz::max()}};
        list<list<date>> dates{{date(), date::min()}};
        list<list<list<int>>> boxes{{}, {{1, 2, 3}, {4, 5, 6}}};
        list<list<list<list<std::optional<std::string>>>>> cubes{
            {{{"a"}, {std::nullopt}}, {{"b,"}, {"\"c\""}}}};
        for (int i = 0; i < 50; ++i) {
            list<std::optional<std::string>> random_texts;
            list<std::int64_t> random_longs;
            for (auto left = dice.number(0, 6); left > 0; --left) {
                random_longs.push_back(dice.number(least, most));
                random_texts.emplace_back();
                if (dice.coin()) random_texts.back() = dice.text();
            }
            longs.push_back(random_longs);
            strings.push_back(random_texts);
            list<list<int>> box(static_cast<std::size_t>(dice.number(1, 4)));
            const auto width = static_cast<std::size_t>(dice.number(1, 4));
            for (auto& line : box) {
                while (line.size() < width) {
                    line.push_back(static_cast<int>(dice.number(-1000, 1000)));
                }
            }
            boxes.push_back(box);
        }
        co_await test::round_trip(c, "bigint[]", std::move(longs));
        co_await test::round_trip(c, "smallint[]", std::move(shorts));
        co_await test::round_trip(c, "boolean[]", std::move(bools));
        co_await test::round_trip(c, "double precision[]", std::move(doubles));
        co_await test::round_trip(c, "real[]", std::move(floats));
        co_await test::round_trip(c, "text[]", std::move(texts));
        co_await test::round_trip(c, "integer[]", std::move(optionals));
        co_await test::round_trip(c, "varchar[]", std::move(strings));
        co_await test::round_trip(c, "bytea[]", std::move(octets));
        co_await test::round_trip(c, "uuid[]", std::move(ids));
        co_await test::round_trip(c, "timestamptz[]", std::move(instants));
        co_await test::round_trip(c, "date[]", std::move(dates));
        co_await test::round_trip(c, "integer[]", std::move(boxes));
        co_await test::round_trip(c, "text[]", std::move(cubes));
    });
}

TEST_CASE("an array is the very one the server writes") {
    test::with_connection(shared().connect, [](connection& c) -> asio::awaitable<void> {
        list<std::optional<int>> numbers{1, std::nullopt, -3};
        co_await test::same_as_text(c, "integer[]", numbers, "{1,NULL,-3}");
        list<list<std::string>> texts{{"a", "b c"}, {"", "NULL"}};
        co_await test::same_as_text(c, "text[]", texts, "{{a,\"b c\"},{\"\",\"NULL\"}}");
        std::array<std::array<bool, 2>, 2> flags{{{true, false}, {false, true}}};
        co_await test::same_as_text(c, "boolean[]", flags, "{{t,f},{f,t}}");
        co_await test::same_as_text(c, "integer[]", list<int>(), "{}");
        list<list<int>> empty_lines{{}, {}};
        const auto lines = co_await c.query("SELECT $1::integer[]::text", empty_lines);
        CHECK(lines.one<std::string>() == "{}");
        list<double> doubles{1.5, 2};
        co_await test::same_as_text(c, "double precision[]", doubles, "{1.5,2}");
        list<bytes> octets{bytes{std::byte(0xde), std::byte(0x5c)}};
        co_await test::same_as_text(c, "bytea[]", octets, "{\"\\\\xde5c\"}");
    });
}

TEST_CASE("an array serves as a set in a condition, strings of any type of text included") {
    test::with_connection(shared().connect, [](connection& c) -> asio::awaitable<void> {
        const list<int> wanted{2, 3, 5};
        const auto counted = co_await c.query(
            "SELECT count(*) FROM generate_series(1, 10) AS n WHERE n = ANY($1)", wanted);
        CHECK(counted.one<int>() == 3);
        const list<std::string> names{"pg_class", "pg_type"};
        const auto found = co_await c.query(
            "SELECT relname FROM pg_class WHERE relname = ANY($1) ORDER BY 1", names);
        CHECK(found.rows_as<std::string>() == names);
        const list<std::string_view> views = found.rows_as<std::string_view>();
        CHECK(views.at(1) == "pg_type");
    });
}

TEST_CASE("lower bounds and dimensions read through array_view, in binary and in text") {
    test::with_connection(shared().connect, [](connection& c) -> asio::awaitable<void> {
        const std::string sql = "SELECT '[-1:0][5:7]={{1,2,3},{4,NULL,6}}'::integer[]";
        const auto binary = co_await c.query(sql);
        const auto text = co_await c.query(statement(sql).text_results());
        for (const result* answer : {&binary, &text}) {
            auto array = (*answer)[0][0].as<array_view>();
            REQUIRE(array.dimension_count() == 2);
            CHECK(array.dimension(0) == array_dimension{2, -1});
            CHECK(array.dimension(1) == array_dimension{3, 5});
            CHECK(array.element_type() == oids::int4);
            list<std::optional<int>> elements;
            for (std::size_t i = 0; i < array.size(); ++i) {
                elements.push_back(array.next().as<std::optional<int>>());
            }
            const list<std::optional<int>> expected{1, 2, 3, 4, std::nullopt, 6};
            CHECK(elements == expected);
            const auto lines = (*answer)[0][0].as<list<std::array<std::optional<int>, 3>>>();
            CHECK(lines[1][2] == 6);
        }
        const auto vector = co_await c.query("SELECT '1 2 3'::int2vector");
        CHECK(vector.one<list<int>>() == list<int>{1, 2, 3});
    });
}

TEST_CASE("elements in binary are views into the result; unescaped ones are not handed out") {
    test::with_connection(shared().connect, [](connection& c) -> asio::awaitable<void> {
        const std::string sql = "SELECT ARRAY['one', 'two'] AS words";
        const auto binary = co_await c.query(sql);
        const std::string_view whole = binary[0][0].data();
        const auto words = binary.one<list<std::string_view>>();
        REQUIRE(words.size() == 2);
        CHECK(words[1] == "two");
        CHECK(words[1].data() > whole.data());
        CHECK(words[1].data() + 3 <= whole.data() + whole.size());
        const auto text = co_await c.query(statement(sql).text_results());
        CHECK(text.one<list<std::string>>() == list<std::string>{"one", "two"});
        CHECK(says(refusal<list<std::string_view>>(text), errc::wrong_type,
                   {"\"words\"", "std::string_view", "std::string"}));
    });
}

TEST_CASE("arrays that do not fit are refused by column, SQL type and C++ type") {
    test::with_connection(shared().connect, [](connection& c) -> asio::awaitable<void> {
        for (const bool in_text : {false, true}) {
            CAPTURE(in_text);
            const auto ask = [&c, in_text](std::string sql) {
                statement asked(std::move(sql));
                if (in_text) asked.text_results();
                return c.query(asked);
            };
            const auto box = co_await ask("SELECT '{{1,2},{3,4}}'::integer[] AS box");
            CHECK(says(refusal<list<int>>(box), errc::wrong_type,
                       {"\"box\"", "integer[]", "vector<int", "dimensions is 2, not 1"}));
            const auto line = co_await ask("SELECT '{1,2}'::integer[] AS line");
            CHECK(says(refusal<list<list<int>>>(line), errc::wrong_type, {"\"line\"", "1, not 2"}));
            CHECK(says(refusal<std::array<int, 3>>(line), errc::wrong_type,
                       {"elements is 2, not 3", "array<int, 3>"}));
            CHECK(says(refusal<list<bool>>(line), errc::wrong_type,
                       {"inside column \"line\"", "integer", "bool"}));
            CHECK(says(refusal<int>(line), errc::wrong_type, {"integer[]", "std::int32_t"}));
            const auto null = co_await ask("SELECT '{1,NULL}'::integer[] AS holes");
            CHECK(says(refusal<list<int>>(null), errc::unexpected_null,
                       {"inside column \"holes\"", "(integer)", "as int", "std::optional"}));
            const auto large = co_await ask("SELECT '{70000}'::integer[] AS large");
            CHECK(says(refusal<list<std::int16_t>>(large), errc::wrong_type, {"70000"}));
            const auto scalar = co_await ask("SELECT 1 AS one");
            CHECK(says(refusal<list<int>>(scalar), errc::wrong_type, {"\"one\"", "no array"}));
            const auto empty = co_await ask("SELECT '{}'::integer[]");
            CHECK(empty.one<list<list<int>>>().empty());
            CHECK(says(refusal<std::array<int, 1>>(empty), errc::wrong_type, {"is 0, not 1"}));
        }
    });
}

TEST_CASE("a nested vector that is no box is refused before anything is sent") {
    const list<list<int>> ragged{{1, 2}, {3}};
    CHECK(says(test::binding_refusal(ragged), errc::bad_input, {"vector", "differ in size"}));
    const list<list<std::string>> first_empty{{}, {"a"}};
    CHECK(says(test::binding_refusal(first_empty), errc::bad_input, {"differ in size"}));
    const list<std::string> zero{std::string("a\0b", 3)};
    CHECK(says(test::binding_refusal(zero), errc::bad_input, {"zero byte"}));
    const list<std::uint64_t> large{std::numeric_limits<std::uint64_t>::max()};
    CHECK(says(test::binding_refusal(large), errc::bad_input, {"bigint"}));
}

}  // namespace
