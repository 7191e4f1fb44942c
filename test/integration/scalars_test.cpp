// Numbers of any length, JSON, addresses, bits, money, hstore and single characters.
#include "support/values.hpp"
#include "support/with_connection.hpp"

#include <bitdotio/arrays.hpp>
#include <bitdotio/bit_string.hpp>
#include <bitdotio/decimal.hpp>
#include <bitdotio/hstore.hpp>
#include <bitdotio/json.hpp>
#include <bitdotio/money.hpp>
#include <bitdotio/network.hpp>

#include <limits>
#include <string>
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

std::string digits(test::dice& dice, std::int64_t count) {
    std::string text;
    for (; count > 0; --count) {
        text.push_back(static_cast<char>('0' + dice.number(0, 9)));
    }
    return text;
}

TEST_CASE("decimals of up to their digits are exact both ways, and longer ones are refused") {
    test::with_connection(shared().connect, [](connection& c) -> asio::awaitable<void> {
        test::dice dice;
        CAPTURE(dice.seed);
        std::vector<decimal> values{decimal(0), decimal("1e-40"), decimal("-1e60"), decimal("0.1"),
                                    decimal("12345678901234567890123456789.012345678901234567891")};
        values.push_back(std::numeric_limits<decimal>::infinity());
        values.push_back(-std::numeric_limits<decimal>::infinity());
        for (int i = 0; i < 60; ++i) {
            const std::string text = (dice.coin() ? "-" : "") + digits(dice, dice.number(1, 25)) +
                                     "." + digits(dice, dice.number(1, 25));
            values.emplace_back(text);
            // The server confirms that it received what was written.
            const auto same =
                co_await c.query("SELECT $1 = $2::text::numeric", values.back(), text);
            CAPTURE(text);
            CHECK(same.one<bool>());
            const auto back = co_await c.query("SELECT $1::text::numeric", text);
            CHECK(back.one<decimal>() == values.back());
        }
        co_await test::round_trip(c, "numeric", values);
        std::vector<std::vector<decimal>> lists{{}, values};
        co_await test::round_trip(c, "numeric[]", std::move(lists));
        co_await test::same_as_text(c, "numeric", decimal("-1.5"), "-1.5");
        const auto not_a_number =
            co_await c.query("SELECT $1", std::numeric_limits<decimal>::quiet_NaN());
        CHECK(boost::multiprecision::isnan(not_a_number.one<decimal>()));

        const auto longest = co_await c.query("SELECT repeat('9', 50)::numeric");
        CHECK(longest.one<decimal>() == decimal(std::string(50, '9')));
        const auto too_long = co_await c.query("SELECT repeat('9', 51)::numeric AS much");
        CHECK(says(refusal<decimal>(too_long), errc::wrong_type,
                   {"\"much\"", "numeric", "cpp_dec_float", "51 significant digits"}));
        const auto zeros = co_await c.query("SELECT (repeat('9', 50) || repeat('0', 30))::numeric");
        CHECK(zeros.one<decimal>() == decimal(std::string(50, '9') + "e30"));
        const auto integer = co_await c.query("SELECT 9223372036854775807::bigint");
        CHECK(integer.one<decimal>() == decimal("9223372036854775807"));
        const auto real = co_await c.query("SELECT 1.5::float8");
        CHECK(says(refusal<decimal>(real), errc::wrong_type, {"double precision"}));
    });
}

TEST_CASE("JSON values go to json and jsonb and come back") {
    namespace json = boost::json;
    test::with_connection(shared().connect, [](connection& c) -> asio::awaitable<void> {
        std::vector<json::value> values{nullptr,
                                        true,
                                        0,
                                        std::numeric_limits<std::int64_t>::min(),
                                        1.5,
                                        "žluť \"🐘\" \\ \n",
                                        json::array{1, "two", nullptr},
                                        json::object{{"a", json::object{{"b", 1}}}}};
        for (const char* type : {"json", "jsonb"}) {
            co_await test::round_trip(c, type, values);
            std::vector<std::vector<json::value>> lists{values};
            co_await test::round_trip(c, std::string(type) + "[]", std::move(lists));
        }
        const json::object object{{"a", 1}};
        const auto text = co_await c.query("SELECT $1::jsonb::text", object);
        CHECK(text.one<std::string>() == "{\"a\": 1}");
        const auto found = co_await c.query("SELECT '{\"a\": 1, \"b\": 2}'::jsonb @> $1", object);
        CHECK(found.one<bool>());
        const auto as_text = co_await c.query("SELECT '{}'::text AS t");
        CHECK(
            says(refusal<json::value>(as_text), errc::wrong_type, {"text", "boost::json::value"}));
        const auto deep =
            co_await c.query("SELECT (repeat('[', 600) || repeat(']', 600))::json AS d");
        CHECK(says(refusal<json::value>(deep), errc::wrong_type, {"\"d\"", "json"}));
        CHECK(deep.one<std::string>().size() == 1200);
    });
}

