// The HTTP API as its clients see it: handwritten requests, every call and every error shape.
#include "support/api_calls.hpp"
#include "support/test_server.hpp"
#include "support/wire_sessions.hpp"

#include <doctest/doctest.h>
#include <boost/json.hpp>

#include <string>

using namespace std::string_literals;
using test::body_of;
using test::test_server;
using test::wire_client;
namespace json = boost::json;
namespace asio = boost::asio;

namespace {

test_server& server() {
    static test_server one;
    return one;
}

test::http_answer raw(const std::string& request) {
    return test::https(server().api_port(), server().ca_file(), request);
}

struct options {
    std::string authorization = "Bearer " + server().key().reveal();
    std::string headers;
};

test::http_answer call(const std::string& method, const std::string& target,
                       const std::string& body = "", const options& how = options()) {
    std::string request = method + " " + target + " HTTP/1.1\r\nHost: localhost\r\n" +
                          "Connection: close\r\n" + how.headers;
    if (!how.authorization.empty()) request += "Authorization: " + how.authorization + "\r\n";
    request += "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
    return raw(request);
}

std::string fresh_database() {
    return server().fresh_database().full();
}

test::http_answer query(const std::string& database, const std::string& sql,
                        const std::string& target = "/v2beta/query") {
    const json::object body{{"database_name", database}, {"query_string", sql}};
    return call("POST", target, json::serialize(body));
}

// 400, 403, 404, 409: {"status_code", "error_id", "message"}.
void check_error(const test::http_answer& answer, int status, const std::string& part) {
    CHECK(answer.status == static_cast<unsigned>(status));
    const json::value body = body_of(answer);
    CHECK(body.at("status_code") == status);
    CHECK(body.at("error_id").as_string().size() == 36);
    const std::string said(body.at("message").as_string());
    CAPTURE(said);
    CHECK(said.find(part) != std::string::npos);
}

void check_unprocessable(const test::http_answer& answer, const std::string& field) {
    CHECK(answer.status == 422);
    const json::value body = body_of(answer);
    const json::value& detail = body.at("detail").at(0);
    CHECK(detail.at("loc").at(0) == "body");
    if (!field.empty()) CHECK(detail.at("loc").at(1) == json::string(field));
    CHECK(detail.at("msg").as_string().size() > 0);
    CHECK(detail.at("type").is_string());
}

}  // namespace

