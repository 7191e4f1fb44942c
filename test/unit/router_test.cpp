// Requests find their calls, whatever way a client writes the path.
#include "server/api/router.hpp"

#include <doctest/doctest.h>

using namespace bitdotio;

TEST_CASE("every call is found by method and path, with and without a trailing slash") {
    struct {
        const char* method;
        const char* path;
        api_call call;
    } const calls[] = {
        {"GET", "/v2beta/db", api_call::list_databases},
        {"POST", "/v2beta/db", api_call::create_database},
        {"GET", "/v2beta/db/adam/my-db", api_call::get_database},
        {"PATCH", "/v2beta/db/adam/my-db", api_call::update_database},
        {"DELETE", "/v2beta/db/adam/my-db", api_call::delete_database},
        {"POST", "/v2beta/query", api_call::query},
        {"GET", "/v2beta/service-account", api_call::list_accounts},
        {"GET", "/v2beta/service-account/id", api_call::get_account},
        {"POST", "/v2beta/service-account/id/api-key", api_call::create_account_key},
        {"DELETE", "/v2beta/service-account/id/api-key", api_call::revoke_account_keys},
        {"POST", "/v2beta/api-key", api_call::create_key},
        {"DELETE", "/v2beta/api-key", api_call::revoke_keys},
        {"GET", "/healthz", api_call::health},
    };
    for (const auto& [method, path, call] : calls) {
        CAPTURE(path);
        CHECK(find_route(method, path).call == call);
        CHECK(find_route(method, std::string(path) + "/").call == call);
        CHECK(find_route(method, std::string(path) + "/?x=y").call == call);
        CHECK(find_route("BREW", path).call == api_call::wrong_method);
    }
}

TEST_CASE("a wrong method is told the right ones") {
    CHECK(find_route("PUT", "/v2beta/db/").allow == "GET, POST");
    CHECK(find_route("POST", "/v2beta/db/a/b").allow == "GET, PATCH, DELETE");
    CHECK(find_route("GET", "/v2beta/query").allow == "POST");
}

TEST_CASE("a database's name comes as two segments or as one with an escaped slash") {
    CHECK(find_route("GET", "/v2beta/db/adam/my-db").database == "adam/my-db");
    CHECK(find_route("GET", "/v2beta/db/adam%2Fmy-db/").database == "adam/my-db");
    CHECK(find_route("GET", "/v2beta/db/adam%2fmy-db").database == "adam/my-db");
    CHECK(find_route("GET", "/v2beta/db/adam/my%2Fdb").database == "adam/my/db");
    CHECK(find_route("GET", "/v2beta/db/adam/my%20db%C3%A9").database == "adam/my db\xC3\xA9");
}

TEST_CASE("half of a database's name is a name, to be told what is wrong with it") {
    CHECK(find_route("GET", "/v2beta/db/adam/").call == api_call::get_database);
    CHECK(find_route("GET", "/v2beta/db/adam/").database == "adam");
}

TEST_CASE("what is no path of the API is unknown") {
    for (const char* path : {"",
                             "/",
                             "/v2beta",
                             "/v2beta/",
                             "/v3/db",
                             "/v2beta/db/a/b/c",
                             "/v2beta/query/x",
                             "/v2beta/service-account/a/b",
                             "/v2beta/service-account/a/api-key/b",
                             "/v2beta/api-key/x",
                             "/v2beta/dbs",
                             "/v2beta/healthz",
                             "*",
                             "//",
                             "/v2beta//db",
                             "//v2beta/db",
                             "/v2beta/db//",
                             "/v2beta/db//a",
                             "/v2beta/db/a//",
                             "/v2beta/db/a//b",
                             "/v2beta/service-account//api-key",
                             "/healthz//",
                             "/v2beta%2Fdb",
                             "healthz",
                             "v2beta/db"}) {
        CAPTURE(path);
        CHECK(find_route("GET", path).call == api_call::unknown_path);
    }
}

TEST_CASE("objects are given only where they are asked for") {
    CHECK(find_route("POST", "/v2beta/query?data_format=objects").objects);
    CHECK(find_route("POST", "/v2beta/query/?a=b&data_format=objects&c").objects);
    CHECK_FALSE(find_route("POST", "/v2beta/query?data_format=rows").objects);
    CHECK_FALSE(find_route("POST", "/v2beta/query?xdata_format=objects").objects);
    CHECK_FALSE(find_route("POST", "/v2beta/query").objects);
}

TEST_CASE("an account's id and a key to revoke are read from the target") {
    CHECK(find_route("GET", "/v2beta/service-account/a%2Db/").account == "a-b");
    CHECK(find_route("DELETE", "/v2beta/service-account/x/api-key/").account == "x");
    CHECK(find_route("DELETE", "/v2beta/api-key/?x=1&api%5Fkey=v2%5Fabc").key == "v2_abc");
    CHECK(find_route("DELETE", "/v2beta/api-key?api_key").key == "");
    CHECK_FALSE(find_route("DELETE", "/v2beta/api-key?xapi_key=v2_abc").key);
}
