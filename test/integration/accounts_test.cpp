// Keys, service accounts, roles and limits, over the API and the Postgres endpoint alike.
#include <bitdotio/client.hpp>
#include <bitdotio/error.hpp>

#include "support/accounts.hpp"
#include "support/api_calls.hpp"
#include "support/comes_true.hpp"
#include "support/run.hpp"
#include "support/test_server.hpp"
#include "support/wire_sessions.hpp"

#include <doctest/doctest.h>
#include <boost/asio/this_coro.hpp>
#include <boost/json.hpp>
#include <boost/system/system_error.hpp>

#include <chrono>
#include <string>
#include <vector>

using namespace std::chrono_literals;
using bitdotio::role;
using test::account;
using test::api_calls;
using test::body_of;
using test::comes_true;
using test::field_of;
using test::wire_client;
namespace asio = boost::asio;
namespace json = boost::json;

namespace {

test::test_server& server() {
    static test::test_server one;
    return one;
}

api_calls owner() {
    return api_calls(server());
}

std::string fresh_database() {
    return server().fresh_database().full();
}

account make_account(role what, const std::string& database) {
    return test::make_account(server(), what, {database});
}

struct session_answer {
    std::string value;     ///< first field of the first row
    std::string sqlstate;  ///< of the refusal, of the session or the statement
};

asio::awaitable<session_answer> run_session(std::uint16_t port, std::string database,
                                            std::string key, std::string sql) {
    wire_client client(co_await asio::this_coro::executor);
    session_answer answer;
    const bool admitted = co_await client.log_in(port, database, key);
    if (admitted) {
        client.last = test::reply();
        try {
            answer.value = co_await client.query(sql);
        } catch (const boost::system::system_error&) {
            // The server ended the session; its last error is kept.
        }
    }
    if (client.last.type == 'E') answer.sqlstate = client.last.field('C');
    co_return answer;
}

session_answer in_session(const std::string& database, const std::string& key,
                          const std::string& sql) {
    return test::run(run_session(server().postgres_port(), database, key, sql));
}

}  // namespace

TEST_CASE("each role may do in PostgreSQL what it says, by the API and by the endpoint") {
    const std::string name = fresh_database();
    REQUIRE(owner().query(name, "CREATE TABLE t (n int); INSERT INTO t VALUES (1)").status == 200);
    const account admin = make_account(role::admin, name);
    const account writer = make_account(role::writer, name);
    const account reader = make_account(role::reader, name);
    // Created after the accounts: new tables are covered too, also in new schemas.
    REQUIRE(owner().query(name, "CREATE SCHEMA s; CREATE TABLE s.late (id serial, n int)").status ==
            200);
    const struct {
        const char* sql;
        bool admin, writer, reader;
    } table[] = {
        {"SELECT n::text FROM t", true, true, true},
        {"SELECT count(*)::text FROM s.late", true, true, true},
        {"INSERT INTO s.late (n) VALUES (1) RETURNING n::text", true, true, false},
        {"UPDATE t SET n = 2 RETURNING n::text", true, true, false},
        {"DELETE FROM s.late RETURNING 1", true, true, false},
        {"TRUNCATE s.late", true, false, false},
        {"CREATE TABLE u (n int); DROP TABLE u", true, false, false},
        {"DROP TABLE IF EXISTS s.late2; ALTER TABLE t RENAME n TO m; ALTER TABLE t RENAME m TO n",
         true, false, false},
        {"CREATE TEMPORARY TABLE x AS SELECT 1", true, true, false},
        {"SELECT lo_unlink(lo_create(0))::text", true, true, false},
        {"SET ROLE owner", true, false, false},
        {"SET SESSION AUTHORIZATION postgres", false, false, false},
        {"SET ROLE limited", true, false, false},
        {"SET ROLE postgres", false, false, false},
        {"COPY t TO PROGRAM 'true'", false, false, false},
        {"SELECT pg_read_file('postgresql.conf')", false, false, false},
        {"CREATE ROLE mine", false, false, false},
        {"CREATE EXTENSION file_fdw", false, false, false},
        {"ALTER SYSTEM SET fsync = off", false, false, false},
    };
    for (const auto& [sql, by_admin, by_writer, by_reader] : table) {
        CAPTURE(sql);
        const std::pair<const account*, bool> rows[] = {
            {&admin, by_admin}, {&writer, by_writer}, {&reader, by_reader}};
        for (const auto& [who, may] : rows) {
            CAPTURE(who->id);
            const auto answer = api_calls(server(), who->key).query(name, sql);
            CAPTURE(answer.body);
            CHECK(answer.status == (may ? 200 : 400));
        }
    }
    const std::pair<const account*, const char*> roles[] = {
        {&admin, "owner"}, {&writer, "writer"}, {&reader, "reader"}};
    for (const auto& [who, what] : roles) {
        CHECK(in_session(name, who->key, "SELECT split_part(current_user, '_', 1)").value == what);
        CHECK(in_session(name, who->key,
                         "SELECT bool_or(rolsuper)::text FROM pg_roles "
                         "WHERE rolname IN (current_user, session_user)")
                  .value == "false");
    }
    CHECK(in_session(name, reader.key, "INSERT INTO t VALUES (3)").sqlstate == "42501");
    // What an admin makes belongs to the owner.
    api_calls(server(), admin.key).query(name, "CREATE TABLE by_admin (n int)");
    CHECK(owner().query(name, "DROP TABLE by_admin").status == 200);
}

