// Every endpoint of the service's own description, each answer held to its schema by a validator.
#include "support/api_calls.hpp"
#include "support/child.hpp"
#include "support/run.hpp"
#include "support/test_server.hpp"

#include <doctest/doctest.h>
#include <boost/json.hpp>

#include <fstream>
#include <string>
#include <vector>

using test::field_of;
namespace json = boost::json;

namespace {

// Calls, and writes down what was answered.
class recorder {
public:
    recorder(const test::test_server& server, std::ostream& out) : server_(server), out_(out) {}

    test::http_answer operator()(const std::string& key, const std::string& method,
                                 const std::string& path, const std::string& body = "") {
        const test::http_answer answer = test::api_calls(server_, key)(method, path, body);
        CAPTURE(answer.body);
        CHECK(answer.head.find("Content-Type: application/json") != std::string::npos);
        json::object line;
        line["method"] = method;
        line["path"] = "/v2beta" + path;
        line["status"] = answer.status;
        line["body"] = test::body_of(answer);
        out_ << json::serialize(line) << "\n";
        return answer;
    }

private:
    const test::test_server& server_;
    std::ostream& out_;
};

}  // namespace

TEST_CASE("every call answers every status as the service's description says") {
    const test::temporary_directory directory;
    std::ofstream answers(directory / "answers");
    std::ofstream unanswered(directory / "unanswered");
    unanswered << "GET /v2beta/db/ 422\n";  // what has nothing to validate is never invalid
    // The server neither imports nor exports yet.
    for (const std::string what : {"import", "export"}) {
        for (const char* status : {"200", "401", "404", "422"}) {
            unanswered << "GET /v2beta/" + what + "/{" + what + "_id} " + status + "\n";
        }
        for (const char* status : {"201", "400", "401", "403", "404", "422"}) {
            unanswered << "POST /v2beta/db/{username}/{db_name}/" + what + "/ " + status + "\n";
        }
    }
    unanswered.close();
    test::test_server server;
    const std::string mine = server.key().reveal();
    recorder call(server, answers);

    const auto made = call(mine, "POST", "/db/", R"({"name": "one", "is_private": false})");
    CHECK(made.status == 201);
    call(mine, "POST", "/db/", R"({"name": "two", "storage_limit_bytes": 5000000000})");
    std::vector<bitdotio::database_name> databases;
    databases.emplace_back("local/two");
    const auto robot =
        test::run(server.server().create_account("robot", bitdotio::role::reader, databases));
    const std::string account = "/service-account/" + robot.id;
    const std::string nobody = "/service-account/00000000-0000-4000-8000-000000000000";
    const std::string key = field_of(call(mine, "POST", account + "/api-key/"), "api_key");

    // 401: no key and a wrong one, at every call, in both forms of its path.
    const std::vector<std::pair<std::string, std::string>> all = {
        {"GET", "/db/"},
        {"POST", "/db/"},
        {"GET", "/db/local/one"},
        {"PATCH", "/db/local/one"},
        {"DELETE", "/db/local/one"},
        {"POST", "/query"},
        {"GET", "/service-account/"},
        {"GET", account},
        {"POST", account + "/api-key/"},
        {"DELETE", account + "/api-key/"},
        {"POST", "/api-key/"},
        {"DELETE", "/api-key/"},
    };
    for (const auto& [method, path] : all) {
        CAPTURE(path);
        CHECK(call("", method, path).status == 401);
        std::string other = path;
        if (other.ends_with('/'))
            other.pop_back();
        else
            other += '/';
        CHECK(call("v2_wrong", method, other).status == 401);
    }
    // 403: what is not for service accounts, and not for readers.
    for (const auto& [method, path, body] :
         std::vector<std::tuple<std::string, std::string, std::string>>{
             {"POST", "/db/", R"({"name": "three"})"},
             {"PATCH", "/db/local/two", R"({"name": "three"})"},
             {"DELETE", "/db/local/two", ""},
             {"GET", "/service-account/", ""},
             {"GET", account, ""},
             {"POST", account + "/api-key/", ""},
             {"DELETE", account + "/api-key/", ""},
             {"POST", "/api-key/", ""},
             {"DELETE", "/api-key/", ""}}) {
        CAPTURE(path);
        CHECK(call(key, method, path, body).status == 403);
    }
    // 404, and in the same words for what is another's.
    for (const auto& [method, path] : std::vector<std::pair<std::string, std::string>>{
             {"GET", "/db/local/none"},
             {"PATCH", "/db/local/none"},
             {"DELETE", "/db/eve/none/"},
             {"GET", nobody},
             {"POST", nobody + "/api-key/"},
             {"DELETE", nobody + "/api-key/"},
             {"DELETE", "/api-key/?api_key=v2_none"}}) {
        CAPTURE(path);
        CHECK(call(mine, method, path, "{}").status == 404);
    }
    // 400, 409, 422.
    CHECK(call(mine, "POST", "/db/", R"({"name": ""})").status == 400);
    CHECK(call(mine, "PATCH", "/db/local/one", R"({"name": "a/b"})").status == 400);
    CHECK(call(mine, "POST", "/db/", R"({"name": "one"})").status == 409);
    CHECK(call(mine, "PATCH", "/db/local/one", R"({"name": "two"})").status == 409);
    CHECK(call(mine, "POST", "/db/", R"({"is_private": true})").status == 422);
    CHECK(call(mine, "PATCH", "/db/local/one", R"({"is_private": 7})").status == 422);
    CHECK(call(mine, "POST", "/query", R"({"database_name": "local/one"})").status == 422);
    CHECK(call(mine, "GET", "/db/-/x").status == 422);
    CHECK(call(mine, "DELETE", "/db/local/123456789012345678901234").status == 422);
    // Statuses that are not described have the shape of those that are.
    const auto query = [&](const std::string& database, const std::string& sql) {
        const json::object body{{"database_name", database}, {"query_string", sql}};
        return call(mine, "POST", "/query", json::serialize(body)).status;
    };
    CHECK(query("local/none", "SELECT 1") == 404);
    CHECK(query("local/one", "SELEC 1") == 400);
    // 200.
    CHECK(query("local/one", "SELECT 1 AS n") == 200);
    CHECK(call(mine, "GET", "/db/").status == 200);
    CHECK(call(key, "GET", "/db").status == 200);
    CHECK(call(mine, "GET", "/db/local%2Fone").status == 200);
    CHECK(call(mine, "PATCH", "/db/local/one",
               R"({"name": null, "is_private": "true", "storage_limit_bytes": "6000000000"})")
              .status == 200);
    CHECK(call(mine, "DELETE", "/db/local/one").status == 200);
    CHECK(call(mine, "GET", "/service-account").status == 200);
    CHECK(call(mine, "GET", account + "/").status == 200);
    CHECK(call(mine, "DELETE", account + "/api-key").status == 200);
    const std::string second = field_of(call(mine, "POST", "/api-key"), "api_key");
    CHECK(call(mine, "DELETE", "/api-key?api_key=" + second).status == 200);
    CHECK(call(second, "GET", "/db/").status == 401);
    CHECK(call(mine, "DELETE", "/api-key/").status == 200);
    CHECK(call(mine, "GET", "/db/").status == 401);
    server.stop();

    answers.close();
    const std::string support = TEST_SUPPORT;
    const test::ending checked = test::run_program(
        {"/usr/bin/python3", support + "/check_answers.py", directory / "answers",
         directory / "unanswered", support + "/openapi.json", support + "/openapi_accounts.json"},
        {});
    CAPTURE(checked.err);
    CHECK(checked.out == "");
    CHECK(checked.status == 0);
}