TEST_CASE("addresses and networks go to inet and cidr and come back") {
    test::with_connection(shared().connect, [](connection& c) -> asio::awaitable<void> {
        test::dice dice;
        CAPTURE(dice.seed);
        std::vector<inet> addresses;
        for (int i = 0; i < 60; ++i) {
            inet value;
            value.v6 = dice.coin();
            for (std::size_t j = 0; j < (value.v6 ? 16u : 4u); ++j) {
                value.octets[j] = static_cast<std::uint8_t>(dice.coin() ? dice.number(0, 255) : 0);
            }
            value.prefix = static_cast<std::uint8_t>(dice.number(0, value.v6 ? 128 : 32));
            addresses.push_back(value);
            const auto text = co_await c.query("SELECT $1::text::inet", to_string(value));
            CHECK(text.one<inet>() == value);
        }
        co_await test::round_trip(c, "inet", std::move(addresses));
        for (const char* text : {"192.168.0.1", "10.1.2.3/8", "0.0.0.0/0", "::1", "2001:db8::/32",
                                 "::ffff:1.2.3.4", "fe80::1:0:0:5/64"}) {
            CHECK(to_string(inet::parse(text)) == text);
            const auto plain =
                co_await c.query(statement("SELECT $1::inet").text_results(), inet::parse(text));
            CHECK(plain[0][0].data() == text);
        }
        co_await test::same_as_text(c, "cidr", cidr::parse("10.0.0.0/8"), "10.0.0.0/8");
        co_await test::same_as_text(c, "cidr", cidr::parse("2001:db8::/32"), "2001:db8::/32");
        const auto network =
            co_await c.query("SELECT '10.0.0.0/8'::cidr AS net, '::1'::inet AS host");
        CHECK(network[0][0].as<inet>() == inet::parse("10.0.0.0/8"));
        CHECK(network[0]["host"].as<inet>().address() == "::1");
        CHECK(says(refusal<uuid>(network), errc::wrong_type, {"cidr", "bitdotio::uuid"}));
        const auto host = co_await c.query("SELECT '::1'::inet AS host");
        CHECK(says(refusal<cidr>(host), errc::wrong_type, {"\"host\"", "inet", "bitdotio::cidr"}));
    });
    for (const char* text :
         {"", "1.2.3", "1.2.3.4/33", "::1/129", "1.2.3.4/", "1.2.3.4/x", "host"}) {
        CAPTURE(text);
        CHECK_THROWS_AS(inet::parse(text), error);
    }
    inet wrong;
    wrong.prefix = 64;
    CHECK(says(test::binding_refusal(wrong), errc::bad_input, {"IPv4"}));
}

TEST_CASE("bit strings go to bit and varbit and come back") {
    test::with_connection(shared().connect, [](connection& c) -> asio::awaitable<void> {
        test::dice dice;
        CAPTURE(dice.seed);
        std::vector<bit_string> values{{}, bit_string::parse("1"), bit_string::parse("10000000")};
        for (int i = 0; i < 40; ++i) {
            bit_string value;
            for (auto left = dice.number(0, 40); left > 0; --left) {
                value.bits.push_back(dice.coin());
            }
            values.push_back(value);
            co_await test::same_as_text(c, "varbit", value, to_string(value));
        }
        co_await test::round_trip(c, "varbit", std::move(values));
        const bit_string nine = bit_string::parse("101010101");
        co_await test::same_as_text(c, "bit(9)", nine, "101010101");
        const auto number = co_await c.query("SELECT 1 AS n");
        CHECK(says(refusal<bit_string>(number), errc::wrong_type, {"\"n\"", "bit_string"}));
    });
    CHECK_THROWS_AS(bit_string::parse("012"), error);
}