TEST_CASE("a service account has its databases and nothing else") {
    const std::string mine = fresh_database();
    const std::string other = fresh_database();
    const account writer = make_account(role::writer, mine);
    const api_calls robot(server(), writer.key);
    const json::value listed = body_of(robot("GET", "/db/"));
    REQUIRE(listed.at("databases").as_array().size() == 1);
    CHECK(listed.at("databases").at(0).at("name") == json::string(mine));
    CHECK(listed.at("databases").at(0).at("role") == "WRITER");
    CHECK(robot("GET", "/db/" + other).status == 404);
    CHECK(robot.query(other, "SELECT 1").status == 404);
    CHECK(in_session(other, writer.key, "SELECT 1").sqlstate == "3D000");
    const std::pair<const char*, std::string> forbidden[] = {
        {"POST", "/db/"},
        {"DELETE", "/db/" + mine},
        {"PATCH", "/db/" + mine},
        {"GET", "/service-account/"},
        {"GET", "/service-account/" + writer.id},
        {"POST", "/service-account/" + writer.id + "/api-key/"},
        {"DELETE", "/service-account/" + writer.id + "/api-key/"},
        {"POST", "/api-key/"},
        {"DELETE", "/api-key/"},
    };
    for (const auto& [method, path] : forbidden) {
        CAPTURE(path);
        const auto answer = robot(method, path, R"({"name": "x"})");
        CHECK(answer.status == 403);
        CHECK(body_of(answer).at("status_code") == 403);
    }
    const auto more = test::run(server().server().grant(writer.id, other));
    CHECK(more.databases.size() == 2);
    CHECK(robot.query(other, "SELECT 1").status == 200);
    test::run(server().server().revoke(writer.id, other));
    CHECK(robot.query(other, "SELECT 1").status == 404);
    test::run(server().server().remove_account(writer.id));
    CHECK(robot("GET", "/db/").status == 401);
}

TEST_CASE("a public database is read by every key and written by its own") {
    const std::string name = fresh_database();
    owner().query(name, "CREATE TABLE t AS SELECT 7 AS n");
    const account stranger = make_account(role::writer, fresh_database());
    const api_calls other(server(), stranger.key);
    CHECK(other.query(name, "TABLE t").status == 404);
    CHECK(owner()("PATCH", "/db/" + name, R"({"is_private": "false"})").status == 200);
    CHECK(body_of(other.query(name, "TABLE t")).at("data") == json::parse("[[7]]"));
    CHECK(other.query(name, "INSERT INTO t VALUES (8)").status == 400);
    CHECK(field_of(other("GET", "/db/" + name), "role") == "READER");
    CHECK(in_session(name, stranger.key, "SELECT n::text FROM t").value == "7");
    CHECK(in_session(name, stranger.key, "DELETE FROM t").sqlstate == "42501");
}

