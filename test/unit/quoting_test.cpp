// Names and literals as SQL text, and how a transaction begins.
#include <bitdotio/error.hpp>
#include <bitdotio/quoting.hpp>
#include <bitdotio/transaction_options.hpp>

#include <doctest/doctest.h>

#include <optional>
#include <string>

using namespace bitdotio;

TEST_CASE("identifiers are quoted, in parts too") {
    CHECK(quote_identifier("person") == "\"person\"");
    CHECK(quote_identifier("My \"odd\" name; --") == "\"My \"\"odd\"\" name; --\"");
    CHECK(quote_identifier({"public", "a.b"}) == "\"public\".\"a.b\"");
    CHECK(quote_identifier(std::string(63, 'x')).size() == 65);
}

TEST_CASE("names that cannot be are refused") {
    CHECK_THROWS_AS(quote_identifier(""), error);
    CHECK_THROWS_AS(quote_identifier(std::string(64, 'x')), error);
    CHECK_THROWS_AS(quote_identifier(std::string_view("a\0b", 3)), error);
    CHECK_THROWS_AS(quote_identifier({"a", ""}), error);
    CHECK_THROWS_AS(quote_literal(std::string_view("a\0b", 3)), error);
}

TEST_CASE("literals double quotes and backslashes") {
    CHECK(quote_literal("it's") == "'it''s'");
    CHECK(quote_literal("") == "''");
    CHECK(quote_literal("a\\'b") == " E'a\\\\''b'");
}

TEST_CASE("a transaction begins with what is set") {
    transaction_options options;
    CHECK(options.begin_statement() == "BEGIN");
    options.isolation = isolation_level::repeatable_read;
    CHECK(options.begin_statement() == "BEGIN ISOLATION LEVEL REPEATABLE READ");
    options.isolation = isolation_level::read_committed;
    options.read_only = false;
    CHECK(options.begin_statement() == "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE");
    options.isolation = isolation_level::serializable;
    options.read_only = true;
    options.deferrable = true;
    CHECK(options.begin_statement() == "BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY DEFERRABLE");
}

TEST_CASE("deferrable where PostgreSQL would ignore it is refused") {
    transaction_options options;
    options.deferrable = true;
    CHECK_THROWS_AS(options.begin_statement(), error);
    options.isolation = isolation_level::serializable;
    CHECK_THROWS_AS(options.begin_statement(), error);
    options.read_only = true;
    CHECK_NOTHROW(options.begin_statement());
    options.isolation = isolation_level::repeatable_read;
    CHECK_THROWS_AS(options.begin_statement(), error);
}
