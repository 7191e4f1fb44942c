// Patterns of paths, and the paths of operators that are found by them.
#include "server/api/path_table.hpp"
#include "base/percent_encoding.hpp"
#include "server/api/ops_routes.hpp"

#include <doctest/doctest.h>

#include <string>

using namespace bitdotio;

namespace {

bool matches(const char* pattern, const char* path) {
    return match_path(pattern, path).has_value();
}

std::string part(const char* name, const char* pattern, const char* path) {
    const auto parts = match_path(pattern, path);
    return parts ? parts->named(name) : "no match";
}

}  // namespace

TEST_CASE("a pattern matches as many segments as it has, and a final slash more") {
    for (const char* path : {"/a/b", "/a/b/", "/%61/b"}) {
        CAPTURE(path);
        CHECK(matches("/a/b", path));
    }
    for (const char* path : {"", "/", "//", "///", "/a", "/a/", "/a//", "/a/b//", "//a/b", "/a//b",
                             "/a/b/c", "a/b", "a", "*", "/a%2Fb", "/a/%", "/a/b%"}) {
        CAPTURE(path);
        CHECK_FALSE(matches("/a/b", path));
    }
}

TEST_CASE("a name in braces takes one segment, decoded, and never an empty one") {
    CHECK(part("id", "/a/{id}", "/a/x%20%2Fy/") == "x /y");
    CHECK(part("id", "/a/{id}/b", "/a/b/b") == "b");
    CHECK(part("id", "/a/{id}", "/a/%zz%") == "%zz%");
    CHECK(part("id", "/a/{id}", "/a/%00") == std::string(1, '\0'));
    CHECK(part("other", "/a/{id}", "/a/x") == "");
    for (const char* path : {"/a", "/a/", "/a//", "//x", "/a/x//", "/a/x/y", "/a//x"}) {
        CAPTURE(path);
        CHECK_FALSE(matches("/a/{id}", path));
    }
}

TEST_CASE("a database's name takes two segments, or one whose slash is escaped") {
    const char* pattern = "/db/{db_name}/import";
    CHECK(part("db_name", pattern, "/db/u/d/import") == "u/d");
    CHECK(part("db_name", pattern, "/db/u%2Fd/import/") == "u/d");
    CHECK(part("db_name", pattern, "/db/u%2Fd/e/import") == "u/d/e");
    CHECK(part("db_name", pattern, "/db/import/import/import") == "import/import");
    for (const char* path : {"/db/u/import", "/db//d/import", "/db/u//import", "/db//import",
                             "/db/import", "/db/u/d/import/x", "/db/u%2Fd"}) {
        CAPTURE(path);
        CHECK_FALSE(matches(pattern, path));
    }
}

TEST_CASE("the calls of operators are found by their paths, and nothing else is") {
    using call = ops_route::call;
    struct {
        const char* method;
        const char* path;
        call what;
    } const calls[] = {
        {"GET", "/metrics", call::metrics},
        {"HEAD", "/status", call::status_page},
        {"GET", "/server/status", call::status},
        {"POST", "/server/databases/u/d/wake", call::wake},
        {"POST", "/server/databases/u/d/sleep", call::sleep},
        {"HEAD", "/server/keys", call::list_keys},
        {"POST", "/server/keys", call::create_key},
        {"DELETE", "/server/keys/k", call::revoke_key},
        {"GET", "/server/accounts", call::list_accounts},
        {"POST", "/server/accounts", call::create_account},
        {"DELETE", "/server/accounts/a", call::remove_account},
        {"PUT", "/server/accounts/a/databases/u/d", call::grant},
        {"DELETE", "/server/accounts/a/databases/u/d", call::revoke},
    };
    for (const auto& [method, path, what] : calls) {
        CAPTURE(path);
        CHECK(ops_route::find(method, path).what == what);
        CHECK(ops_route::find(method, std::string(path) + "/?x=y").what == what);
        CHECK(ops_route::find("BREW", path).what == call::wrong_method);
        CHECK(ops_routes::knows(path));
    }
    CHECK(ops_route::find("PATCH", "/server/accounts/").allow == "GET, HEAD, POST");
    const ops_route found = ops_route::find("PUT", "/server/accounts/a%2Fb/databases/u/d%20");
    CHECK(found.account == "a/b");
    CHECK(found.database == "u/d ");
    CHECK(ops_route::find("DELETE", "/server/keys/k/").key == "k");

    for (const char* path : {"",
                             "/",
                             "//",
                             "/server",
                             "/server/",
                             "/server//",
                             "/server///",
                             "/server//keys",
                             "/server/keys//",
                             "/server/keys//k",
                             "/server/nothing",
                             "/server/databases",
                             "/server/databases/u/d",
                             "/server/databases/u/d/",
                             "/server/databases//d/wake",
                             "/server/databases/u%2Fd/wake",
                             "/server/accounts/a/databases/u",
                             "/server%2Fkeys",
                             "/server/accounts//databases/u/d",
                             "/server/accounts/a/databases/u/d/x",
                             "/metrics//"}) {
        CAPTURE(path);
        CHECK(ops_route::find("GET", path).what == call::unknown_path);
    }
    CHECK(ops_routes::knows("/server//"));
    CHECK_FALSE(ops_routes::knows("/healthz"));
    CHECK_FALSE(ops_routes::knows("/v2beta/db"));
}

TEST_CASE("what is no valid escape stays as it is") {
    CHECK(percent_decoded("%41%zz%4") == "A%zz%4");
    CHECK(percent_decoded("100%") == "100%");
    CHECK(percent_decoded("%2525") == "%25");
    CHECK(percent_decoded("a%41") == "aA");
}