TEST_CASE("the client makes and revokes keys, its own and those of accounts") {
    const std::string name = fresh_database();
    const account robot = make_account(role::reader, name);
    test::run([&]() -> asio::awaitable<void> {
        bitdotio::client service(co_await asio::this_coro::executor, server().client_options());
        const auto all = co_await service.list_service_accounts();
        CHECK_FALSE(all.empty());
        const auto one = co_await service.get_service_account(robot.id);
        CHECK(one.role == role::reader);
        CHECK(one.token_count == 1);
        CHECK(one.databases.at(0).name.full() == name);
        const auto second = co_await service.create_service_account_key(robot.id);
        CHECK(second.username == one.name);
        co_await service.revoke_service_account_keys(robot.id);
        const auto after = co_await service.get_service_account(robot.id);
        CHECK(after.token_count == 2);
        CHECK(after.active_token_count == 0);

        const auto mine = co_await service.create_api_key();
        CHECK(mine.username == "local");
        bitdotio::client_options options = server().client_options();
        options.key = mine.key;
        bitdotio::client other(co_await asio::this_coro::executor, options);
        co_await other.list_databases();
        co_await service.revoke_api_keys(mine.key);
        std::string refused;
        try {
            co_await other.list_databases();
        } catch (const bitdotio::error& failure) {
            CHECK(failure.code() == bitdotio::errc::authentication_failed);
            refused = failure.what();
        }
        CHECK(refused.find("not one of this server") != std::string::npos);
        CHECK(refused.find(mine.key.reveal()) == std::string::npos);
        bitdotio::errc code{};
        try {
            co_await service.revoke_api_keys(mine.key);
        } catch (const bitdotio::error& failure) {
            code = failure.code();
        }
        CHECK(code == bitdotio::errc::not_found);
        try {
            co_await service.get_service_account("../db");
        } catch (const bitdotio::error& failure) {
            code = failure.code();
        }
        CHECK(code == bitdotio::errc::bad_input);
        co_await other.close();
        co_await service.close();
    });
    CHECK(in_session(name, robot.key, "SELECT 1").sqlstate == "28P01");
}

TEST_CASE(
    "a renamed database answers to its old name everywhere, a deleted one's name is blocked") {
    const std::string name = fresh_database();
    const std::string short_name = name.substr(name.find('/') + 1);
    CHECK(owner()("PATCH", "/db/" + name, R"({"name": "renamed-one"})").status == 200);
    CHECK(field_of(owner()("GET", "/db/" + name), "name") == "local/renamed-one");
    CHECK(owner().query(name, "SELECT 1").status == 200);
    CHECK(in_session(name, server().key().reveal(), "SELECT 'here'").value == "here");
    CHECK(owner()("POST", "/db/", R"({"name": ")" + short_name + "\"}").status == 409);
    CHECK(owner()("DELETE", "/db/" + name).status == 200);
    for (const std::string& gone : {short_name, std::string("renamed-one")}) {
        CHECK(owner()("GET", "/db/local/" + gone).status == 404);
        const auto again = owner()("POST", "/db/", R"({"name": ")" + gone + "\"}");
        CHECK(again.status == 409);
        CHECK(field_of(again, "message").find("deleted within 30 days") != std::string::npos);
    }
}

