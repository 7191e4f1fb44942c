// Names of databases: which are understood, and the messages for the others.
#include <bitdotio/database_name.hpp>
#include <bitdotio/error.hpp>

#include <doctest/doctest.h>

#include <cstddef>
#include <sstream>
#include <string>
#include <string_view>

namespace {

using bitdotio::database_name;
using bitdotio::errc;
using bitdotio::error;

std::string complaint(std::string_view text) {
    try {
        const database_name name(text);
    } catch (const error& failure) {
        CHECK(failure.code() == errc::bad_input);
        return failure.what();
    }
    return "";
}

TEST_CASE("a name is a user and a database, divided at the first slash") {
    struct row {
        std::string text;
        const char* user;
        const char* database;
    };
    const row table[] = {
        {"adam/my-db", "adam", "my-db"},   {"_/x", "_", "x"},           {"9lives/9", "9lives", "9"},
        {"a.b~c|d/e", "a.b~c|d", "e"},     {"adam/a.b", "adam", "a.b"}, {"adam/b/c", "adam", "b/c"},
        {"a dam/my db", "a dam", "my db"}, {"adam/é", "adam", "é"},
    };
    for (const row& one : table) {
        CAPTURE(one.text);
        const database_name name(one.text);
        CHECK(name.full() == one.text);
        CHECK(name.user() == one.user);
        CHECK(name.database() == one.database);
    }
}

TEST_CASE("without a slash the separators of connection strings divide, the first of them") {
    for (const std::string text : {"adam.db", "adam~db", "adam|db", "adam>db"}) {
        CAPTURE(text);
        CHECK(database_name(text).full() == "adam/db");
    }
    CHECK(database_name("adam.my.db").full() == "adam/my.db");
    CHECK(database_name("adam>my~db").full() == "adam/my~db");
}

TEST_CASE("a user has 1 to 38 characters and a database 1 to 23") {
    const auto named = [](std::size_t user, std::size_t database) {
        return std::string(user, 'u') + "/" + std::string(database, 'd');
    };
    CHECK(complaint(named(1, 1)).empty());
    CHECK(complaint(named(38, 23)).empty());
    CHECK(complaint(named(39, 1)).find("its user is longer than 38") != std::string::npos);
    CHECK(complaint(named(1, 24)).find("its database is longer than 23") != std::string::npos);
    CHECK(complaint(named(1, 0)).find("its database is empty") != std::string::npos);
}

TEST_CASE("what is no name is refused with the text, the reason and the right form") {
    struct row {
        std::string text;
        const char* reason;
    };
    const row table[] = {
        {"", "it has no \"/\""},
        {"adam", "it has no \"/\""},
        {"adam-db", "it has no \"/\""},
        {"/db", "its user does not begin with"},
        {".db", "its user does not begin with"},
        {"-adam/db", "its user does not begin with"},
        {" adam/db", "its user does not begin with"},
        {"adam/", "its database is empty"},
        {"adam.", "its database is empty"},
    };
    for (const row& one : table) {
        CAPTURE(one.text);
        const std::string said = complaint(one.text);
        CAPTURE(said);
        CHECK(said.starts_with("\"" + one.text + "\" is not a database name"));
        CHECK(said.find(one.reason) != std::string::npos);
        CHECK(said.find("a full name is \"user/db\"") != std::string::npos);
    }
}

TEST_CASE("a control character is refused and does not reach the message") {
    for (const char c : {'\0', '\n', '\r', '\x1b', '\x7f'}) {
        CAPTURE(static_cast<int>(c));
        for (const std::string& text : {std::string("adam/d") + c + "b",
                                        std::string("a") + c + "/db", std::string("adam.db") + c}) {
            const std::string said = complaint(text);
            CHECK(said.find("a control character") != std::string::npos);
            CHECK(said.find(c) == std::string::npos);
        }
    }
}

TEST_CASE("a URL path has two segments, percent-encoded where they must be") {
    struct row {
        std::string text;
        const char* path;
    };
    const row table[] = {
        {"adam/my-db", "adam/my-db"},   {"a.b~c_d/e-f", "a.b~c_d/e-f"},
        {"adam/my db", "adam/my%20db"}, {"adam/b/c", "adam/b%2Fc"},
        {"a?b/c#d", "a%3Fb/c%23d"},     {"adam/50%", "adam/50%25"},
        {"adam/é", "adam/%C3%A9"},      {"adam/a+b&c=d", "adam/a%2Bb%26c%3Dd"},
    };
    for (const row& one : table) {
        CAPTURE(one.text);
        CHECK(database_name(one.text).url_path() == one.path);
    }
}

TEST_CASE("names print in full, compare by it and sort by it") {
    std::ostringstream out;
    out << database_name("adam~db");
    CHECK(out.str() == "adam/db");
    CHECK(database_name("adam.db") == database_name(std::string("adam/db")));
    CHECK(database_name("adam/db") != database_name("adam/DB"));
    CHECK(database_name("adam/a") < database_name("adam/b"));
}

}  // namespace