TEST_CASE("a database is made, shown, listed, changed and deleted") {
    const auto made = call("POST", "/v2beta/db/", R"({"name": "whole", "is_private": false})");
    CHECK(made.status == 201);
    CHECK(made.head.find("Content-Type: application/json") != std::string::npos);
    const json::value created = body_of(made);
    CHECK(created.at("name") == "local/whole");
    CHECK(created.at("is_private") == false);
    CHECK(created.at("role") == "OWNER");
    CHECK(created.at("id").as_string().size() == 36);
    CHECK(created.at("date_created").is_string());
    CHECK(created.at("storage_limit_bytes") == 10'737'418'240);
    CHECK(created.at("storage_usage_bytes").as_int64() > 0);
    CHECK(created.at("usage_current").at("rows_queried") == 0);
    CHECK(created.at("usage_previous").at("rows_queried") == 0);

    const auto shown = call("GET", "/v2beta/db/local/whole");
    CHECK(shown.status == 200);
    CHECK(body_of(shown).at("id") == created.at("id"));

    const json::value listed = body_of(call("GET", "/v2beta/db/"));
    bool found = false;
    for (const json::value& one : listed.at("databases").as_array()) {
        found = found || one.at("id") == created.at("id");
    }
    CHECK(found);

    const auto changed = call("PATCH", "/v2beta/db/local/whole",
                              R"({"name": "renamed", "storage_limit_bytes": 1000000})");
    CHECK(changed.status == 200);
    CHECK(body_of(changed).at("name") == "local/renamed");
    CHECK(body_of(changed).at("storage_limit_bytes") == 1000000);
    CHECK(body_of(changed).at("is_private") == false);

    const auto deleted = call("DELETE", "/v2beta/db/local/renamed");
    CHECK(deleted.status == 200);
    CHECK(body_of(deleted).at("id") == created.at("id"));
    check_error(call("GET", "/v2beta/db/local/renamed"), 404, "local/renamed");
    check_error(call("DELETE", "/v2beta/db/local/renamed"), 404, "local/renamed");
}

TEST_CASE("paths work with and without a trailing slash and with an escaped slash") {
    const std::string name = fresh_database();
    const std::string database = name.substr(name.find('/') + 1);
    CHECK(call("GET", "/v2beta/db").status == 200);
    CHECK(call("GET", "/v2beta/db/local/" + database + "/").status == 200);
    CHECK(call("GET", "/v2beta/db/local%2F" + database).status == 200);
    CHECK(query(name, "SELECT 1", "/v2beta/query/").status == 200);
}

TEST_CASE("booleans are taken as strings, and a database is private unless it is said") {
    const auto made = call("POST", "/v2beta/db/", R"({"name": "strung", "is_private": "false"})");
    CHECK(body_of(made).at("is_private") == false);
    const auto silent = call("POST", "/v2beta/db/", R"({"name": "silent"})");
    CHECK(body_of(silent).at("is_private") == true);
}

TEST_CASE("a query answers rows, or objects if they are asked for, with the columns' types") {
    const std::string name = fresh_database();
    const std::string sql = "SELECT 1 AS n, 'x' AS t, 2.5::float8 AS f, true AS b, NULL::int AS z";
    const auto rows = query(name, sql);
    CHECK(rows.status == 200);
    CHECK(body_of(rows).at("query_string") == json::string(sql));
    CHECK(body_of(rows).at("data") == json::parse(R"([[1, "x", 2.5, true, null]])"));
    CHECK(body_of(rows).at("metadata") ==
          json::parse(R"({"n": "integer", "t": "text", "f": "double precision", "b": "boolean",
                          "z": "integer"})"));
    const auto objects = query(name, sql, "/v2beta/query?data_format=objects");
    CHECK(body_of(objects).at("data") ==
          json::parse(R"([{"n": 1, "t": "x", "f": 2.5, "b": true, "z": null}])"));

    const std::string twice = "SELECT 1 AS a, 'x' AS a";
    const auto told_apart = query(name, twice, "/v2beta/query?data_format=objects");
    CHECK(body_of(told_apart).at("data") == json::parse(R"([{"a": 1, "a_1": "x"}])"));
    CHECK(body_of(told_apart).at("metadata") == json::parse(R"({"a": "integer", "a_1": "text"})"));
    CHECK(body_of(query(name, twice)).at("data") == json::parse(R"([[1, "x"]])"));
    CHECK(body_of(query(name, twice)).at("metadata") == body_of(told_apart).at("metadata"));
}

TEST_CASE("values without a JSON type are strings, json is nested, unknown types are named") {
    const std::string name = fresh_database();
    const auto answer =
        query(name,
              "CREATE TYPE mood AS ENUM ('sad'); "
              "SELECT 1.50::numeric AS a, '{\"k\": [1]}'::jsonb AS b, date '2024-05-06' AS c, "
              "'sad'::mood AS d, ARRAY[1,2] AS e, 9007199254740993::bigint AS f, "
              "'NaN'::float8 AS g");
    CHECK(answer.status == 200);
    CHECK(body_of(answer).at("data") ==
          json::parse(R"([["1.50", {"k": [1]}, "2024-05-06", "sad", "{1,2}", 9007199254740993,
                           "NaN"]])"));
    CHECK(body_of(answer).at("metadata") ==
          json::parse(R"({"a": "numeric", "b": "jsonb", "c": "date", "d": "mood",
                          "e": "integer[]", "f": "bigint", "g": "double precision"})"));
}

TEST_CASE("a database has sessions for a pool of the official clients, which is of 100") {
    const auto answer = query(fresh_database(),
                              "SELECT current_setting('max_connections')::int - "
                              "current_setting('superuser_reserved_connections')::int AS n");
    CHECK(body_of(answer).at("data") == json::parse("[[110]]"));
}

TEST_CASE("floating-point numbers have the digits that PostgreSQL prints") {
    const auto answer =
        query(fresh_database(),
              "SELECT 0.1::real AS a, 0.1::float8 AS b, 1e20::real AS c, 1e-7::real AS d, "
              "0.1::float8 + 0.2::float8 AS e, 'Infinity'::real AS f, 'NaN'::real AS g, "
              "100::real AS h, ARRAY[0.1::real] AS i");
    CAPTURE(answer.body);
    CHECK(answer.status == 200);
    CHECK(answer.body.ends_with(
        R"("data":[[0.1,0.1,1e+20,1e-07,0.30000000000000004,"Infinity","NaN",100,"{0.1}"]]})"));
}

