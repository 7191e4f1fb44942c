// Every endpoint of the service's own description, each answer checked by a validator.
#include "support/api_calls.hpp"
#include "support/child.hpp"
#include "support/job_calls.hpp"
#include "support/run.hpp"
#include "support/test_server.hpp"

#include <doctest/doctest.h>
#include <boost/json.hpp>

#include <chrono>
#include <fstream>
#include <string>
#include <vector>

using test::field_of;
namespace json = boost::json;

namespace {

// Calls, and writes down the answers.
class recorder {
public:
    recorder(const test::test_server& server, std::ostream& out) : server_(server), out_(out) {}

    test::http_answer operator()(const std::string& key, const std::string& method,
                                 const std::string& path, const std::string& body = "",
                                 const std::string& headers = "") {
        const test::http_answer answer = test::api_calls(server_, key)(method, path, body, headers);
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

// Polls a job until it is over, and writes down each answer.
json::object end_of(recorder& call, const std::string& key, const test::http_answer& started) {
    CAPTURE(started.body);
    REQUIRE(started.status == 201);
    const std::string url = field_of(started, "status_url");
    const std::string path = url.substr(url.find("/v2beta/") + 7);
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (true) {
        const test::http_answer answer = call(key, "GET", path);
        REQUIRE(answer.status == 200);
        json::object job = test::body_of(answer).as_object();
        if (job.at("state") == "DONE" || job.at("state") == "FAILED") return job;
        REQUIRE(std::chrono::steady_clock::now() < deadline);
    }
}

// Imports and exports: `reader` is the key of an account that reads "local/two".
void about_jobs(recorder& call, const std::string& mine, const std::string& reader) {
    const std::string form = test::job_calls::form("goods", "goods.csv", "a,b\n1,x\n");
    const auto import = [&](const std::string& database, const std::string& body,
                            const std::string& headers = test::job_calls::form_headers) {
        return call(mine, "POST", "/db/" + database + "/import/", body, headers);
    };
    const auto export_ = [&](const std::string& key, const std::string& database,
                             const std::string& body) {
        return call(key, "POST", "/db/" + database + "/export/", body);
    };
    const std::string urlencoded = "Content-Type: application/x-www-form-urlencoded\r\n";

    const json::object imported = end_of(call, mine, import("local/two", form));
    CHECK(imported.at("state") == "DONE");
    const std::string private_url = "table_name=t&file_url=http%3A%2F%2F127.0.0.1%2F";
    const json::object refused = end_of(call, mine, import("local%2Ftwo", private_url, urlencoded));
    CHECK(refused.at("state") == "FAILED");
    CHECK(refused.at("error_type") == "download_failed");
    const json::object exported =
        end_of(call, reader, export_(reader, "local/two", R"({"table_name": "goods",
            "schema_name": "public", "export_format": "json", "file_name": "g"})"));
    CHECK(exported.at("state") == "DONE");
    CHECK(exported.at("download_url").is_string());
    const json::object failed =
        end_of(call, mine,
               export_(mine, "local/two", R"({"query_string": "SELEC", "export_format": "csv"})"));
    CHECK(failed.at("state") == "FAILED");

    // Another account's job is as unknown as one that does not exist.
    CHECK(call(reader, "GET", "/import/" + json::value_to<std::string>(imported.at("id"))).status ==
          404);
    CHECK(call(mine, "GET", "/export/" + json::value_to<std::string>(exported.at("id"))).status ==
          404);
    CHECK(call(mine, "GET", "/export/" + json::value_to<std::string>(imported.at("id"))).status ==
          404);

    const std::string long_name(64, 'x');
    CHECK(import("local/two", "{}", "Content-Type: application/json\r\n").status == 400);
    CHECK(import("local/two", test::job_calls::form(long_name, "f", "a\n")).status == 400);
    CHECK(export_(mine, "local/two",
                  R"({"export_format": "csv", "table_name": ")" + long_name + "\"}")
              .status == 400);
    CHECK(export_(mine, "local/two", R"({"table_name": "t"})").status == 422);
    CHECK(import("local/two", "table_name=t&file_url=ftp%3A%2F%2Fx%2F", urlencoded).status == 422);
    CHECK(import("local/two", "table_name=t", urlencoded).status == 422);
    CHECK(export_(mine, "local/two", R"({"export_format": "csv"})").status == 422);
    CHECK(export_(mine, "local/two", R"({"export_format": "doc", "table_name": "t"})").status ==
          422);
    // A name that is not possible, at every call with one in its path, and bytes that are not text.
    for (const std::string name : {"-/x", "local/123456789012345678901234", "local%2F%01"}) {
        CAPTURE(name);
        CHECK(import(name, form).status == 422);
        CHECK(export_(mine, name, "{}").status == 422);
    }
    CHECK(field_of(call(mine, "GET", "/db/local/%ff"), "message").find("\xff") ==
          std::string::npos);
    CHECK(call(mine, "GET", "/import/%ff").status == 422);
    CHECK(call(mine, "GET", "/export/%c0%80").status == 422);
}

}  // namespace

TEST_CASE("every call answers every status as the service's description says") {
    const test::temporary_directory directory;
    std::ofstream answers(directory / "answers");
    std::ofstream unanswered(directory / "unanswered");
    unanswered << "GET /v2beta/db/ 422\n";  // without anything to validate
    // An account that may know of a database may export from it.
    unanswered << "POST /v2beta/db/{username}/{db_name}/export/ 403\n";
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
    const std::string key = field_of(call(mine, "POST", account + "/api-key/"), "api_key");
    const std::string none = "00000000-0000-4000-8000-000000000000";
    const std::string nobody = "/service-account/" + none;

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
        {"POST", "/db/local/one/import/"},
        {"POST", "/db/local/one/export/"},
        {"GET", "/import/" + none},
        {"GET", "/export/" + none},
    };
    // A wrong key every other time: the server delays many from one address.
    bool wrong = false;
    for (const auto& [method, path] : all) {
        CAPTURE(path);
        CHECK(call("", method, path).status == 401);
        std::string other = path;
        if (other.ends_with('/'))
            other.pop_back();
        else
            other += '/';
        wrong = !wrong;
        if (wrong) CHECK(call("v2_wrong", method, other).status == 401);
    }
    // 403: what service accounts, or readers, may not do.
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
             {"DELETE", "/api-key/", ""},
             {"POST", "/db/local/two/import/", "table_name=t&file_url=http%3A%2F%2Fx"}}) {
        CAPTURE(path);
        CHECK(call(key, method, path, body).status == 403);
    }
    // 404, with the same text for what belongs to others.
    for (const auto& [method, path] :
         std::vector<std::pair<std::string, std::string>>{{"GET", "/db/local/none"},
                                                          {"PATCH", "/db/local/none"},
                                                          {"DELETE", "/db/eve/none/"},
                                                          {"GET", nobody},
                                                          {"POST", nobody + "/api-key/"},
                                                          {"DELETE", nobody + "/api-key/"},
                                                          {"DELETE", "/api-key/?api_key=v2_none"},
                                                          {"GET", "/import/" + none},
                                                          {"GET", "/export/none/"},
                                                          {"POST", "/db/local/none/import/"},
                                                          {"POST", "/db/eve/none/export"}}) {
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
    about_jobs(call, mine, key);
    // Undescribed statuses have the shape of the described ones.
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
