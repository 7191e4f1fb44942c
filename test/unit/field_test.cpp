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