TEST_CASE("a format of answers that there is not is refused before the statement runs") {
    const std::string name = fresh_database();
    for (const std::string format : {"xml", "Objects", "csv", "object"}) {
        CAPTURE(format);
        const auto refused =
            query(name, "CREATE TABLE made (n int)", "/v2beta/query?data_format=" + format);
        CHECK(refused.status == 422);
        CHECK(body_of(refused).at("detail").at(0).at("loc") ==
              json::parse(R"(["query", "data_format"])"));
    }
    CHECK(query(name, "TABLE made").status == 400);
    for (const char* format : {"?data_format=rows", "?data_format=", "?other=xml", "?"}) {
        CAPTURE(format);
        const auto rows = query(name, "SELECT 1 AS a", "/v2beta/query"s + format);
        CHECK(body_of(rows).at("data") == json::parse("[[1]]"));
    }
}

TEST_CASE("COPY to or from the client is refused with what the API has for it") {
    const std::string name = fresh_database();
    CHECK(query(name, "CREATE TABLE t (n int); INSERT INTO t VALUES (4)").status == 200);
    for (const char* sql : {"COPY t TO STDOUT", "COPY t FROM STDIN", "COPY (SELECT 1) TO STDOUT",
                            "SELECT 1; COPY t TO STDOUT", "DELETE FROM t; COPY t FROM STDIN"}) {
        CAPTURE(sql);
        const auto refused = query(name, sql);
        check_error(refused, 400, "start an import or an export");
        for (const char* word : {"copy_in", "copy_out", "script", "pipeline"}) {
            CHECK(refused.body.find(word) == std::string::npos);
        }
    }
    CHECK(body_of(query(name, "TABLE t")).at("data") == json::parse("[[4]]"));
}

TEST_CASE("several statements are one transaction and the last one's rows are the answer") {
    const std::string name = fresh_database();
    const auto answer = query(name, "CREATE TABLE t (n int); INSERT INTO t VALUES (4); TABLE t");
    CHECK(body_of(answer).at("data") == json::parse("[[4]]"));
    CHECK(query(name, "INSERT INTO t VALUES (5); SELECT 1/0").status == 400);
    CHECK(body_of(query(name, "TABLE t")).at("data") == json::parse("[[4]]"));
    const auto nothing = query(name, "INSERT INTO t VALUES (6)");
    CHECK(nothing.status == 200);
    CHECK(body_of(nothing).at("data") == json::parse("[]"));
    CHECK(body_of(nothing).at("metadata") == json::parse("{}"));
}

TEST_CASE("an error of SQL is 400 with PostgreSQL's message and SQLSTATE") {
    const std::string name = fresh_database();
    const auto missing = query(name, "SELECT * FROM nowhere");
    check_error(missing, 400, "relation \"nowhere\" does not exist");
    check_error(missing, 400, "42P01");
    check_error(query(name, "SELEC 1"), 400, "42601");
    check_error(query(name, "SELECT 1/0"), 400, "division by zero");
}

TEST_CASE("an answer beyond the limit is refused, and the next one served") {
    const std::string database = fresh_database();
    const auto refused =
        query(database, "SELECT 1; SELECT repeat('x', 100000) FROM generate_series(1, 1000000)");
    check_error(refused, 400, "the answer is longer than 67108864 bytes");
    CHECK(query(database, "SELECT 1").status == 200);
}

TEST_CASE("a request without a valid key is 401 with detail and uuid") {
    for (const std::string authorization :
         {"", "Bearer v2_wrong", "Bearer nonsense", "Basic abc", "Bearer "}) {
        CAPTURE(authorization);
        options how;
        how.authorization = authorization;
        const auto answer = call("GET", "/v2beta/db/", "", how);
        CHECK(answer.status == 401);
        CHECK(answer.head.find("WWW-Authenticate: Bearer") != std::string::npos);
        CHECK(body_of(answer).at("detail").is_string());
        CHECK(body_of(answer).at("uuid").as_string().size() == 36);
    }
}

TEST_CASE("a database that is not this key's is as unknown as one that is nobody's") {
    check_error(call("GET", "/v2beta/db/local/none"), 404, "local/none");
    check_error(call("GET", "/v2beta/db/eve/none"), 404, "eve/none");
    check_error(call("PATCH", "/v2beta/db/local/none", "{}"), 404, "local/none");
    check_error(query("local/none", "SELECT 1"), 404, "local/none");
}

