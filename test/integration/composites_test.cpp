// A database's own types: enums, composites and ranges, nested and refused.
#include "support/values.hpp"

#include <bitdotio/arrays.hpp>
#include <bitdotio/calendar.hpp>
#include <bitdotio/composites.hpp>
#include <bitdotio/decimal.hpp>
#include <bitdotio/enums.hpp>
#include <bitdotio/network.hpp>
#include <bitdotio/ranges.hpp>

#include <chrono>
#include <string>
#include <tuple>
#include <vector>

enum class mood { sad, happy, so_so, unlisted };

template <>
struct bitdotio::enum_labels<mood> {
    static constexpr enum_label<mood> values[] = {
        {mood::sad, "sad"}, {mood::happy, "happy"}, {mood::so_so, "so, \"so\""}};
};

namespace {

namespace asio = boost::asio;
using namespace bitdotio;
using namespace std::chrono;
using test::refusal;
using test::says;

struct place {
    std::string city;
    std::optional<int> zip;
    friend bool operator==(const place&, const place&) = default;
};

struct visit {
    place where;
    std::vector<mood> moods;
    std::optional<std::vector<std::optional<std::string>>> notes;
    timestamptz at;
    date day;
    bool again;
    double score;
    bytes raw;
    inet from;
    range<int> hours;
    interval length;
    friend bool operator==(const visit&, const visit&) = default;
};

test::database& shared() {
    static test::database instance;
    return instance;
}

asio::awaitable<connection> open_with_types() {
    connection c = co_await connection::open(shared().connect);
    co_await c.query("SET timezone = 'UTC'");
    const auto known = co_await c.query("SELECT to_regtype('visit') IS NOT NULL");
    if (!known.one<bool>()) {
        co_await c.script(statement(
            "CREATE TYPE mood AS ENUM ('sad', 'happy', 'so, \"so\"', 'unknown to C++');"
            "CREATE TYPE place AS (city text, zip bigint);"
            "CREATE TYPE visit AS (\"where\" place, moods mood[], notes varchar[], at timestamptz,"
            " day date, again boolean, score real, raw bytea, \"from\" inet, hours int8range,"
            " length interval);"
            "CREATE TYPE floatrange AS RANGE (subtype = float8)"));
    }
    co_return c;
}

TEST_CASE("enums are C++ enums by their labels") {
    test::run([]() -> asio::awaitable<void> {
        connection c = co_await open_with_types();
        std::vector<mood> moods{mood::sad, mood::happy, mood::so_so};
        std::vector<std::vector<std::optional<mood>>> lists{{}, {mood::so_so, std::nullopt}};
        co_await test::round_trip(c, "mood", moods);
        co_await test::round_trip(c, "mood[]", std::move(lists));
        co_await test::same_as_text(c, "mood", mood::so_so, "so, \"so\"");
        const auto text = co_await c.query("SELECT 'happy'::text");
        CHECK(text.one<mood>() == mood::happy);
        const auto unknown = co_await c.query("SELECT 'unknown to C++'::mood AS state");
        CHECK(says(refusal<mood>(unknown), errc::wrong_type,
                   {"\"state\"", "mood", "\"unknown to C++\"", "enum_labels"}));
        const auto number = co_await c.query("SELECT 1 AS state");
        CHECK(says(refusal<mood>(number), errc::wrong_type, {"integer", "mood"}));
    });
    CHECK(says(test::binding_refusal(mood::unlisted), errc::bad_input, {"mood", "enum_labels"}));
}

TEST_CASE("composites are structs, with everything inside them") {
    test::run([]() -> asio::awaitable<void> {
        connection c = co_await open_with_types();
        test::dice dice;
        CAPTURE(dice.seed);
        std::vector<place> places{{"", std::nullopt}, {"Praha, \"1\" (\\)", 11000}};
        std::vector<visit> visits;
        for (int i = 0; i < 40; ++i) {
            place where{dice.text(), std::nullopt};
            if (dice.coin()) where.zip = static_cast<int>(dice.number(-9, 99'999));
            places.push_back(where);
            visit one;
            one.where = where;
            one.moods.assign(static_cast<std::size_t>(dice.number(0, 3)), mood::so_so);
            if (dice.coin()) {
                one.notes.emplace();
                for (auto left = dice.number(0, 3); left > 0; --left) {
                    one.notes->emplace_back();
                    if (dice.coin()) one.notes->back() = dice.text();
                }
            }
            one.at = timestamptz(
                microseconds(dice.number(-5'000'000'000'000'000, 5'000'000'000'000'000)));
            one.day = date(days(dice.number(-1'000'000, 1'000'000)));
            one.again = dice.coin();
            one.score = static_cast<double>(dice.number(-1000, 1000)) / 8;
            for (const char octet : dice.text()) {
                one.raw.push_back(static_cast<std::byte>(octet));
            }
            one.from = inet::parse(dice.coin() ? "10.0.0.1/8" : "2001:db8::1");
            one.hours.lower = static_cast<int>(dice.number(0, 12));
            one.length = {1, -2, microseconds(dice.number(-100'000'000'000, 100'000'000'000))};
            visits.push_back(one);
        }
        std::vector<std::vector<place>> lists{{}, places};
        std::vector<std::vector<std::optional<visit>>> nested{{visits[0], std::nullopt, visits[1]}};
        co_await test::round_trip(c, "place", std::move(places));
        co_await test::round_trip(c, "visit", std::move(visits));
        co_await test::round_trip(c, "place[]", std::move(lists));
        co_await test::round_trip(c, "visit[]", std::move(nested));
        const place quoted{"a \"b\"", 1};
        const place nowhere{"", std::nullopt};
        co_await test::same_as_text(c, "place", quoted, "(\"a \"\"b\"\"\",1)");
        co_await test::same_as_text(c, "place", nowhere, "(\"\",)");
    });
}

TEST_CASE("ROW makes a tuple; a struct as a row's type still means its columns") {
    test::run([]() -> asio::awaitable<void> {
        connection c = co_await open_with_types();
        const auto row = co_await c.query("SELECT ROW(1, 'x'::text, NULL::date)");
        using triple = std::tuple<int, std::string, std::optional<date>>;
        CHECK(row[0][0].as<triple>() == triple(1, "x", std::nullopt));
        const auto pair = co_await c.query("SELECT $1::place = ROW('x', 2)::place",
                                           std::tuple<std::string, int>("x", 2));
        CHECK(pair.one<bool>());
        const auto columns = co_await c.query("SELECT 'Brno'::text, 60200");
        CHECK(columns.one<place>() == place{"Brno", 60200});
        const auto all =
            co_await c.query("SELECT ARRAY(SELECT ROW(n, -n) FROM generate_series(1, 2) AS n)");
        using pairs = std::vector<std::tuple<int, int>>;
        CHECK(all.one<pairs>() == pairs{{1, -1}, {2, -2}});
    });
}

TEST_CASE("composites that do not fit are refused by column, SQL type and C++ type") {
    test::run([]() -> asio::awaitable<void> {
        connection c = co_await open_with_types();
        for (const bool in_text : {false, true}) {
            CAPTURE(in_text);
            const auto ask = [&c, in_text](std::string sql) {
                statement asked(std::move(sql));
                if (in_text) asked.text_results();
                return c.query(asked);
            };
            const auto one = co_await ask("SELECT ROW('x', 1)::place AS p");
            CHECK(says(refusal<std::tuple<std::string>>(one), errc::wrong_type,
                       {"\"p\"", "tuple", "2 fields, the C++ type 1"}));
            CHECK(says(refusal<std::tuple<std::string, bool>>(one), errc::wrong_type,
                       {"inside column \"p\"", "bool"}));
            const auto null = co_await ask("SELECT ROW(NULL, 1)::place AS p");
            CHECK(says(refusal<place>(null), errc::unexpected_null,
                       {"inside column \"p\"", "basic_string", "std::optional"}));
            const auto number = co_await ask("SELECT 1 AS n");
            CHECK(says(refusal<place>(number), errc::wrong_type,
                       {"integer", "place", "no composite"}));
            const auto label = co_await ask("SELECT 'happy'::mood AS m");
            CHECK(says(refusal<place>(label), errc::wrong_type, {"\"m\"", "place"}));
        }
    });
}

template <class T>
std::vector<range<T>> ranges_of(T low, T high) {
    std::vector<range<T>> values{range<T>::empty(), {}};
    values.push_back({low, high, true, false});
    values.push_back({low, std::nullopt, true, false});
    values.push_back({std::nullopt, high, false, false});
    return values;
}

TEST_CASE("ranges and multiranges go to the server and come back the same") {
    test::run([]() -> asio::awaitable<void> {
        connection c = co_await open_with_types();
        co_await test::round_trip(c, "int4range", ranges_of(-5, 7));
        co_await test::round_trip(c, "int8range", ranges_of<std::int64_t>(-5, 7));
        auto decimals = ranges_of(decimal("-0.5"), decimal("7.25"));
        decimals.push_back({decimal(1), decimal(2), false, true});
        decimals.push_back({decimal(1), decimal(1), true, true});
        co_await test::round_trip(c, "numrange", std::move(decimals));
        co_await test::round_trip(c, "tsrange", ranges_of(timestamp(), timestamp(1us)));
        auto instants = ranges_of(timestamptz(), timestamptz(1us));
        instants.push_back({timestamptz(), timestamptz(1us), false, true});
        co_await test::round_trip(c, "tstzrange", std::move(instants));
        co_await test::round_trip(c, "daterange", ranges_of(date(), date(days(3))));

        test::dice dice;
        CAPTURE(dice.seed);
        std::vector<multirange<int>> multiranges{{}};
        std::vector<multirange<timestamptz>> spans{{}, {{{std::nullopt, timestamptz()}}}};
        spans.back().ranges[0].includes_upper = true;
        for (int i = 0; i < 30; ++i) {
            multirange<int> value;
            int at = static_cast<int>(dice.number(-1000, 1000));
            for (auto left = dice.number(0, 5); left > 0; --left) {
                const int low = at + static_cast<int>(dice.number(1, 9));
                at = low + static_cast<int>(dice.number(1, 9));
                value.ranges.push_back({low, at});
            }
            multiranges.push_back(value);
        }
        co_await test::round_trip(c, "int4multirange", std::move(multiranges));
        co_await test::round_trip(c, "tstzmultirange", std::move(spans));
        std::vector<std::vector<range<int>>> lists{{}, ranges_of(1, 2)};
        co_await test::round_trip(c, "int4range[]", std::move(lists));

        co_await test::same_as_text(c, "int4range", range<int>{1, 4}, "[1,4)");
        const range<int> closed{1, 3, true, true};
        const auto canonical = co_await c.query("SELECT $1", closed);
        CHECK(canonical.one<range<int>>() == range<int>{1, 4});
        const auto empty = co_await c.query("SELECT $1::text", range<int>::empty());
        CHECK(empty.one<std::string>() == "empty");
        const multirange<int> two{{{1, 3}, {5, std::nullopt}}};
        co_await test::same_as_text(c, "int4multirange", two, "{[1,3),[5,)}");
    });
}

TEST_CASE("a range type of the database's own binds, and reads from text") {
    test::run([]() -> asio::awaitable<void> {
        connection c = co_await open_with_types();
        const range<double> value{0.5, 1.5, false, true};
        const auto text =
            co_await c.query(statement("SELECT $1::floatrange AS r").text_results(), value);
        CHECK(text[0][0].data() == "(0.5,1.5]");
        CHECK(text.one<range<double>>() == value);
        const auto binary = co_await c.query("SELECT $1::floatrange AS r", value);
        CHECK(binary.one<range<double>>() == value);
        const auto integers = co_await c.query("SELECT '[1,5)'::int4range AS r, 1 AS n");
        CHECK(says(refusal<range<bool>>(integers), errc::wrong_type,
                   {"inside column \"r\"", "integer", "bool"}));
        const auto number = co_await c.query("SELECT 1 AS n");
        CHECK(says(refusal<range<int>>(number), errc::wrong_type, {"\"n\"", "no range"}));
        CHECK(says(refusal<multirange<int>>(number), errc::wrong_type, {"\"n\"", "no range"}));
    });
}

}  // namespace
