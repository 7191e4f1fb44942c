// Rows: shapes checked once, ranges over a result, and a custom type, written and read.
#include "support/values.hpp"
#include "support/with_connection.hpp"

#include <bitdotio/arrays.hpp>
#include <bitdotio/result.hpp>

#include <algorithm>
#include <ranges>
#include <string>
#include <tuple>
#include <vector>

struct celsius {
    double degrees;
};

template <>
struct bitdotio::to_sql<celsius> {
    static constexpr oid type = oids::float8;
    static constexpr bool binary = true;
    static void write(celsius value, std::string& out) {
        to_sql<double>::write(value.degrees, out);
    }
};

template <>
struct bitdotio::from_sql<celsius> {
    static celsius read(const field_view& field) { return {field.as<double>()}; }
};

namespace {

namespace asio = boost::asio;
using namespace bitdotio;
using test::says;

static_assert(std::ranges::random_access_range<const result>);
static_assert(std::ranges::sized_range<const result>);
static_assert(std::ranges::common_range<const result>);

test::database& shared() {
    static test::database instance;
    return instance;
}

struct station {
    std::string name;
    std::optional<std::vector<std::optional<int>>> readings;
};

TEST_CASE("rows are a random-access range") {
    test::with_connection(shared().connect, [](connection& c) -> asio::awaitable<void> {
        const result answer = co_await c.query("SELECT n, -n AS m FROM generate_series(1, 5) AS n");
        const auto number = [](const row_view& row) { return row["n"].as<int>(); };
        std::vector<int> reversed;
        for (const int n : answer | std::views::reverse | std::views::transform(number)) {
            reversed.push_back(n);
        }
        CHECK(reversed == std::vector<int>{5, 4, 3, 2, 1});
        const auto third = std::ranges::lower_bound(answer, 3, {}, number);
        CHECK(third - answer.begin() == 2);
        CHECK(third[1]["m"].as<int>() == -4);
        CHECK(std::ranges::distance(answer) == 5);
        CHECK(answer.end() > answer.begin());
    });
}

TEST_CASE("tuples and structs hold optionals and containers") {
    test::with_connection(shared().connect, [](connection& c) -> asio::awaitable<void> {
        const auto answer = co_await c.query(
            "SELECT * FROM (VALUES ('Brno', ARRAY[1, NULL]), ('Oslo', NULL)) AS s (name, "
            "readings)");
        const auto stations = answer.rows_as<station>();
        REQUIRE(stations.size() == 2);
        REQUIRE(stations[0].readings);
        CHECK(stations[0].readings->at(0) == 1);
        CHECK_FALSE(stations[0].readings->at(1));
        CHECK_FALSE(stations[1].readings);
        using pair = std::tuple<std::optional<std::string_view>,
                                std::optional<std::vector<std::optional<int>>>>;
        CHECK(std::get<0>(answer.rows_as<pair>()[1]) == "Oslo");
    });
}

TEST_CASE("a field is a view of what libpq holds") {
    test::with_connection(shared().connect, [](connection& c) -> asio::awaitable<void> {
        const auto answer = co_await c.query("SELECT 'text'::text");
        CHECK(answer.one<std::string_view>().data() == answer[0][0].data().data());
    });
}

TEST_CASE("the shape is checked even if there is no row") {
    test::with_connection(shared().connect, [](connection& c) -> asio::awaitable<void> {
        const auto none = co_await c.query("SELECT 1, 2 WHERE false");
        CHECK(none.rows_as<std::tuple<int, int>>().empty());
        errc code = errc::bad_input;
        try {
            none.rows_as<station>();
            none.rows_as<int>();
        } catch (const error& failure) {
            code = failure.code();
        }
        CHECK(code == errc::unexpected_shape);
    });
}

TEST_CASE("a type of one's own binds and reads, alone, as NULL and in arrays") {
    test::with_connection(shared().connect, [](connection& c) -> asio::awaitable<void> {
        const auto one = co_await c.query("SELECT $1 + 1", celsius{20.5});
        CHECK(one.one<celsius>().degrees == 21.5);
        const auto null = co_await c.query("SELECT $1", std::optional<celsius>());
        CHECK_FALSE(null.one<std::optional<celsius>>());
        const std::vector<celsius> both{{1}, {2}};
        const auto list = co_await c.query("SELECT $1", both);
        CHECK(list.column_type(0) == array_of(oids::float8));
        CHECK(list.one<std::vector<celsius>>().at(1).degrees == 2);
        const auto wrong = co_await c.query("SELECT true AS yes");
        CHECK(says(test::refusal<celsius>(wrong), errc::wrong_type,
                   {"\"yes\"", "boolean", "double"}));
    });
}

TEST_CASE("a field that stands in no result reads as any other") {
    const field_view integer("n", 0, 0, oids::int4, true, std::string_view("\0\0\0\7", 4));
    CHECK(integer.as<int>() == 7);
    const field_view null("n", 0, 0, oids::int4, true, std::nullopt);
    CHECK_FALSE(null.as<std::optional<int>>());
    const field_view untold("n", 0, 0, oids::unspecified, false, "12");
    CHECK(untold.as<double>() == 12.0);
    CHECK_THROWS_AS(untold.as<bool>(), error);
}

}  // namespace
