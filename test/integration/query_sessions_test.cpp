// The sessions that queries of the API leave for the next: whose they are, and that they are clean.
#include "support/accounts.hpp"
#include "support/api_calls.hpp"
#include "support/comes_true.hpp"
#include "support/run.hpp"
#include "support/test_server.hpp"

#include <bitdotio/connection.hpp>
#include <bitdotio/local_server.hpp>

#include <boost/json.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <set>
#include <string>
#include <thread>
#include <vector>

namespace {

namespace json = boost::json;
using namespace std::chrono_literals;
using bitdotio::connection;
using test::api_calls;
using test::body_of;
using test::test_server;
namespace asio = boost::asio;

struct house {
    explicit house(bitdotio::local_server_options options = {}) : server(options) {}

    // The rows of the last statement, as JSON; or the error's body.
    std::string rows(const api_calls& who, const std::string& sql) const {
        const test::http_answer answer = who.query(name.full(), sql);
        return answer.status == 200 ? json::serialize(body_of(answer).at("data")) : answer.body;
    }
    std::string rows(const std::string& sql) const { return rows(owner, sql); }
    std::string session() const { return rows("SELECT pg_backend_pid()"); }

    test_server server;
    bitdotio::database_name name = server.create_database("db");
    const api_calls owner{server};
};

bitdotio::local_server_options without_limits() {
    bitdotio::local_server_options options;
    options.calls_per_second = 0;
    return options;
}

house& shared() {
    static house one(without_limits());
    return one;
}

}  // namespace

TEST_CASE("the session of a query is used by the next one of the same account") {
    house& one = shared();
    const std::string first = one.session();
    CHECK(first.find("[[") == 0);
    CHECK(one.session() == first);
    CHECK(one.rows("SELECT 1 AS a; SELECT pg_backend_pid()") == first);
}

TEST_CASE("a query finds nothing of what the one before it left in the session") {
    house& one = shared();
    one.rows("CREATE TABLE IF NOT EXISTS t (n serial)");
    const std::string before = one.session();
    // Each is taken by a query of its own, and told of by the next.
    const struct {
        const char* leaves;
        const char* asks;
        const char* clean;
    } cases[] = {
        {"CREATE TEMP TABLE secret AS SELECT 7 AS n", "SELECT to_regclass('pg_temp.secret')",
         "[[null]]"},
        {"CREATE FUNCTION pg_temp.f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
         "SELECT count(*) FROM pg_proc WHERE proname = 'f'", "[[0]]"},
        {"SET statement_timeout = '7s'", "SHOW statement_timeout", R"([["0"]])"},
        {"SET search_path = pg_catalog", "SHOW search_path", R"([["\"$user\", public"]])"},
        {"SET TIME ZONE 'Asia/Tokyo'; SET DateStyle = 'German'", "SHOW DateStyle",
         R"([["ISO, MDY"]])"},
        {"SET my.secret = 'told'", "SELECT coalesce(current_setting('my.secret', true), '')",
         R"([[""]])"},
        {"SET default_transaction_read_only = on", "SHOW transaction_read_only", R"([["off"]])"},
        {"SET default_transaction_isolation = serializable", "SHOW transaction_isolation",
         R"([["read committed"]])"},
        {"PREPARE secret AS SELECT 1", "SELECT count(*) FROM pg_prepared_statements", "[[0]]"},
        {"SELECT pg_advisory_lock(7); SELECT pg_advisory_lock_shared(8)",
         "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'", "[[0]]"},
        {"LISTEN secret", "SELECT count(*) FROM pg_listening_channels()", "[[0]]"},
        {"BEGIN; DECLARE secret CURSOR WITH HOLD FOR SELECT 1; COMMIT",
         "SELECT count(*) FROM pg_cursors WHERE name = 'secret'", "[[0]]"},
        {"SET ROLE reader", "SELECT current_user, current_setting('role')",
         R"([["owner","owner"]])"},
        {"RESET SESSION AUTHORIZATION", "SELECT current_user, current_setting('role')",
         R"([["owner","owner"]])"},
        {"SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY", "SHOW transaction_read_only",
         R"([["off"]])"},
    };
    for (const auto& each : cases) {
        CAPTURE(each.leaves);
        CHECK(one.owner.query(one.name.full(), each.leaves).status == 200);
        CHECK(one.rows(each.asks) == each.clean);
    }
    // A sequence's last value is an error where none was taken.
    one.rows("INSERT INTO t DEFAULT VALUES");
    CHECK(one.rows("SELECT lastval()").find("55000") != std::string::npos);
    // So is a seed: the same numbers would come again.
    one.rows("SELECT setseed(0.25)");
    const std::string chosen = one.rows("SELECT random()");
    one.rows("SELECT setseed(0.25)");
    CHECK(one.rows("SELECT random()") != chosen);
    CHECK(before != "");
}

TEST_CASE("a transaction that was left open is rolled back, and its session ends") {
    house& one = shared();
    one.rows("DROP TABLE IF EXISTS open; CREATE TABLE open (n int)");
    const std::string before = one.session();
    CHECK(one.owner.query(one.name.full(), "BEGIN; INSERT INTO open VALUES (1)").status == 200);
    CHECK(one.rows("SELECT count(*) FROM open") == "[[0]]");
    CHECK(one.session() != before);
}

TEST_CASE("a query that fails ends its session") {
    house& one = shared();
    const std::string before = one.session();
    CHECK(one.owner.query(one.name.full(), "CREATE TEMP TABLE t2 (n int); SELECT 1/0").status ==
          400);
    const std::string after = one.session();
    CHECK(after.find("[[") == 0);
    CHECK(after != before);
}

