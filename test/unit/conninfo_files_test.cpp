// The service file and the password file, line by line.
#include "postgres/conninfo_files.hpp"

#include <doctest/doctest.h>

#include <string>

namespace {

using namespace bitdotio;

TEST_CASE("an entry of a service file fills in what has no value yet") {
    const std::string text =
        "# ours\n"
        "[other]\n"
        "host=wrong\n"
        "nonsense that is not ours to judge\n"
        "\n"
        "  [shop]  \r\n"
        " host=right.example \n"
        "# port=9\n"
        "port=5433\n"
        "user=theirs\n"
        "options=-c geqo=off\n"
        "[shopping]\n"
        "dbname=wrong\n";
    conninfo given{{"user", "mine"}};
    CHECK(add_service(given, text, "shop", "file"));
    const conninfo wanted{
        {"host", "right.example"}, {"port", "5433"}, {"user", "mine"}, {"options", "-c geqo=off"}};
    CHECK(given == wanted);
    conninfo untouched;
    CHECK_FALSE(add_service(untouched, text, "sho", "file"));
    CHECK(untouched.empty());
    CHECK(add_service(untouched, "[last]", "last", "file"));
}

TEST_CASE("what is malformed in an entry is named by file and line") {
    const auto complaint = [](const char* text) -> std::string {
        conninfo given;
        try {
            add_service(given, text, "s", "my.conf");
        } catch (const error& failure) {
            CHECK(failure.code() == errc::bad_input);
            return failure.what();
        }
        return "";
    };
    CHECK(complaint("[s]\n\nhost\n").starts_with("line 3 of the service file my.conf"));
    CHECK(complaint("[s]\nhots=a").find("\"hots\"") != std::string::npos);
    CHECK(complaint("[s]\nservice=t").find("within a service") != std::string::npos);
    CHECK(complaint("[s]\nhost = a").find("\"host \"") != std::string::npos);
}

TEST_CASE("the first line of a password file that matches gives the password") {
    const std::string text =
        "# a comment\n"
        "db.example:5432:shop:ann:first\n"
        "db.example:*:shop:ann:second\r\n"
        "*:*:*:bob:by\\:colon\\\\slash:ignored\n"
        "localhost:5432:*:eve:local\n"
        "we\\:ird:1:d:u:escaped host\n"
        "*:*:*:*:";
    const auto look = [&](const char* host, const char* port, const char* db, const char* user) {
        return password_in(text, host, port, db, user).value_or("none");
    };
    CHECK(look("db.example", "5432", "shop", "ann") == "first");
    CHECK(look("db.example", "5433", "shop", "ann") == "second");
    CHECK(look("anything", "1", "x", "bob") == "by:colon\\slash");
    CHECK(look("localhost", "5432", "x", "eve") == "local");
    CHECK(look(default_socket_directory().c_str(), "5432", "x", "eve") == "local");
    CHECK(look("/elsewhere", "5432", "x", "eve").empty());
    CHECK(look("we:ird", "1", "d", "u") == "escaped host");
    CHECK(look("db.example", "5432", "shop", "anna").empty());
    CHECK_FALSE(password_in("a:1:b:c:d", "a", "1", "b", "x"));
    CHECK_FALSE(password_in("a:1:b", "a", "1", "b", "c"));
    CHECK_FALSE(password_in("", "a", "1", "b", "c"));
}

}  // namespace
