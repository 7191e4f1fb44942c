// Named parameters, and text that only looks like one.
#include <bitdotio/error.hpp>
#include <bitdotio/named.hpp>

#include <doctest/doctest.h>

#include <random>
#include <string>

using namespace bitdotio;

namespace {

std::string numbered(const std::string& sql, std::initializer_list<std::string_view> names) {
    return number_parameters(statement(sql), names).sql();
}

std::string refusal(const std::string& sql, std::initializer_list<std::string_view> names) {
    try {
        numbered(sql, names);
    } catch (const error& failure) {
        CHECK(failure.code() == errc::bad_input);
        return failure.what();
    }
    return "";
}

}  // namespace

TEST_CASE("names become the numbers of their values, as often as they stand") {
    CHECK(numbered("SELECT :a, :b", {"a", "b"}) == "SELECT $1, $2");
    CHECK(numbered("SELECT :b+:a, :b", {"a", "b"}) == "SELECT $2+$1, $2");
    CHECK(numbered(":a", {"a"}) == "$1");
    CHECK(numbered("x=:long_Name2", {"long_Name2"}) == "x=$1");
    CHECK(numbered("SELECT (:a)::text, f(:a), ARRAY[:a]", {"a"}) ==
          "SELECT ($1)::text, f($1), ARRAY[$1]");
    CHECK(numbered("SELECT :größe", {"größe"}) == "SELECT $1");
    CHECK(numbered("SELECT a[1:2]", {}) == "SELECT a[1:2]");
}

TEST_CASE("what is quoted, commented, cast, assigned or sliced is left alone") {
    for (const std::string text : {
             "':a'",       "'it''s :a'",
             "E'\\':a'",   "e'a'':a\\':a'",
             "\":a\"",     "\"x\"\":a\"",
             "$$ :a $$",   "$tag$ $$ :a $$ :a $tag$",
             "-- :a\n",    "/* :a /* :a */ :a */",
             "x::a",       "f(b := 1)",
             "f(b :=a)",   "v[i:a]",
             "v[1:a]",     "v[(i):a]",
             "a :  b",     "12:30",
             "v[\"i\":a]", "(ARRAY[v[1]])[n:a]",
         }) {
        CAPTURE(text);
        CHECK(numbered(text + " :a", {"a"}) == text + " $1");
    }
    CHECK(numbered("SELECT '\\', :a", {"a"}) == "SELECT '\\', $1");  // no escape without an E
    CHECK(numbered("SELECT $1, some$a$ :a", {"a"}) == "SELECT $1, some$a$ $1");
}

TEST_CASE("a name may follow a word, a number or a bracket without a blank") {
    CHECK(numbered("SELECT 1 LIMIT:a OFFSET:b", {"a", "b"}) == "SELECT 1 LIMIT$1 OFFSET$2");
    CHECK(numbered("x IN(:a)AND(y):b", {"a", "b"}) == "x IN($1)AND(y)$2");
    CHECK(numbered("v[1:2]:a, v[:a]", {"a"}) == "v[1:2]$1, v[$1]");
    CHECK(numbered("SELECT 1LIMIT:a::int", {"a"}) == "SELECT 1LIMIT$1::int");
    CHECK(numbered("'x':a", {"a"}) == "'x'$1");
}

TEST_CASE("the greatest numbered parameter is told, wherever it stands") {
    CHECK(greatest_parameter("SELECT 1") == 0u);
    CHECK(greatest_parameter("SELECT $2, $10, $1") == 10u);
    CHECK(greatest_parameter("SELECT '$3', \"$4\", $$ $5 $$, $x$ $6 $x$ -- $7\n/* $8 */, $1") ==
          1u);
    CHECK(greatest_parameter("SELECT a$9, E'\\'$3', $1") == 1u);
    CHECK_FALSE(greatest_parameter("SELECT '\\', $1").has_value());
}

TEST_CASE("a value too many is refused with both counts") {
    const auto complaint = [](const std::string& sql, auto... values) -> std::string {
        try {
            wire::bound(statement(sql), values...);
        } catch (const error& failure) {
            CHECK(failure.code() == errc::bad_input);
            CHECK(failure.outcome() == outcome::not_sent);
            return failure.what();
        }
        return "";
    };
    CHECK(complaint("SELECT $1", 1).empty());
    CHECK(complaint("SELECT $2, $1", 1).empty());  // one too few: the server says so
    CHECK(complaint("SELECT $1", 1, 2) ==
          "2 values are given, and the statement takes 1 value: its last parameter is $1");
    CHECK(complaint("SELECT 1", 1) ==
          "1 value is given, and the statement takes none: it has no $1");
    CHECK(complaint("SELECT '\\', $1", 1, 2).empty());
    CHECK(complaint("SELECT $1::text", std::string("a\0b", 3)).find("$1 contains a zero byte") !=
          std::string::npos);
}

TEST_CASE("text that never ends is left for the server to refuse") {
    for (const std::string text : {"':a", "\":a", "$$:a", "/* :a", "-- :a", "E'\\"}) {
        CAPTURE(text);
        CHECK(numbered(text, {}) == text);
    }
}

TEST_CASE("missing, surplus and doubled names are refused by name") {
    CHECK(refusal("SELECT :a, :b", {"a"}) ==
          "the statement has the parameter :b, and no value is named \"b\"");
    CHECK(refusal("SELECT :a", {"a", "c"}) ==
          "a value is named \"c\", and the statement has no parameter :c");
    CHECK(refusal("SELECT :a", {"a", "a"}) == "the parameter \"a\" is given twice");
}

TEST_CASE("no text within quotes is ever changed, whatever it is") {
    const unsigned seed = std::random_device{}();
    CAPTURE(seed);
    std::mt19937 chance(seed);
    const std::string letters = ":a'\"$-/*\\[]= \n1E";
    for (int i = 0; i < 20'000; ++i) {
        std::string noise;
        for (auto n = chance() % 12; n > 0; --n) {
            noise += letters[chance() % letters.size()];
        }
        std::string quoted = "'";
        for (const char c : noise) {
            quoted.append(c == '\'' ? 2 : 1, c);
        }
        quoted += "'";
        CAPTURE(quoted);
        REQUIRE(numbered("SELECT " + quoted + ", :a", {"a"}) == "SELECT " + quoted + ", $1");
        try {  // whatever the text, it ends
            numbered("SELECT :a " + quoted + noise + "'\"", {"a"});
        } catch (const error& failure) {
            REQUIRE(failure.code() == errc::bad_input);
        }
    }
}