TEST_CASE("a session that its database has ended is replaced, unseen") {
    house& one = shared();
    const std::string pid = one.session();
    const std::string number = pid.substr(2, pid.size() - 4);
    // By a session of its own: what is ended is another, which is idle.
    const test::account second = test::make_account(one.server, bitdotio::role::admin, {one.name});
    const api_calls admin(one.server, second.key);
    CHECK(one.rows(admin, "SELECT pg_terminate_backend(" + number + ", 10000)") == "[[true]]");
    const std::string next = one.session();
    CHECK(next.find("[[") == 0);
    CHECK(next != pid);
}

TEST_CASE("many queries at once share few sessions, and none waits long for a slow one") {
    house one(without_limits());
    const auto ask_at_once = [&](std::size_t many, const std::string& sql) {
        std::vector<std::string> answers(many);
        std::vector<std::thread> askers;
        for (std::string& answer : answers)
            askers.emplace_back([&] { answer = one.rows(api_calls(one.server), sql); });
        for (std::thread& each : askers)
            each.join();
        return std::set<std::string>(answers.begin(), answers.end());
    };
    ask_at_once(8, "SELECT pg_backend_pid(), pg_sleep(0.5)");  // as many as are kept
    const std::set<std::string> pids = ask_at_once(40, "SELECT pg_backend_pid(), pg_sleep(0.01)");
    CHECK(pids.size() < 20);
    for (const std::string& each : pids)
        CHECK(each.find("[[") == 0);

    const auto with_all_in_use = [&]() -> asio::awaitable<void> {
        connection holder = co_await connection::open(one.server.connect_options(one.name));
        co_await holder.query("SELECT pg_advisory_lock(1)");
        std::thread waiting([&] { ask_at_once(8, "SELECT pg_advisory_lock_shared(1)"); });
        const std::string blocked =
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted";
        CHECK(test::comes_true([&] { return one.rows(blocked) == "[[8]]"; }));
        CHECK(one.session().find("[[") == 0);
        CHECK(one.rows(blocked) == "[[8]]");  // they wait still
        co_await holder.close();
        waiting.join();
    };
    test::run(with_all_in_use());
}

TEST_CASE("no session passes from one account to another, nor from one role to another") {
    house& one = shared();
    std::set<std::string> sessions;
    std::set<std::string> users;
    const test::account accounts[] = {
        test::make_account(one.server, bitdotio::role::admin, {one.name}),
        test::make_account(one.server, bitdotio::role::admin, {one.name}),
        test::make_account(one.server, bitdotio::role::writer, {one.name}),
        test::make_account(one.server, bitdotio::role::reader, {one.name}),
        test::make_account(one.server, bitdotio::role::reader, {one.name})};
    for (int round = 0; round < 2; ++round) {
        sessions.insert(one.session());
        for (const test::account& each : accounts) {
            const api_calls who(one.server, each.key);
            sessions.insert(one.rows(who, "SELECT pg_backend_pid()"));
            users.insert(one.rows(who, "SELECT session_user"));
        }
    }
    CHECK(sessions.size() == 6);
    CHECK(users.size() == 5);
}

TEST_CASE("settings of the role and the database are those that the next query begins with") {
    house& one = shared();
    one.session();
    CHECK(one.owner.query(one.name.full(), "ALTER DATABASE main SET work_mem = '5MB'").status ==
          200);
    CHECK(one.rows("SHOW work_mem") == R"([["5MB"]])");
    CHECK(one.owner.query(one.name.full(), "ALTER DATABASE main RESET work_mem").status == 200);
    CHECK(one.rows("SHOW work_mem") == R"([["4MB"]])");
}

TEST_CASE("a kept session does not keep its database awake, nor outlives its sleep") {
    bitdotio::local_server_options options = without_limits();
    options.sleep_after = 500ms;
    house one(options);
    const std::string first = one.session();
    const auto begin = std::chrono::steady_clock::now();
    one.server.wait_until_asleep(one.name);
    CHECK(std::chrono::steady_clock::now() - begin < 8s);  // before the session's own time is over
    const std::string second = one.session();
    CHECK(second.find("[[") == 0);
    CHECK(second != first);
}

TEST_CASE("a kept session leaves a small database's connections to others, and ends idle ones") {
    bitdotio::local_server_options options = without_limits();
    options.max_connections = 4;
    house few(options);
    CHECK(few.session() != few.session());

    options = without_limits();
    options.idle_session_timeout = 600ms;
    house brief(options);
    const std::string first = brief.session();
    CHECK(test::comes_true([&] {
        const auto answer = brief.rows(
            "SELECT count(*) FROM pg_stat_activity "
            "WHERE backend_type = 'client backend'");
        return answer == "[[1]]";
    }));
    CHECK(first.find("[[") == 0);
}

TEST_CASE("what a query wrote is measured before it is answered, and shown") {
    house one(without_limits());
    const auto used = [&] {
        return body_of(one.owner("GET", "/db/" + one.name.full()))
            .at("storage_usage_bytes")
            .as_int64();
    };
    const std::int64_t before = used();
    one.session();
    CHECK(used() - before < 1'000'000);
    one.rows("CREATE TABLE t AS SELECT repeat('x', 1000) AS x FROM generate_series(1, 5000)");
    CHECK(used() - before > 5'000'000);
    // Also if only a function it calls writes.
    one.rows(
        "CREATE FUNCTION grow() RETURNS int LANGUAGE sql AS "
        "$$ INSERT INTO t SELECT x FROM t; SELECT 1 $$");
    one.rows("SELECT grow()");
    CHECK(used() - before > 10'000'000);
}