TEST_CASE("a name that is taken is 409, one that cannot be is 400") {
    const std::string name = fresh_database();
    const std::string other = fresh_database();
    const std::string taken = name.substr(name.find('/') + 1);
    check_error(call("POST", "/v2beta/db/", R"({"name": ")" + taken + "\"}"), 409, name);
    check_error(call("PATCH", "/v2beta/db/" + other, R"({"name": ")" + taken + "\"}"), 409, name);
    check_error(call("POST", "/v2beta/db/", R"({"name": ""})"), 400, "empty");
    check_error(call("POST", "/v2beta/db/", R"({"name": ")" + std::string(24, 'x') + "\"}"), 400,
                "23 characters");
    check_error(query("nonsense", "SELECT 1"), 400, "nonsense");
}

TEST_CASE("a body that cannot be read is 422 and names the field") {
    check_unprocessable(call("POST", "/v2beta/db/", "{\"name\""), "");
    check_unprocessable(call("POST", "/v2beta/db/", "[]"), "");
    check_unprocessable(call("POST", "/v2beta/db/"), "");
    check_unprocessable(call("POST", "/v2beta/db/", "{}"), "name");
    check_unprocessable(call("POST", "/v2beta/db/", R"({"name": 7})"), "name");
    check_unprocessable(call("POST", "/v2beta/db/", R"({"name": "x", "is_private": "perhaps"})"),
                        "is_private");
    check_unprocessable(call("POST", "/v2beta/query", R"({"database_name": "local/x"})"),
                        "query_string");
}

TEST_CASE("a wrong method is 405 and says which are right, an unknown path 404") {
    const auto answer = call("PUT", "/v2beta/db/local/x");
    check_error(answer, 405, "PUT");
    CHECK(answer.head.find("Allow: GET, PATCH, DELETE") != std::string::npos);
    check_error(call("GET", "/v2beta/nothing"), 404, "/v2beta/nothing");
}

TEST_CASE("health needs no key") {
    options how;
    how.authorization = "";
    const auto answer = call("GET", "/healthz", "", how);
    CHECK(answer.status == 200);
    CHECK(body_of(answer).at("status") == "ok");
}

TEST_CASE("connections are kept alive until the client says otherwise") {
    const std::string first = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
    const std::string last =
        "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    const auto answer = raw(first + first + last);
    CHECK(answer.head.find("Connection: close") == std::string::npos);
    std::size_t answers = 1;
    for (std::size_t at = 0; (at = answer.body.find("HTTP/1.1 200", at)) != std::string::npos;
         ++at) {
        ++answers;
    }
    CHECK(answers == 3);
    CHECK(answer.body.find("Connection: close") != std::string::npos);
}

TEST_CASE("headers and bodies beyond the limits are refused, and so is what is no HTTP") {
    options how;
    how.headers = "X-Long: " + std::string(20'000, 'x') + "\r\n";
    CHECK(call("GET", "/healthz", "", how).status == 431);
    const auto big =
        raw("POST /v2beta/query HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer " +
            server().key().reveal() + "\r\nContent-Length: 100000000\r\n\r\n");
    CHECK(big.status == 413);
    CHECK(raw("nonsense\r\n\r\n").status == 400);
}

TEST_CASE("a query wakes its database") {
    const std::string name = fresh_database();
    CHECK(server().is_asleep(name));
    CHECK(query(name, "SELECT 1").status == 200);
    CHECK_FALSE(server().is_asleep(name));
    server().sleep(name);
    CHECK(server().is_asleep(name));
    CHECK(query(name, "SELECT 1").status == 200);
}

TEST_CASE("deleting a database ends its connections") {
    const std::string name = fresh_database();
    test::with_wire_client(server(), name, [&](wire_client& client) -> asio::awaitable<void> {
        CHECK(call("DELETE", "/v2beta/db/" + name).status == 200);
        const test::reply goodbye = co_await client.receive_until('E');
        CHECK(goodbye.field('C') == "57P01");
        const test::reply again =
            co_await test::answer_to_login(server(), name, server().key().reveal());
        CHECK(again.type != 'Z');
        CHECK(again.field('C') == "3D000");
    });
}
