// What is made of libpq's own texts.
#include "postgres/libpq.hpp"

#include <doctest/doctest.h>

#include <string>

namespace {

using namespace bitdotio;

TEST_CASE("the SQLSTATE of a failed connect is found in any language") {
    CHECK(libpq::sqlstate_in("connection to server at \"127.0.0.1\", port 1 failed: FATAL:  "
                             "28P01: password authentication failed") == "28P01");
    CHECK(libpq::sqlstate_in("Verbindung fehlgeschlagen: SCHWERWIEGEND:  57P03: das "
                             "Datenbanksystem startet") == "57P03");
    CHECK(libpq::sqlstate_in("connection to server at \"::1\", port 5432 failed: Connection "
                             "refused")
              .empty());
    CHECK(libpq::sqlstate_in("").empty());
    CHECK(libpq::sqlstate_in("FATAL: 28P0").empty());
}

TEST_CASE("the end of a connection is told once, and not what libpq says of its own socket") {
    const std::string end =
        "server closed the connection unexpectedly\n"
        "\tThis probably means the server terminated abnormally\n"
        "\tbefore or while processing the request.\n";
    CHECK(libpq::without_socket(end + "invalid socket\n") == end);
    CHECK(libpq::without_socket(end + end + "invalid socket\n") == end);
    for (const char* const bare : {"", "SSL connection has been closed unexpectedly\n"}) {
        CHECK(libpq::without_socket(std::string(bare) + "invalid socket\n") ==
              "server closed the connection unexpectedly");
    }
    CHECK(libpq::without_socket(end) == end);
    CHECK(libpq::without_socket("ERROR:  invalid socket type\n") ==
          "ERROR:  invalid socket type\n");
    CHECK(libpq::without_socket("").empty());
}

TEST_CASE("the fields of a refusal are told apart in libpq's text") {
    const server_message all = libpq::refusal_in(
        "connection to server at \"10.0.0.1\", port 5432 failed: FATAL:  22023: invalid value: x "
        "DETAIL:  It is bad. HINT:  Do better. LOCATION:  f, guc.c:1");
    CHECK(all.severity == "FATAL");
    CHECK(all.sqlstate == "22023");
    CHECK(all.message == "invalid value: x");
    CHECK(all.detail == "It is bad.");
    CHECK(all.hint == "Do better.");
    const server_message bare = libpq::refusal_in("failed: FATAL:  28P01: no");
    CHECK(bare.message == "no");
    CHECK(bare.detail.empty());
    CHECK(libpq::refusal_in("Connection refused").sqlstate.empty());
}

}  // namespace
