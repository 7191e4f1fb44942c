// Values sent and read back: every C++ type the driver binds and reads, in binary and in text.
#include "support/database.hpp"
#include "support/with_connection.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <tuple>

namespace {

namespace asio = boost::asio;
using namespace std::chrono;
using bitdotio::bytes;
using bitdotio::connection;
using bitdotio::errc;
using bitdotio::statement;

test::database& shared() {
    static test::database instance;
    return instance;
}

// Sends `value` as a parameter of SQL type `type` and reads it back, in binary and in text.
template <class T>
asio::awaitable<void> round_trip(connection& c, std::string type, std::vector<T> values) {
    for (const T& value : values) {
        const std::string sql = "SELECT $1::" + type;
        CAPTURE(sql);
        const auto binary = co_await c.query(sql, value);
        CHECK(binary.template one<T>() == value);
        const auto text = co_await c.query(statement(sql).text_results(), value);
        CHECK(text.template one<T>() == value);
        const auto null = co_await c.query(sql, std::optional<T>());
        CHECK_FALSE(null.template one<std::optional<T>>());
    }
}

template <class T>
std::vector<T> edges() {
    using limits = std::numeric_limits<T>;
    return {limits::min(), limits::max(), T(0), T(1), static_cast<T>(-1)};
}

asio::awaitable<void> all_types(bitdotio::connect_options options) {
    connection c = co_await connection::open(options);
    for (const bool value : {true, false}) {
        const auto answer = co_await c.query("SELECT $1", value);
        CHECK(answer.one<bool>() == value);
    }
    co_await round_trip(c, "int2", edges<std::int16_t>());
    co_await round_trip(c, "int4", edges<std::int32_t>());
    co_await round_trip(c, "int8", edges<std::int64_t>());
    std::vector<std::uint32_t> unsigned_values{0, std::numeric_limits<std::uint32_t>::max()};
    co_await round_trip(c, "int8", std::move(unsigned_values));
    constexpr float infinite_float = std::numeric_limits<float>::infinity();
    std::vector<float> floats{0.0f,
                              -1.5f,
                              std::numeric_limits<float>::max(),
                              std::numeric_limits<float>::denorm_min(),
                              infinite_float,
                              -infinite_float};
    co_await round_trip(c, "float4", std::move(floats));
    std::vector<double> doubles{0.0, 0.1, -1e300, std::numeric_limits<double>::denorm_min(),
                                std::numeric_limits<double>::infinity()};
    co_await round_trip(c, "float8", std::move(doubles));
    std::vector<std::string> texts{"", "plain", "quo'te \"and\" \\backslash", "žluťoučký 🐘",
                                   "a\nb"};
    co_await round_trip(c, "text", std::move(texts));
    bytes every_octet;
    for (int i = 0; i < 256; ++i) {
        every_octet.push_back(static_cast<std::byte>(i));
    }
    std::vector<bytes> octets{bytes(), every_octet};
    co_await round_trip(c, "bytea", std::move(octets));
    const bitdotio::uuid id = bitdotio::uuid::parse("123e4567-e89b-12d3-a456-426614174000");
    std::vector<bitdotio::uuid> ids{id, bitdotio::uuid()};
    co_await round_trip(c, "uuid", std::move(ids));

    const auto day = sys_days(year(2024) / 2 / 29);
    std::vector<bitdotio::timestamptz> instants{
        bitdotio::timestamptz(),
        day + hours(23) + microseconds(123456),
        sys_days(year(1) / 1 / 1),
        sys_days(year(-4000) / 1 / 1),
        sys_days(year(9999) / 12 / 31) + hours(24) - microseconds(1),
        bitdotio::timestamptz::max(),
        bitdotio::timestamptz::min()};
    co_await round_trip(c, "timestamptz", std::move(instants));
    const auto local = local_days(year(2024) / 2 / 29);
    std::vector<bitdotio::timestamp> timestamps{
        bitdotio::timestamp(), local + minutes(61) + microseconds(1),
        local_days(year(-100) / 3 / 1), bitdotio::timestamp::max(), bitdotio::timestamp::min()};
    co_await round_trip(c, "timestamp", std::move(timestamps));
}

TEST_CASE("values go to the server and come back the same, in binary and in text") {
    test::run(all_types(shared().connect));
}

TEST_CASE("zones of text results are applied") {
    test::with_connection(shared().connect, [](connection& c) -> asio::awaitable<void> {
        co_await c.query("SET timezone = 'Asia/Kolkata'");
        const auto text = co_await c.query(
            statement("SELECT '2024-01-01 00:00:00+00'::timestamptz").text_results());
        CHECK(text[0][0].data() == "2024-01-01 05:30:00+05:30");
        CHECK(text.one<bitdotio::timestamptz>() == sys_days(year(2024) / 1 / 1));
    });
}

TEST_CASE("numeric reads as the very text the server would write") {
    test::with_connection(shared().connect, [](connection& c) -> asio::awaitable<void> {
        for (const char* value :
             {"0", "0.00", "1", "-1", "10000", "9999", "123456789.000100", "0.0001", "0.00001234",
              "-100000000000000000000000000000.5", "99999999999999999999", "1e100", "1e-30",
              "12345678901234567890.12345678901234567890", "NaN", "Infinity", "-Infinity"}) {
            CAPTURE(value);
            const auto answer = co_await c.query("SELECT $1::numeric, $1::numeric::text", value);
            CHECK(answer[0][0].as<std::string>() == answer[0][1].as<std::string>());
        }
        const auto approximate = co_await c.query("SELECT 1.25::numeric");
        CHECK(approximate.one<double>() == 1.25);
    });
}

struct person {
    std::string name;
    int age;
    std::optional<double> height;
};

TEST_CASE("rows read as fields, tuples and structs") {
    test::with_connection(shared().connect, [](connection& c) -> asio::awaitable<void> {
        const auto answer = co_await c.query(
            "SELECT * FROM (VALUES ('Alice', 45, 1.7::float8), ('Bob', 84, NULL)) "
            "AS p (name, age, height)");
        const auto people = answer.rows_as<person>();
        REQUIRE(people.size() == 2);
        CHECK(people[0].name == "Alice");
        CHECK(people[1].age == 84);
        CHECK_FALSE(people[1].height);
        const auto [name, age, height] =
            answer[0].as<std::tuple<std::string_view, std::int64_t, double>>();
        CHECK(name == "Alice");
        CHECK(age == 45);
        CHECK(height == 1.7);
        int years = 0;
        for (const bitdotio::row_view row : answer) {
            years += row["age"].as<int>();
        }
        CHECK(years == 129);
    });
}

template <class T>
errc reading(const bitdotio::result& answer) {
    try {
        answer.one<T>();
    } catch (const bitdotio::error& failure) {
        INFO(failure.what());
        return failure.code();
    }
    return errc::bad_input;
}

TEST_CASE("values that do not fit are refused by column, SQL type and C++ type") {
    test::with_connection(shared().connect, [](connection& c) -> asio::awaitable<void> {
        const auto null = co_await c.query("SELECT NULL::integer AS missing");
        CHECK(reading<int>(null) == errc::unexpected_null);
        const auto large = co_await c.query("SELECT 70000 AS large");
        CHECK(reading<std::int16_t>(large) == errc::wrong_type);
        CHECK(reading<bool>(large) == errc::wrong_type);
        try {
            large.one<std::int16_t>();
        } catch (const bitdotio::error& failure) {
            const std::string text = failure.what();
            CHECK(text.find("\"large\"") != std::string::npos);
            CHECK(text.find("integer") != std::string::npos);
            CHECK(text.find("std::int16_t") != std::string::npos);
        }
        const auto negative = co_await c.query("SELECT -1");
        CHECK(reading<std::uint32_t>(negative) == errc::wrong_type);
        const auto two = co_await c.query("SELECT 1, 2");
        CHECK(reading<int>(two) == errc::unexpected_shape);
        const auto none = co_await c.query("SELECT 1 WHERE false");
        CHECK(reading<int>(none) == errc::unexpected_shape);
        CHECK_FALSE(none.maybe_one<int>());
        const auto address = co_await c.query("SELECT '127.0.0.1'::inet");
        CHECK(reading<std::string>(address) == errc::wrong_type);
        const auto as_text = co_await c.query(statement("SELECT '127.0.0.1'::inet").text_results());
        CHECK(as_text.one<std::string>() == "127.0.0.1");
        CHECK_THROWS_AS(two[0]["absent"], bitdotio::error);
        CHECK_THROWS_AS(two[1], bitdotio::error);
    });
}

TEST_CASE("enums and jsonb read as text, composites do not") {
    test::with_connection(shared().connect, [](connection& c) -> asio::awaitable<void> {
        co_await c.query("CREATE TYPE mood AS ENUM ('sad', 'happy')");
        co_await c.query("CREATE TYPE pair AS (a integer, b text)");
        const auto mood = co_await c.query("SELECT $1::mood", "happy");
        CHECK(mood.one<std::string>() == "happy");
        const auto json = co_await c.query("SELECT $1::jsonb", "{\"a\": 1}");
        CHECK(json.one<std::string>() == "{\"a\": 1}");
        const auto pair = co_await c.query("SELECT ROW(1, 'x')::pair");
        CHECK(reading<std::string>(pair) == errc::wrong_type);
    });
}

TEST_CASE("what cannot be bound is refused before anything is sent") {
    CHECK_THROWS_AS(bitdotio::params(std::numeric_limits<std::uint64_t>::max()), bitdotio::error);
    CHECK_THROWS_AS(bitdotio::params(std::string("zero\0byte", 9)), bitdotio::error);
    const bitdotio::params bound(nullptr, std::nullopt, 'c', true);
    CHECK(bound.size() == 4);
    CHECK(bound.is_null(0));
    CHECK(bound.value(2) == "c");
}

}  // namespace
