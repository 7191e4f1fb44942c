// Requests reach their calls, however a client writes the path.
#include "server/api/router.hpp"

#include <doctest/doctest.h>

#include <optional>
#include <string>

using namespace bitdotio;

namespace {

bool is_unknown(const route& found) {
    return !found.call && found.allow.empty();
}

bool is_wrong_method(const route& found) {
    return !found.call && !found.allow.empty();
}

bool is_of_jobs(const route& found) {
    return found.call >= api_call::start_import && found.call <= api_call::download;
}

bool asks_for_objects(const char* target) {
    return query_parameter(find_route("POST", target).query, "data_format") == "objects";
}

std::optional<std::string> key_in(const char* target) {
    return query_parameter(find_route("DELETE", target).query, "api_key");
}

}  // namespace

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
        CHECK(is_wrong_method(find_route("BREW", path)));
    }
}

TEST_CASE("a wrong method is told the right ones") {
    CHECK(find_route("PUT", "/v2beta/db/").allow == "GET, POST");
    CHECK(find_route("POST", "/v2beta/db/a/b").allow == "GET, PATCH, DELETE");
    CHECK(find_route("GET", "/v2beta/query").allow == "POST");
}

TEST_CASE("a database's name comes as two segments or as one with an escaped slash") {
    CHECK(find_route("GET", "/v2beta/db/adam/my-db").database() == "adam/my-db");
    CHECK(find_route("GET", "/v2beta/db/adam%2Fmy-db/").database() == "adam/my-db");
    CHECK(find_route("GET", "/v2beta/db/adam%2fmy-db").database() == "adam/my-db");
    CHECK(find_route("GET", "/v2beta/db/adam/my%2Fdb").database() == "adam/my/db");
    CHECK(find_route("GET", "/v2beta/db/adam/my%20db%C3%A9").database() == "adam/my db\xC3\xA9");
}

TEST_CASE("half of a database's name is a name, to be told what is wrong with it") {
    CHECK(find_route("GET", "/v2beta/db/adam/").call == api_call::get_database);
    CHECK(find_route("GET", "/v2beta/db/adam/").database() == "adam");
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
        CHECK(is_unknown(find_route("GET", path)));
    }
}

TEST_CASE("objects are given only where they are asked for") {
    CHECK(asks_for_objects("/v2beta/query?data_format=objects"));
    CHECK(asks_for_objects("/v2beta/query/?a=b&data_format=objects&c"));
    CHECK_FALSE(asks_for_objects("/v2beta/query?data_format=rows"));
    CHECK_FALSE(asks_for_objects("/v2beta/query?xdata_format=objects"));
    CHECK_FALSE(asks_for_objects("/v2beta/query"));
}

TEST_CASE("an account's id and a key to revoke are read from the target") {
    CHECK(find_route("GET", "/v2beta/service-account/a%2Db/").parts.named("account") == "a-b");
    CHECK(find_route("DELETE", "/v2beta/service-account/x/api-key/").parts.named("account") == "x");
    CHECK(key_in("/v2beta/api-key/?x=1&api%5Fkey=v2%5Fabc") == "v2_abc");
    CHECK(key_in("/v2beta/api-key?api_key") == "");
    CHECK_FALSE(key_in("/v2beta/api-key?xapi_key=v2_abc"));
}

TEST_CASE("the calls about jobs are found by their paths") {
    CHECK(find_route("POST", "/v2beta/db/u/d/import/").call == api_call::start_import);
    CHECK(find_route("POST", "/v2beta/db/u/d/import").database() == "u/d");
    CHECK(find_route("POST", "/v2beta/db/u%2Fd/export/").call == api_call::start_export);
    CHECK(find_route("POST", "/v2beta/db/u%2Fd/export/").database() == "u/d");
    CHECK(find_route("GET", "/v2beta/import/1/").parts.named("id") == "1");
    CHECK(find_route("GET", "/v2beta/export/1").call == api_call::export_status);
    CHECK(find_route("HEAD", "/v2beta/export/1/download?a=b").call == api_call::download);
    CHECK(find_route("GET", "/v2beta/export/1/download?a=b").query == "a=b");
    CHECK(is_wrong_method(find_route("PUT", "/v2beta/db/u/d/import/")));
    CHECK(find_route("GET", "/v2beta/db/u/import").call == api_call::get_database);
    CHECK(find_route("GET", "/v2beta/db/u/d").call == api_call::get_database);
    for (const char* path :
         {"/v2beta/imports/1", "/v2beta/import", "/v2beta/import/", "/v2beta/import//",
          "/v2beta/export//download", "/v2beta/export/1//download", "/v2beta/export/1/download//",
          "/v2beta/db//d/import", "/v2beta/db/u//import", "/v2beta/db/import", "", "/", "//"}) {
        CAPTURE(path);
        CHECK_FALSE(is_of_jobs(find_route("GET", path)));
        CHECK_FALSE(is_of_jobs(find_route("POST", path)));
    }
}

TEST_CASE("the calls of operators are found by their paths, and nothing else is") {
    struct {
        const char* method;
        const char* path;
        api_call what;
    } const calls[] = {
        {"GET", "/metrics", api_call::metrics},
        {"HEAD", "/status", api_call::status_page},
        {"GET", "/server/status", api_call::server_status},
        {"POST", "/server/databases/u/d/wake", api_call::wake},
        {"POST", "/server/databases/u/d/sleep", api_call::sleep},
        {"POST", "/server/databases/u/d/repair", api_call::repair},
        {"HEAD", "/server/keys", api_call::list_server_keys},
        {"POST", "/server/keys", api_call::create_server_key},
        {"DELETE", "/server/keys/k", api_call::revoke_server_key},
        {"GET", "/server/accounts", api_call::list_server_accounts},
        {"POST", "/server/accounts", api_call::create_server_account},
        {"DELETE", "/server/accounts/a", api_call::remove_server_account},
        {"PUT", "/server/accounts/a/databases/u/d", api_call::grant},
        {"DELETE", "/server/accounts/a/databases/u/d", api_call::revoke},
    };
    for (const auto& [method, path, what] : calls) {
        CAPTURE(path);
        CHECK(find_route(method, path).call == what);
        CHECK(find_route(method, std::string(path) + "/?x=y").call == what);
        CHECK(is_wrong_method(find_route("BREW", path)));
        CHECK(find_route(method, path).who == audience::operators);
    }
    CHECK(find_route("PATCH", "/server/accounts/").allow == "GET, HEAD, POST");
    const route found = find_route("PUT", "/server/accounts/a%2Fb/databases/u/d%20");
    CHECK(found.parts.named("account") == "a/b");
    CHECK(found.database() == "u/d ");
    CHECK(find_route("DELETE", "/server/keys/k/").parts.named("key") == "k");

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
        CHECK(is_unknown(find_route("GET", path)));
    }
    CHECK(find_route("GET", "/server//").who == audience::operators);
    CHECK(find_route("GET", "/healthz").who == audience::anyone);
    CHECK(find_route("GET", "/v2beta/db").who == audience::account);
}