TEST_CASE("names never become paths") {
    for (const char* path :
         {"/db/local/..%2F..%2Fetc", "/db/..%2f..%2fetc%2fpasswd/x", "/db/local/..",
          "/service-account/..%2F..%2Fdb", "/service-account/%00"}) {
        CAPTURE(path);
        const auto answer = owner()("GET", path);
        CHECK((answer.status == 404 || answer.status == 422));
    }
    CHECK(owner()("POST", "/db/", R"({"name": "../x"})").status == 400);
    const auto odd = owner()("POST", "/db/", R"({"name": ".."})");  // a name like any other
    CHECK(odd.status == 201);
    CHECK(owner().query("local/..", "SELECT 1").status == 200);
}

TEST_CASE("rows queried are counted for the month and told with the database") {
    const std::string name = fresh_database();
    CHECK(owner().query(name, "SELECT generate_series(1, 41)").status == 200);
    CHECK(owner().query(name, "SELECT 1").status == 200);
    const json::value told = body_of(owner()("GET", "/db/" + name));
    CHECK(told.at("usage_current").at("rows_queried") == 42);
    CHECK(told.at("usage_current").at("period_start").as_string().size() == 10);
    CHECK(told.at("usage_previous").at("rows_queried") == 0);
}

TEST_CASE("JSON that is nested without end is 422") {
    std::string body(100'000, '[');
    CHECK(owner()("POST", "/query", body).status == 422);
}

TEST_CASE("a database over its limit is read-only until space is freed or the limit raised") {
    test::test_server small;
    const api_calls call(small);
    const std::string name = small.create_database("full").full();
    const auto session = [&](const std::string& sql) {
        return test::run(run_session(small.postgres_port(), name, small.key().reveal(), sql));
    };
    const auto limit = [&](std::int64_t bytes) {
        return call("PATCH", "/db/" + name,
                    R"({"storage_limit_bytes": )" + std::to_string(bytes) + "}")
            .status;
    };
    const std::int64_t empty =
        body_of(call("GET", "/db/" + name)).at("storage_usage_bytes").as_int64();
    CHECK(limit(empty + 2'000'000) == 200);
    CHECK(
        call.query(name,
                   "CREATE TABLE t AS SELECT repeat('x', 1000) AS x FROM generate_series(1, 5000)")
            .status == 200);
    CHECK(session("SELECT split_part(current_user, '_', 1)").value == "limited");
    CHECK(session("INSERT INTO t VALUES ('y')").sqlstate == "25006");
    CHECK(session("SET default_transaction_read_only = off; SET transaction_read_only = off; "
                  "INSERT INTO t VALUES ('y')")
              .sqlstate == "42501");
    const auto refused = call.query(name, "INSERT INTO t VALUES ('y')");
    CHECK(refused.status == 403);
    CHECK(field_of(refused, "message").find("over its storage limit") != std::string::npos);
    CHECK(field_of(refused, "help").find("TRUNCATE") != std::string::npos);
    CHECK(body_of(refused).at("error").at("type") == "storage_limit_exceeded");
    CHECK(call.query(name, "SELECT count(*) FROM t").status == 200);
    // Only single statements are allowed, and only those that free space.
    CHECK(call.query(name, "DELETE FROM t; INSERT INTO t VALUES ('y')").status == 400);
    CHECK(call.query(name, "DELETE FROM t WHERE x = 'no'").status == 200);
    CHECK(call.query(name, "TRUNCATE t").status == 200);
    CHECK(call.query(name, "INSERT INTO t VALUES ('y')").status == 200);
    CHECK(session("SELECT current_user").value == "owner");

    CHECK(limit(1) == 200);
    CHECK(call.query(name, "INSERT INTO t VALUES ('y')").status == 403);
    CHECK(limit(1'000'000'000) == 200);
    CHECK(call.query(name, "INSERT INTO t VALUES ('y')").status == 200);
    small.stop();
}

TEST_CASE("a session that can write is ended when its database goes over the limit") {
    bitdotio::local_server_options options;
    options.storage_check_interval = 50ms;
    test::test_server small(options);
    const std::string name = small.create_database("full").full();
    const api_calls call(small);
    const auto session = [&](const std::string& sql) {
        return test::run(run_session(small.postgres_port(), name, small.key().reveal(), sql));
    };
    test::with_wire_client(small, name, [&](wire_client& client) -> asio::awaitable<void> {
        CHECK(call("PATCH", "/db/" + name, R"({"storage_limit_bytes": 1})").status == 200);
        const test::reply goodbye = co_await client.receive_until('E');
        CHECK(goodbye.field('C') == "57P01");
    });
    // Grants to PUBLIC are beyond roles: a session that uses them finds the service closed.
    CHECK(call("PATCH", "/db/" + name, R"({"storage_limit_bytes": 1000000000})").status == 200);
    CHECK(call.query(name, "CREATE TABLE t (x text); GRANT ALL ON t TO PUBLIC").status == 200);
    CHECK(call("PATCH", "/db/" + name, R"({"storage_limit_bytes": 1})").status == 200);
    const auto way_around = session(
        "SET default_transaction_read_only = off; SET transaction_read_only = off; "
        "INSERT INTO t SELECT repeat('x', 1000) FROM generate_series(1, 30000)");
    CHECK((way_around.sqlstate.empty() || way_around.sqlstate == "57P01"));
    CHECK(comes_true([&] { return session("SELECT 1").sqlstate == "53100"; }));
    CHECK(call.query(name, "TRUNCATE t").status == 200);
    CHECK(session("SELECT 'in'").value == "in");
    // What sessions write is measured on schedule.
    const std::int64_t now =
        body_of(call("GET", "/db/" + name)).at("storage_usage_bytes").as_int64();
    CHECK(call("PATCH", "/db/" + name,
               R"({"storage_limit_bytes": )" + std::to_string(now + 1'000'000) + "}")
              .status == 200);
    CHECK(comes_true([&] {
        return session("INSERT INTO t SELECT repeat('x', 1000) FROM generate_series(1, 200)")
                   .sqlstate == "25006";
    }));
    small.stop();
}

TEST_CASE(
    "a key that calls too often gets 429 and when to come again; statements have their time") {
    bitdotio::local_server_options options;
    options.call_burst = 5;
    options.calls_per_second = 1;
    options.query_timeout = 200ms;
    test::test_server strict(options);
    const std::string name = strict.create_database("db").full();
    const api_calls call(strict);
    CHECK(call.query(name, "SELECT pg_sleep(60)").status == 504);
    // Many in one connection, so that the machine's speed does not matter.
    const auto many = [&](const std::string& key, int times) {
        std::string requests;
        for (int i = 0; i < times; ++i) {
            requests += "GET /v2beta/db/ HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer " +
                        key + (i + 1 < times ? "\r\n\r\n" : "\r\nConnection: close\r\n\r\n");
        }
        const auto answer = test::https(strict.api_port(), strict.ca_file(), requests);
        return answer.head + answer.body;
    };
    const auto count = [](const std::string& text, const std::string& part) {
        int found = 0;
        for (std::size_t at = 0; (at = text.find(part, at)) != std::string::npos; ++at)
            ++found;
        return found;
    };
    const std::string answers = many(strict.key().reveal(), 40);
    CHECK(count(answers, "HTTP/1.1 429") >= 20);
    CHECK(count(answers, "HTTP/1.1 429") == count(answers, "Retry-After: 1\r\n"));
    CHECK(count(answers, R"("status_code":429)") == count(answers, "HTTP/1.1 429"));
    // Wrong keys are counted by address, and do not lock out the right one.
    const std::string refused = many("v2_wrong", 60);
    CHECK(count(refused, "HTTP/1.1 401") >= 30);
    CHECK(count(refused, "HTTP/1.1 429") >= 15);
    CHECK(count(refused, "HTTP/1.1 401") + count(refused, "HTTP/1.1 429") == 60);
    CHECK(comes_true([&] { return call("GET", "/db/").status == 200; }));
    strict.stop();
}
