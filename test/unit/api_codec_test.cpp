// The API's bodies, written and read, and the messages for malformed ones.
#include "service/api_codec.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <vector>

namespace {

using namespace bitdotio;
using namespace std::chrono_literals;
using std::chrono::sys_days;

database sample() {
    database all;
    all.id = "7d1a57b5-6a8b-4c4d-8e1f-0123456789ab";
    all.name = "adam/my-db";
    all.date_created = sys_days(2024y / 5 / 6) + 7h + 8min + 9s + 123456us;
    all.visible = visibility::public_;
    all.role = role::writer;
    all.storage_limit_bytes = std::numeric_limits<std::int64_t>::max();
    all.storage_usage_bytes = 8'601'600;
    all.usage_current = usage{12, sys_days(2024y / 5 / 1), sys_days(2024y / 6 / 1)};
    all.usage_previous = usage{0, sys_days(2024y / 4 / 1), sys_days(2024y / 5 / 1)};
    return all;
}

// The shortest description of a database, with the fields of `more` before it.
std::string least(const std::string& more = "") {
    return "{" + more + R"("id":"1","name":"adam/db","role":"OWNER"})";
}

// The field for which a body is refused; the message must name it.
template <class Decode>
std::string refused_field(Decode decode, const std::string& body) {
    CAPTURE(body);
    try {
        decode(body);
    } catch (const api::malformed_body& failure) {
        CHECK(failure.code() == errc::bad_input);
        CHECK(std::string(failure.what()).find(failure.field()) != std::string::npos);
        return failure.field();
    }
    return "none: it was taken";
}

const auto decode_database = [](const std::string& body) { return api::decode_database(body); };

TEST_CASE("a database survives the way there and back") {
    CHECK(api::decode_database(api::encode(sample())) == sample());
    database bare;
    bare.id = "1";
    CHECK(api::decode_database(api::encode(bare)) == bare);
    for (const role each : {role::owner, role::admin, role::writer, role::reader}) {
        bare.role = each;
        CHECK(api::decode_database(api::encode(bare)).role == each);
    }
}

TEST_CASE("a database is written with every field, null where there is nothing") {
    database bare;
    bare.id = "1";
    bare.name = "adam/db";
    CHECK(api::encode(bare) ==
          R"({"id":"1","name":"adam/db","date_created":null,"is_private":true,"role":"OWNER",)"
          R"("storage_limit_bytes":null,"storage_usage_bytes":0,"usage_current":null,)"
          R"("usage_previous":null})");
}

TEST_CASE("a period of usage is written as dates, as the service's own description has it") {
    database all = sample();
    const std::string body = api::encode(all);
    CHECK(body.find(R"("usage_current":{"rows_queried":12,"period_start":"2024-05-01",)"
                    R"("period_end":"2024-06-01"})") != std::string::npos);
}

TEST_CASE("a service account and a key survive the way there and back") {
    service_account robot;
    robot.id = "7d1a57b5";
    robot.name = "robot";
    robot.date_created = sys_days(2024y / 5 / 6) + 7h;
    robot.role = role::admin;
    service_account::grant grant;
    grant.id = "1";
    grant.name = "adam/db";
    robot.databases = {grant};
    robot.token_count = 3;
    robot.active_token_count = 2;
    CHECK(api::decode_service_account(api::encode(robot)) == robot);
    const std::vector<service_account> several{robot, robot};
    CHECK(api::decode_service_accounts(api::encode(several)) == several);
    CHECK(api::encode(std::vector<service_account>()) == R"({"service_accounts":[]})");

    issued_key fresh;
    fresh.key = api_key("v2_secret");
    fresh.username = "robot";
    CHECK(api::encode(fresh) == R"({"api_key":"v2_secret","username":"robot"})");
    const issued_key read = api::decode_issued_key(api::encode(fresh));
    CHECK(read.key == fresh.key);
    CHECK(read.username == "robot");
}

TEST_CASE("a malformed account or key is refused with its field and without the key") {
    const auto account = [](const std::string& body) { return api::decode_service_account(body); };
    CHECK(refused_field(account, R"({"name":"x","role":"READER"})") == "id");
    CHECK(refused_field(account, R"({"id":"1","name":"x","role":"BOSS"})") == "role");
    CHECK(refused_field(account, R"({"id":"1","name":"x","role":"READER","databases":7})") ==
          "databases");
    CHECK(refused_field(account,
                        R"({"id":"1","name":"x","role":"READER","databases":[{"id":"1"}]})") ==
          "name");
    const auto key = [](const std::string& body) { return api::decode_issued_key(body); };
    CHECK(refused_field(key, R"({"username":"x"})") == "api_key");
    CHECK(refused_field(key, R"({"api_key":"v2_x"})") == "username");
    try {
        api::decode_issued_key(R"({"api_key":"secret!","username":"x"})");
        FAIL("it was taken");
    } catch (const api::malformed_body& failure) {
        CHECK(std::string(failure.what()).find("secret") == std::string::npos);
    }
}

TEST_CASE("a list of databases survives the way there and back") {
    const std::vector<database> several = {sample(), api::decode_database(least())};
    CHECK(api::decode_databases(api::encode(several)) == several);
    CHECK(api::encode(std::vector<database>()) == R"({"databases":[]})");
    CHECK(api::decode_databases(R"({"databases":[]})").empty());
}

TEST_CASE("an answer of the hosted service is understood") {
    const database told = api::decode_database(
        R"({"id": "1", "name": "adam/db", "date_created": "2023-01-02T03:04:05Z",
            "is_private": true, "role": "READER", "storage_limit_bytes": 3000000000,
            "storage_usage_bytes": 8601600, "plan": {"name": "free"},
            "usage_current": {"rows_queried": 7, "period_start": "2023-01-01",
                              "period_end": "2023-02-01", "rows_left": 3},
            "usage_previous": null})");
    CHECK(told.date_created == sys_days(2023y / 1 / 2) + 3h + 4min + 5s);
    CHECK(told.role == role::reader);
    CHECK(told.storage_limit_bytes == 3'000'000'000);
    CHECK(told.usage_current == usage{7, sys_days(2023y / 1 / 1), sys_days(2023y / 2 / 1)});
    CHECK_FALSE(told.usage_previous);
}

TEST_CASE("a database of which little is told is private and empty") {
    const database told = api::decode_database(least());
    CHECK(told.visible == visibility::private_);
    CHECK(told.storage_usage_bytes == 0);
    CHECK_FALSE(told.date_created);
    CHECK_FALSE(told.storage_limit_bytes);
    CHECK_FALSE(told.usage_current);
}

TEST_CASE("a database with a missing or mistyped field is refused with its name") {
    struct row {
        std::string body;
        std::string field;
    };
    const row table[] = {
        {"", ""},
        {"null", ""},
        {"[]", ""},
        {"{\"id\":", ""},
        {least() + "x", ""},
        {R"({"name":"adam/db","role":"OWNER"})", "id"},
        {R"({"id":1,"name":"adam/db","role":"OWNER"})", "id"},
        {R"({"id":"1","role":"OWNER"})", "name"},
        {R"({"id":"1","name":null,"role":"OWNER"})", "name"},
        {R"({"id":"1","name":"no-slash","role":"OWNER"})", "name"},
        {R"({"id":"1","name":"adam/db"})", "role"},
        {R"({"id":"1","name":"adam/db","role":"owner"})", "role"},
        {R"({"id":"1","name":"adam/db","role":1})", "role"},
        {least(R"("date_created":"yesterday",)"), "date_created"},
        {least(R"("date_created":1700000000,)"), "date_created"},
        {least(R"("is_private":"maybe",)"), "is_private"},
        {least(R"("is_private":1,)"), "is_private"},
        {least(R"("storage_limit_bytes":1.5,)"), "storage_limit_bytes"},
        {least(R"("storage_limit_bytes":9223372036854775808,)"), "storage_limit_bytes"},
        {least(R"("storage_usage_bytes":"many",)"), "storage_usage_bytes"},
        {least(R"("usage_current":[],)"), "usage_current"},
        {least(R"("usage_previous":{"rows_queried":"x"},)"), "rows_queried"},
        {least(R"("usage_current":{"period_start":"May"},)"), "period_start"},
        {least(R"("usage_current":{"period_end":5},)"), "period_end"},
    };
    for (const row& one : table) {
        CHECK(refused_field(decode_database, one.body) == one.field);
    }
}

TEST_CASE("a list that is none is refused, and a database in it like any other") {
    const auto decode = [](const std::string& body) { return api::decode_databases(body); };
    CHECK(refused_field(decode, "[]") == "");
    CHECK(refused_field(decode, "{}") == "databases");
    CHECK(refused_field(decode, R"({"databases":{}})") == "databases");
    CHECK(refused_field(decode, R"({"databases":["adam/db"]})") == "databases");
    CHECK(refused_field(decode, R"({"databases":[{}]})") == "id");
}

TEST_CASE("a wish to create survives the way there and back") {
    for (const visibility visible : {visibility::private_, visibility::public_}) {
        for (const auto& limit : {std::optional<std::int64_t>(), std::optional<std::int64_t>(0)}) {
            api::create_request wish;
            wish.name = "my \"db\"";
            wish.visible = visible;
            wish.storage_limit_bytes = limit;
            const api::create_request read = api::decode_create_request(api::encode(wish));
            CHECK(read.name == wish.name);
            CHECK(read.visible == visible);
            CHECK(read.storage_limit_bytes == limit);
        }
    }
}

TEST_CASE("a wish to create is private without a limit unless it says otherwise") {
    const api::create_request wish = api::decode_create_request(R"({"name":"db","color":"red"})");
    CHECK(wish.visible == visibility::private_);
    CHECK_FALSE(wish.storage_limit_bytes);
    api::create_request plain;
    plain.name = "db";
    CHECK(api::encode(plain) == R"({"name":"db","is_private":true})");
}

TEST_CASE("booleans and integers are understood as the strings that the Python tool sends") {
    struct row {
        std::string json;
        visibility visible;
    };
    const row table[] = {
        {"true", visibility::private_},      {"false", visibility::public_},
        {R"("true")", visibility::private_}, {R"("false")", visibility::public_},
        {R"("True")", visibility::private_}, {R"("False")", visibility::public_},
        {R"("1")", visibility::private_},    {R"("0")", visibility::public_},
    };
    for (const row& one : table) {
        CAPTURE(one.json);
        const std::string body = R"({"name":"db","is_private":)" + one.json + "}";
        CHECK(api::decode_create_request(body).visible == one.visible);
    }
    CHECK(api::decode_create_request(R"({"name":"db","storage_limit_bytes":"5000000000"})")
              .storage_limit_bytes == 5'000'000'000);
}

TEST_CASE("a wish to create with a missing or mistyped field is refused with its name") {
    struct row {
        std::string body;
        std::string field;
    };
    const row table[] = {
        {"{}", "name"},
        {R"({"name":7})", "name"},
        {R"({"name":"db","is_private":"yes"})", "is_private"},
        {R"({"name":"db","storage_limit_bytes":-1})", "storage_limit_bytes"},
        {R"({"name":"db","storage_limit_bytes":"-1"})", "storage_limit_bytes"},
        {R"({"name":"db","storage_limit_bytes":"5 GB"})", "storage_limit_bytes"},
        {R"({"name":"db","storage_limit_bytes":""})", "storage_limit_bytes"},
        {R"({"name":"db","storage_limit_bytes":1e3})", "storage_limit_bytes"},
        {R"({"name":"db","storage_limit_bytes":true})", "storage_limit_bytes"},
    };
    const auto decode = [](const std::string& body) { return api::decode_create_request(body); };
    for (const row& one : table) {
        CHECK(refused_field(decode, one.body) == one.field);
    }
}

TEST_CASE("changes hold what is to change and nothing else") {
    database_changes changes;
    CHECK(api::encode(changes) == "{}");
    changes.visible = visibility::public_;
    CHECK(api::encode(changes) == R"({"is_private":false})");
    changes.name = "new";
    changes.storage_limit_bytes = 0;
    CHECK(api::encode(changes) == R"({"name":"new","is_private":false,"storage_limit_bytes":0})");

    const database_changes read = api::decode_database_changes(api::encode(changes));
    CHECK(read.name == changes.name);
    CHECK(read.visible == changes.visible);
    CHECK(read.storage_limit_bytes == changes.storage_limit_bytes);
}

TEST_CASE("absent and null fields of changes change nothing") {
    for (const std::string body :
         {"{}", R"({"name":null,"is_private":null,"storage_limit_bytes":null,"x":1})"}) {
        CAPTURE(body);
        const database_changes changes = api::decode_database_changes(body);
        CHECK_FALSE(changes.name);
        CHECK_FALSE(changes.visible);
        CHECK_FALSE(changes.storage_limit_bytes);
    }
    const auto decode = [](const std::string& body) { return api::decode_database_changes(body); };
    CHECK(refused_field(decode, R"({"name":1})") == "name");
    CHECK(refused_field(decode, R"({"is_private":[]})") == "is_private");
    CHECK(refused_field(decode, R"({"storage_limit_bytes":-1})") == "storage_limit_bytes");
}

TEST_CASE("a query survives the way there and back, both of its fields required") {
    api::query_request query;
    query.database_name = "adam/db";
    query.query_string = "SELECT '\"é\"'\n\t-- \\";
    const api::query_request read = api::decode_query_request(api::encode(query));
    CHECK(read.database_name == query.database_name);
    CHECK(read.query_string == query.query_string);

    const auto decode = [](const std::string& body) { return api::decode_query_request(body); };
    CHECK(refused_field(decode, R"({"query_string":"SELECT 1"})") == "database_name");
    CHECK(refused_field(decode, R"({"database_name":"adam/db"})") == "query_string");
    CHECK(refused_field(decode, R"({"database_name":"adam/db","query_string":1})") ==
          "query_string");
}

TEST_CASE("an error answer is understood in each of its three shapes") {
    struct row {
        std::string body;
        std::string message;
        std::string type;
    };
    const row table[] = {
        {R"({"detail":"Invalid token","uuid":"1"})", "Invalid token", ""},
        {R"({"status_code":404,"error_id":"1","message":"No such database"})", "No such database",
         ""},
        {R"({"status_code":400,"error_id":"1","message":"Bad name","help":"Use letters",
             "error":{"type":"42P01"}})",
         "Bad name; Use letters", "42P01"},
        {R"({"status_code":409,"error_id":"1","help":"Use another"})", "Use another", ""},
        {R"({"status_code":400,"error_id":"1","message":null,"help":null,"error":null})", "", ""},
        {R"({"detail":[{"loc":["body","name"],"msg":"field required","type":"missing"}]})",
         "field required", ""},
        {R"({"detail":[{"loc":[],"msg":"one","type":""},{"loc":[],"msg":"two","type":""}]})",
         "one; two", ""},
    };
    for (const row& one : table) {
        CAPTURE(one.body);
        const api::error_answer answer = api::decode_error(one.body);
        CHECK(answer.message == one.message);
        CHECK(answer.type == one.type);
    }
}

TEST_CASE("an error answer that makes no sense says nothing and is no further error") {
    for (const std::string body :
         {"", "<html>502 Bad Gateway</html>", "null", "[]", "\"text\"", "{}",
          "{\"message\":", R"({"message":7,"help":[],"error":"x","detail":{}})",
          R"({"detail":[1,{"msg":2},null]})", R"({"error":{"type":5}})"}) {
        CAPTURE(body);
        CHECK(api::decode_error(body).message.empty());
        CHECK(api::decode_error(body).type.empty());
    }
}

}  // namespace