TEST_CASE("money counts its smallest unit, and its text is left to the locale") {
    test::with_connection(shared().connect, [](connection& c) -> asio::awaitable<void> {
        co_await c.query("SET lc_monetary = 'C'");
        const auto answer = co_await c.query("SELECT $1, $1::text, '-12.34'::money", money{123456});
        CHECK(answer[0][0].as<money>() == money{123456});
        CHECK(answer[0][1].as<std::string>() == "$1,234.56");
        CHECK(answer[0][2].as<money>() == money{-1234});
        const std::vector<money> all{{std::numeric_limits<std::int64_t>::max()}, {0}};
        const auto list = co_await c.query("SELECT $1", all);
        CHECK(list.one<std::vector<money>>() == all);
        const auto text = co_await c.query(statement("SELECT 1::money AS m").text_results());
        CHECK(says(refusal<money>(text), errc::wrong_type, {"\"m\"", "money", "lc_monetary"}));
        const auto number = co_await c.query("SELECT 1::bigint");
        CHECK(says(refusal<money>(number), errc::wrong_type, {"bigint"}));
    });
}

TEST_CASE("hstore goes and comes back by its form, whatever its number") {
    test::with_connection(shared().connect, [](connection& c) -> asio::awaitable<void> {
        co_await c.query("CREATE EXTENSION hstore");
        test::dice dice;
        CAPTURE(dice.seed);
        std::vector<hstore> values{{}, {{"", ""}}, {{"a", "NULL"}, {"b", std::nullopt}}};
        for (int i = 0; i < 40; ++i) {
            hstore value;
            for (auto left = dice.number(0, 5); left > 0; --left) {
                auto& content = value[dice.text()];
                if (dice.coin()) content = dice.text();
            }
            values.push_back(value);
        }
        std::vector<std::vector<hstore>> lists{{}, values};
        co_await test::round_trip(c, "hstore", std::move(values));
        co_await test::round_trip(c, "hstore[]", std::move(lists));
        const hstore pair{{"a b", "1"}, {"c", std::nullopt}};
        const auto there =
            co_await c.query("SELECT $1::hstore = hstore('a b', '1') || hstore('c', NULL)", pair);
        CHECK(there.one<bool>());
        const auto text = co_await c.query("SELECT 'x=>1'::text AS t");
        CHECK(says(refusal<hstore>(text), errc::wrong_type, {"\"t\"", "bitdotio::hstore"}));
        co_await c.query("CREATE TYPE colour AS ENUM ('red')");
        const auto red = co_await c.query("SELECT 'red'::colour AS r");
        CHECK(says(refusal<hstore>(red), errc::wrong_type, {"\"r\"", "colour", "hstore"}));
    });
}

TEST_CASE("one character reads from \"char\", and from text of one octet") {
    test::with_connection(shared().connect, [](connection& c) -> asio::awaitable<void> {
        for (const bool in_text : {false, true}) {
            statement sql(
                "SELECT relkind, 'x'::text, 'y'::char(1), 'n'::name, ''::\"char\" AS none "
                "FROM pg_class WHERE relname = 'pg_class'");
            if (in_text) sql.text_results();
            const auto answer = co_await c.query(sql);
            const auto [kind, text, fixed, name, none] =
                answer.one<std::tuple<char, char, char, char, char>>();
            CHECK(kind == 'r');
            CHECK(text == 'x');
            CHECK(fixed == 'y');
            CHECK(name == 'n');
            CHECK(none == '\0');
        }
        const auto bound =
            co_await c.query("SELECT $1::\"char\"::text, oid FROM pg_class LIMIT 1", 'q');
        CHECK(bound[0][0].as<std::string>() == "q");
        CHECK(bound[0][1].as<oid>() > 0);
        const auto two = co_await c.query("SELECT 'xy' AS two");
        CHECK(says(refusal<char>(two), errc::wrong_type, {"\"two\"", "text", "one octet"}));
        const auto number = co_await c.query("SELECT 1");
        CHECK(says(refusal<char>(number), errc::wrong_type, {"integer", "char"}));
    });
}

}  // namespace
