// Fields of broken and random octets: they are read or refused, and nothing else happens.
#include <bitdotio/arrays.hpp>
#include <bitdotio/bit_string.hpp>
#include <bitdotio/calendar.hpp>
#include <bitdotio/composites.hpp>
#include <bitdotio/decimal.hpp>
#include <bitdotio/error.hpp>
#include <bitdotio/field.hpp>
#include <bitdotio/hstore.hpp>
#include <bitdotio/json.hpp>
#include <bitdotio/money.hpp>
#include <bitdotio/network.hpp>
#include <bitdotio/ranges.hpp>

#include <doctest/doctest.h>

#include <initializer_list>
#include <optional>
#include <random>
#include <string>
#include <tuple>
#include <vector>

namespace {

using namespace bitdotio;

struct reader {
    oid type;
    void (*read)(const field_view& field);
};

template <class T>
void read_as(const field_view& field) {
    (void)field.as<T>();
}

constexpr oid of_user = 20'000;

const std::vector<reader>& readers() {
    static const std::vector<reader> all = {
        {oids::boolean, read_as<bool>},
        {oids::int2, read_as<int>},
        {oids::int4, read_as<std::int64_t>},
        {oids::int8, read_as<std::uint64_t>},
        {oids::float4, read_as<float>},
        {oids::float8, read_as<double>},
        {oids::numeric, read_as<std::string>},
        {oids::numeric, read_as<double>},
        {oids::numeric, read_as<decimal>},
        {oids::bytea, read_as<bytes>},
        {oids::uuid, read_as<uuid>},
        {oids::char_, read_as<char>},
        {oids::date, read_as<date>},
        {oids::time, read_as<time_of_day>},
        {oids::timetz, read_as<timetz>},
        {oids::timestamp, read_as<timestamp>},
        {oids::timestamptz, read_as<timestamptz>},
        {oids::interval, read_as<interval>},
        {oids::interval, read_as<std::chrono::seconds>},
        {oids::inet, read_as<inet>},
        {oids::cidr, read_as<cidr>},
        {oids::varbit, read_as<bit_string>},
        {oids::money, read_as<money>},
        {oids::jsonb, read_as<boost::json::value>},
        {of_user, read_as<hstore>},
        {of_user, read_as<std::string>},
        {of_user, read_as<std::tuple<int, std::optional<std::string>>>},
        {of_user, read_as<std::vector<std::string>>},
        {array_of(oids::int4), read_as<std::vector<std::optional<int>>>},
        {array_of(oids::text), read_as<std::vector<std::vector<std::string>>>},
        {oids::int4range, read_as<range<int>>},
        {oids::int4multirange, read_as<multirange<int>>},
        {oids::daterange, read_as<range<date>>},
    };
    return all;
}

// Whether it could be read; any error that is not this library's escapes.
bool reads(const reader& one, const std::string& octets, bool binary) {
    const field_view field("c", 0, 0, one.type, binary, octets);
    try {
        one.read(field);
        return true;
    } catch (const error& failure) {
        CHECK((failure.code() == errc::wrong_type || failure.code() == errc::unexpected_null));
        return false;
    }
}

TEST_CASE("random octets and texts read or are refused") {
    const std::uint64_t seed = std::random_device()();
    CAPTURE(seed);
    std::mt19937_64 engine(seed);
    const auto below = [&](std::size_t most) {
        return std::uniform_int_distribution<std::size_t>(0, most - 1)(engine);
    };
    static constexpr std::string_view pieces[] = {
        "0",    "1",    "9",        "99999999999", ":",  "-",    "+",  ".",          " ",
        "year", "mons", "days",     " BC",         "{",  "}",    "[",  "]",          "(",
        ")",    ",",    "\"",       "\\",          "=>", "NULL", "=",  "2024-01-01", "12:00:00",
        "/",    "::",   "infinity", "empty",       "e",  "x",    "\\x"};
    for (int round = 0; round < 3000; ++round) {
        std::string octets, text;
        for (std::size_t left = below(40); left > 0; --left) {
            // Small numbers, so that counts and lengths are often nearly right.
            octets.push_back(static_cast<char>(below(3) > 0 ? below(3) : below(256)));
        }
        for (std::size_t left = below(12); left > 0; --left) {
            text += pieces[below(std::size(pieces))];
        }
        for (const reader& one : readers()) {
            reads(one, octets, true);
            reads(one, text, false);
        }
    }
}

TEST_CASE("an address that goes on after a zero byte is refused") {
    using namespace std::string_literals;
    CHECK(reads({oids::inet, read_as<inet>}, "10.0.0.1", false));
    CHECK_FALSE(reads({oids::inet, read_as<inet>}, "10.0.0.1\0x"s, false));
    CHECK_FALSE(reads({oids::cidr, read_as<cidr>}, "::1\0/8"s, false));
}

template <class T>
void refuses_every_beginning(oid type, const T& value) {
    std::string octets;
    to_sql<T>::write(value, octets);
    const reader one{type, read_as<T>};
    CHECK(reads(one, octets, true));
    for (std::size_t size = 0; size < octets.size(); ++size) {
        CAPTURE(size);
        CHECK_FALSE(reads(one, octets.substr(0, size), true));
    }
}

TEST_CASE("a binary form that is cut short is refused wherever it ends") {
    refuses_every_beginning(array_of(oids::int4), std::vector<std::optional<int>>{1, {}, 3});
    refuses_every_beginning(array_of(oids::date),
                            std::vector<std::vector<date>>{{date()}, {date()}});
    refuses_every_beginning(oids::int4range, range<int>{1, 2});
    refuses_every_beginning(oids::int4multirange, multirange<int>{{{1, 2}, {4, 5}}});
    refuses_every_beginning(oids::inet, inet::parse("10.0.0.1/8"));
    refuses_every_beginning(oids::interval, interval{1, 2, std::chrono::microseconds(3)});
    refuses_every_beginning(oids::timetz, timetz{{std::chrono::hours(1)}, std::chrono::hours(2)});
    refuses_every_beginning(oids::varbit, bit_string::parse("1010101010"));
    refuses_every_beginning(oids::date, date());
    refuses_every_beginning(oids::money, money{1});
}

// Under the sanitizers, an overflow on the way would end the test.
TEST_CASE("numbers past the range of their type are refused, up to the last that fits") {
    struct row {
        oid type;
        void (*read)(const field_view& field);
        std::string text;
        bool reads;
    };
    const row table[] = {
        {oids::timestamptz, read_as<timestamptz>, "2000-01-01 2562047788:00:55+15:00", false},
        {oids::timestamptz, read_as<timestamptz>, "2000-01-01 24:00:00+15:00", true},
        {oids::timestamptz, read_as<timestamptz>, "2000-01-01 24:00:01+15:00", false},
        {oids::timestamptz, read_as<timestamptz>, "2000-01-01 00:00:00+65535:65535", false},
        {oids::timestamptz, read_as<timestamptz>, "294246-01-01 00:00:00+00", true},
        {oids::timestamptz, read_as<timestamptz>, "2147483647-01-01 00:00:00-15:59", false},
        {oids::timestamp, read_as<timestamp>, "2147483647-12-31 24:00:00 BC", false},
        {oids::timestamp, read_as<timestamp>, "2000-257-01 00:00:00", false},
        {oids::date, read_as<date>, "2000-01-257", false},
        {oids::date, read_as<date>, "5874897-12-31", true},
        {oids::date, read_as<date>, "2147483648-01-01", false},
        {oids::time, read_as<time_of_day>, "24:00:00", true},
        {oids::time, read_as<time_of_day>, "24:00:00.000001", false},
        {oids::time, read_as<time_of_day>, "9223372036854775807:00:00", false},
        {oids::timetz, read_as<timetz>, "10:00:00-15:59:59", true},
        {oids::timetz, read_as<timetz>, "10:00:00-168", false},
        {oids::interval, read_as<interval>, "178956970 years 7 mons", true},
        {oids::interval, read_as<interval>, "178956970 years 8 mons", false},
        {oids::interval, read_as<interval>, "-178956970 years -8 mons", true},
        {oids::interval, read_as<interval>, "1099511627776 years", false},
        {oids::interval, read_as<interval>, "1099511627776 days", false},
        {oids::interval, read_as<interval>, "2562047788:00:54.775807", true},
        {oids::interval, read_as<interval>, "2562047788:00:54.775808", false},
        {oids::interval, read_as<interval>, "-2562047788:00:54.775808", true},
        {oids::interval, read_as<interval>, "-2562047788:00:54.775809", false},
        {oids::interval, read_as<interval>, "1099511627776:00:00", false},
        {array_of(oids::int4), read_as<std::vector<int>>, "[-2147483648:-2147483647]={1,2}", false},
        {array_of(oids::int4), read_as<std::vector<int>>, "[2147483647:2147483648]={1,2}", false},
    };
    for (const row& one : table) {
        CAPTURE(one.text);
        CHECK(reads({one.type, one.read}, one.text, false) == one.reads);
    }
    std::string many = "1 day";
    for (int part = 0; part < 300'000; ++part) {
        many += " 1099511627776 years";
    }
    CHECK_FALSE(reads({oids::interval, read_as<interval>}, many, false));
}

std::string octets_of(std::initializer_list<std::uint64_t> words) {
    std::string octets;
    for (const std::uint64_t word : words) {
        wire::put(octets, word);
    }
    return octets;
}

TEST_CASE("binary values past the range of their type are refused") {
    const reader instant{oids::timestamptz, read_as<timestamptz>};
    constexpr std::uint64_t shift = 946'684'800'000'000;  // from 1970 to 2000
    constexpr std::uint64_t most = 0x7fff'ffff'ffff'ffff;
    CHECK(reads(instant, octets_of({most - shift - 1}), true));
    CHECK_FALSE(reads(instant, octets_of({most - shift}), true));  // would read as infinity
    CHECK_FALSE(reads(instant, octets_of({most - 1}), true));
    CHECK(reads(instant, octets_of({most}), true));
    const reader time{oids::time, read_as<time_of_day>};
    CHECK(reads(time, octets_of({86'400'000'000}), true));
    CHECK_FALSE(reads(time, octets_of({86'400'000'001}), true));
    CHECK_FALSE(reads(time, octets_of({0 - std::uint64_t{1}}), true));
    // One digit group above 9999.
    const std::string numeric("\0\1\0\0\0\0\0\0\xff\xff", 10);
    CHECK_FALSE(reads({oids::numeric, read_as<std::string>}, numeric, true));
}

TEST_CASE("an empty range in a multirange reads as one in both forms") {
    using multirange = multirange<int>;
    const auto read = [](std::string_view data, bool binary) {
        return field_view("c", 0, 0, oids::int4multirange, binary, data).as<multirange>();
    };
    const multirange text = read("{empty,[1,3)}", false);
    REQUIRE(text.ranges.size() == 2);
    CHECK(text.ranges[0].is_empty);
    CHECK(text.ranges[1] == range<int>{1, 3});
    CHECK(read(std::string_view("\0\0\0\1\0\0\0\1\5", 9), true).ranges[0].is_empty);
    for (const char* wrong : {"{empty[1,3)}", "{emptyx}", "{[1,3)[4,5)}", "{[1,3)x}", "{empt}"}) {
        CAPTURE(wrong);
        CHECK_THROWS_AS(read(wrong, false), error);
    }
}

TEST_CASE("an array of dimensions without elements is empty, however large they are") {
    std::string octets;
    for (const std::uint32_t word : {2u, 0u, std::uint32_t{oids::text}, 0x7fff'ffffu, 1u, 0u, 1u}) {
        wire::put(octets, word);
    }
    const field_view field("c", 0, 0, array_of(oids::text), true, octets);
    CHECK(field.as<std::vector<std::vector<std::string>>>().empty());
}

TEST_CASE("a text of dimensions whose product overflows is refused") {
    // Their product is 7374 * 2^64 + 1: what is left of it would be the one element that is there.
    std::string text = "{1}";
    for (const int size : {27'031, 23'677, 79'595, 66'031, 40'439}) {
        text.insert(0, "{");
        for (int i = 1; i < size; ++i) {
            text += ",{}";
        }
        text += "}";
    }
    const field_view field("c", 0, 0, array_of(oids::int4), false, text);
    CHECK_THROWS_AS(array_view(field, "an array"), error);
}

TEST_CASE("a field inside another names the column, its own type and the C++ type") {
    const field_view whole("tags", 3, 7, array_of(oids::int4), true, "");
    const field_view part = whole.inner(oids::int4, std::nullopt);
    try {
        (void)part.as<int>();
        FAIL("it was read");
    } catch (const error& failure) {
        CHECK(std::string(failure.what()) ==
              "a value inside column \"tags\" (integer) is NULL in row 7, which does not read as "
              "int; read it as a std::optional");
    }
}

}  // namespace
