// A server whose databases are in a PostgreSQL that others run.
#include "support/backend.hpp"
#include "support/accounts.hpp"
#include "support/api_calls.hpp"
#include "support/child.hpp"
#include "support/job_calls.hpp"
#include "support/run.hpp"
#include "support/wire_sessions.hpp"
#include "support/with_connection.hpp"

#include <bitdotio/connection.hpp>
#include <bitdotio/error.hpp>

#include <boost/asio/use_awaitable.hpp>
#include <boost/json.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <optional>
#include <string>
#include <thread>
#include <vector>

using namespace std::chrono_literals;
using bitdotio::connection;
using bitdotio::errc;
using bitdotio::role;
using test::api_calls;
using test::field_of;
using test::wire_client;
namespace asio = boost::asio;

namespace {

test::postgres_primary& postgres() {
    static test::postgres_primary one;
    static const bool once = (test::make_service(one), true);
    static_cast<void>(once);
    return one;
}

test::test_server& server() {
    static test::test_server one(test::with_backend(test::backend_of(postgres())));
    return one;
}

api_calls owner() {
    return api_calls(server());
}

bitdotio::database_name fresh_database() {
    return server().fresh_database();
}

// The database's name in the backend.
std::string name_in_backend(const bitdotio::database_name& name) {
    return field_of(owner()("GET", "/db/" + name.full() + "/"), "id");
}

std::string key_for(role what, const bitdotio::database_name& name) {
    return test::make_account(server(), what, {name}).key;
}

bitdotio::connect_options session_of(const bitdotio::database_name& name, const std::string& key) {
    bitdotio::connect_options options = server().connect_options(name);
    options.password = key;
    options.wake_timeout = 0ms;
    return options;
}

// The first field of a statement's answer, or its SQLSTATE.
asio::awaitable<std::string> said(connection& session, std::string sql) {
    bitdotio::statement plain(std::move(sql));
    plain.text_results().unprepared();
    std::optional<std::string> refused;
    try {
        const bitdotio::result answer = co_await session.query(plain);
        co_return answer.size() == 0 ? "" : std::string(answer[0][0].data());
    } catch (const bitdotio::error& failure) {
        refused = failure.sqlstate();
    }
    co_return *refused;
}

asio::awaitable<std::vector<std::string>> say(bitdotio::connect_options where,
                                              std::vector<std::string> statements) {
    connection session = co_await connection::open(where);
    std::vector<std::string> answers;
    for (const std::string& each : statements) {
        answers.push_back(co_await said(session, each));
    }
    co_await session.close();
    co_return answers;
}

std::vector<std::string> ask(const bitdotio::database_name& name, const std::string& key,
                             std::vector<std::string> statements) {
    return test::run(say(session_of(name, key), std::move(statements)));
}

std::string failure_of_start(const std::string& conninfo) {
    try {
        const test::test_server started(test::with_backend(conninfo));
    } catch (const bitdotio::error& failure) {
        return failure.what();
    }
    return "it started";
}

}  // namespace

TEST_CASE("databases are made, shown, renamed, queried and deleted in the backend") {
    const bitdotio::database_name name = fresh_database();
    CHECK(owner().query(name.full(), "CREATE TABLE t AS SELECT 7 AS a").status == 200);
    const auto shown = owner()("GET", "/db/" + name.full() + "/");
    CHECK(test::body_of(shown).at("storage_usage_bytes").to_number<std::int64_t>() > 1'000'000);
    const std::string inside = "bitdotio_" + field_of(shown, "id");
    CHECK(postgres().value("SELECT count(*)::text FROM pg_roles WHERE rolname LIKE '" + inside +
                           "%' AND NOT rolsuper AND NOT rolcreatedb AND NOT rolcreaterole") == "5");

    CHECK(owner()("PATCH", "/db/" + name.full() + "/", R"({"name":"renamed"})").status == 200);
    const auto answer = owner().query("local/renamed", "SELECT a FROM t");
    CHECK(answer.status == 200);
    CHECK(test::body_of(answer).at("data").at(0).at(0).to_number<int>() == 7);
    CHECK(owner().query("local/renamed", "SELECT 1 / 0").status == 400);

    CHECK(owner()("DELETE", "/db/local/renamed/").status == 200);
    CHECK(postgres().value("SELECT count(*)::text FROM pg_database WHERE datname = '" + inside +
                           "'") == "0");
    CHECK(postgres().value("SELECT count(*)::text FROM pg_roles WHERE rolname LIKE '" + inside +
                           "%'") == "0");
    CHECK(owner().query("local/renamed", "SELECT 1").status == 404);
}

TEST_CASE("roles may what they may in instances, tables of tomorrow included") {
    const bitdotio::database_name name = fresh_database();
    const std::string mine = server().key().reveal();
    const std::string admin = key_for(role::admin, name);
    const std::string writer = key_for(role::writer, name);
    const std::string reader = key_for(role::reader, name);
    ask(name, mine,
        {"CREATE TABLE t (a serial, b text)", "INSERT INTO t (b) VALUES ('x')",
         "CREATE SCHEMA more"});
    CHECK(ask(name, admin,
              {"CREATE TABLE more.u (a int)",
               "SELECT tableowner = (SELECT tableowner FROM pg_tables WHERE tablename = 't') FROM "
               "pg_tables WHERE tablename = 'u'"}) == std::vector<std::string>{"", "t"});
    CHECK(ask(name, writer,
              {"INSERT INTO t (b) VALUES ('y') RETURNING a", "DELETE FROM more.u",
               "CREATE TEMP TABLE mine (a int)", "CREATE TABLE v (a int)", "TRUNCATE t"}) ==
          std::vector<std::string>{"2", "", "", "42501", "42501"});
    CHECK(ask(name, reader,
              {"SELECT count(*) FROM t", "SELECT count(*) FROM more.u", "DELETE FROM t",
               "CREATE TABLE v (a int)", "CREATE TEMP TABLE v (a int)"}) ==
          std::vector<std::string>{"2", "0", "42501", "42501", "42501"});
}

TEST_CASE("a database's roles are nobody in another, and see nothing of what all share") {
    const bitdotio::database_name name = fresh_database();
    const bitdotio::database_name other = fresh_database();
    const std::string there = "bitdotio_" + name_in_backend(other);
    const std::string mine = server().key().reveal();
    for (const std::string& key : {mine, key_for(role::reader, name)}) {
        CHECK(ask(name, key,
                  {"SELECT has_database_privilege('" + there + "', 'CONNECT')",
                   "SET ROLE \"" + there + "_reader\"", "SET SESSION AUTHORIZATION service",
                   "SET ROLE service", "SELECT rolpassword FROM pg_authid LIMIT 1",
                   "CREATE DATABASE mine", "CREATE ROLE mine", "ALTER ROLE service PASSWORD 'x'",
                   "RESET ROLE", "SELECT rolsuper FROM pg_roles WHERE rolname = current_user"}) ==
              std::vector<std::string>{"f", "42501", "42501", "42501", "42501", "42501", "42501",
                                       "42501", "", "f"});
    }
}

TEST_CASE("a session of the gateway is encrypted to the backend, and cancelled there") {
    const bitdotio::database_name name = fresh_database();
    test::with_wire_client(server(), name, [&](wire_client& client) -> asio::awaitable<void> {
        const std::string secure =
            co_await client.query("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()");
        CHECK(secure == "t");
        const std::string theirs = co_await client.query("SELECT pg_backend_pid()::text");
        CHECK(theirs == std::to_string(client.pid));

        co_await client.send(test::message('Q', std::string("SELECT pg_sleep(60)") + '\0'));
        const std::string sleeping =
            "SELECT count(*)::text FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(60)'";
        while (postgres().value(sleeping) == "0") {
        }
        wire_client canceller(co_await asio::this_coro::executor);
        co_await canceller.connect_securely(server().postgres_port());
        co_await canceller.send(test::packet(test::number(80877102) + test::number(client.pid) +
                                             test::number(client.secret)));
        co_await canceller.end();
        co_await client.receive_until('Z');
        CHECK(client.last.field('C') == "57014");
        const std::string after = co_await client.query("SELECT 'well'");
        CHECK(after == "well");
    });
}

TEST_CASE("what the backend refuses at the beginning of a session is in its own words") {
    const bitdotio::database_name name = fresh_database();
    bitdotio::connect_options wrong = session_of(name, server().key().reveal());
    wrong.settings = {{"work_mem", "nonsense"}};
    try {
        test::run(say(wrong, {}));
        FAIL("it was let in");
    } catch (const bitdotio::error& failure) {
        CHECK(failure.sqlstate() == "22023");
    }
}

TEST_CASE("asleep is when nobody is connected, and sleep ends sessions with 57P01") {
    const bitdotio::database_name name = fresh_database();
    server().wait_until_asleep(name);
    const auto mine = session_of(name, server().key().reveal());
    test::with_connection(mine, [&](connection& session) -> asio::awaitable<void> {
        CHECK_FALSE(server().is_asleep(name));
        server().sleep(name);
        CHECK(server().is_asleep(name));
        const std::string refused = co_await said(session, "SELECT 1");
        CHECK(refused == "57P01");
    });
    CHECK(ask(name, server().key().reveal(), {"SELECT 1"}) == std::vector<std::string>{"1"});
}

TEST_CASE("a role that changes its password locks nobody out") {
    const bitdotio::database_name name = fresh_database();
    const std::string mine = server().key().reveal();
    for (int way = 0; way < 2; ++way) {
        CHECK(ask(name, mine, {"ALTER ROLE CURRENT_USER PASSWORD 'another'"}) ==
              std::vector<std::string>{""});
        if (way == 0) {
            CHECK(ask(name, mine, {"SELECT 1"}) == std::vector<std::string>{"1"});
        } else {
            CHECK(owner().query(name.full(), "SELECT 1").status == 200);
        }
    }
}

TEST_CASE("files are imported into the backend and exported from it") {
    const bitdotio::database_name name = fresh_database();
    test::job_calls jobs(server());
    const auto imported = jobs.imported(name, "people", "people.csv", "id,name\n1,Ann\n2,Bob\n");
    CHECK(imported.at("state").as_string() == "DONE");
    CHECK(jobs.rows(name, "SELECT id, name FROM people ORDER BY id") == R"([[1,"Ann"],[2,"Bob"]])");
    const auto exported = jobs.exported(
        name, {{"export_format", "csv"}, {"file_name", "p"}, {"table_name", "people"}});
    REQUIRE(exported.at("state").as_string() == "DONE");
    CHECK(jobs.download(exported).body == "id,name\n1,Ann\n2,Bob\n");
}

TEST_CASE("a database over its storage limit is read-only until space is freed") {
    const bitdotio::database_name name = fresh_database();
    CHECK(owner()("PATCH", "/db/" + name.full() + "/", R"({"storage_limit_bytes":12000000})")
              .status == 200);
    CHECK(owner()
              .query(name.full(),
                     "CREATE TABLE big AS SELECT repeat('x', 1000) AS a FROM "
                     "generate_series(1, 8000)")
              .status == 200);
    CHECK(owner().query(name.full(), "INSERT INTO big VALUES ('y')").status == 403);
    CHECK(owner().query(name.full(), "SELECT count(*) FROM big").status == 200);
    CHECK(ask(name, server().key().reveal(), {"INSERT INTO big VALUES ('y')"}) ==
          std::vector<std::string>{"25006"});
    CHECK(owner().query(name.full(), "TRUNCATE big").status == 200);
    CHECK(owner().query(name.full(), "INSERT INTO big VALUES ('y')").status == 200);
}

TEST_CASE("a database takes as many connections as it was said to") {
    bitdotio::local_server_options few = test::with_backend(test::backend_of(postgres()));
    few.max_connections = 2;
    test::test_server small(few);
    const auto name = small.create_database("small");
    test::run([&]() -> asio::awaitable<void> {
        bitdotio::connect_options options = small.connect_options(name);
        options.wake_timeout = 0ms;
        connection first = co_await connection::open(options);
        connection second = co_await connection::open(options);
        std::optional<bitdotio::error> refused;
        try {
            connection third = co_await connection::open(options);
        } catch (const bitdotio::error& failure) {
            refused = failure;
        }
        REQUIRE(refused);
        CHECK(refused->sqlstate() == "53300");
        co_await first.close();
        co_await second.close();
    });
}

TEST_CASE("the next start removes what a crash has left, and nothing of others") {
    const test::temporary_directory scratch;
    bitdotio::local_server_options kept = test::with_backend(test::backend_of(postgres()));
    kept.data_directory = scratch / "data";
    const std::string key = [&] {
        const test::test_server first(kept);
        return first.key().reveal();
    }();
    std::string id;
    {
        test::test_server first(kept);
        CHECK(first.key().reveal() == key);
        const auto name = first.create_database("kept");
        id = field_of(api_calls(first, key)("GET", "/db/" + name.full() + "/"), "id");
    }
    // An unfinished database, another server's database, and one that only looks like ours.
    const std::string ours = "bitdotio_11111111-1111-4111-8111-111111111111";
    const std::string foreign = "bitdotio_22222222-2222-4222-8222-222222222222";
    const std::string similar = "bitdotio_33333333-3333-4333-8333-333333333333";
    const std::string mark = postgres().value(
        "SELECT shobj_description(oid, 'pg_authid') FROM pg_roles WHERE rolname = 'bitdotio_" + id +
        "_owner'");
    CHECK(mark.starts_with("database of the bitdotio server "));
    for (const std::string& each : {ours, foreign, similar}) {
        postgres().execute("CREATE ROLE \"" + each + "_owner\" LOGIN; GRANT \"" + each +
                           "_owner\" TO service");
        postgres().execute("CREATE DATABASE \"" + each + "\" OWNER \"" + each + "_owner\"");
    }
    postgres().execute("COMMENT ON ROLE \"" + ours + "_owner\" IS '" + mark + "'");
    postgres().execute("COMMENT ON ROLE \"" + foreign +
                       "_owner\" IS 'database of the bitdotio server "
                       "44444444-4444-4444-8444-444444444444'");
    {
        const test::test_server again(kept);
        CHECK(api_calls(again, key).query("local/kept", "SELECT 1").status == 200);
    }
    const std::string there = postgres().value(
        "SELECT string_agg(substr(datname, 10, 1), '' ORDER BY datname) FROM pg_database WHERE "
        "datname ~ '^bitdotio_(.)\\1{7}-'");
    CHECK(there == "23");
    CHECK(postgres().value("SELECT count(*)::text FROM pg_roles WHERE rolname LIKE '" + ours +
                           "%'") == "0");

    // Without its backend the directory is not taken for an empty one.
    kept.backend.clear();
    const auto without = [&] { const test::test_server started(kept); };
    CHECK_THROWS_WITH_AS(without(), doctest::Contains("are in a backend"), bitdotio::error);
    for (const std::string& each : {foreign, similar, "bitdotio_" + id}) {
        postgres().execute("DROP DATABASE \"" + each + "\"");
    }
}

TEST_CASE("a temporary server leaves no database and no role behind") {
    const std::string count =
        "SELECT (SELECT count(*) FROM pg_database) || ' ' || (SELECT count(*) FROM pg_roles)";
    const std::string before = postgres().value(count);
    {
        test::test_server passing(test::with_backend(test::backend_of(postgres())));
        passing.create_database("one");
        passing.create_database("two");
        CHECK(postgres().value(count) != before);
    }
    CHECK(postgres().value(count) == before);
}

TEST_CASE("a backend that cannot be used is refused at the start, and its password never shown") {
    postgres().execute("CREATE ROLE poor LOGIN NOINHERIT PASSWORD '" +
                       test::postgres_server::password() + "'");
    const std::string good = test::backend_of(postgres());
    const auto with = [&](const std::string& from, const std::string& to) {
        std::string text = good;
        return text.replace(text.find(from), from.size(), to);
    };
    CHECK(failure_of_start(with("user=service", "user=poor"))
              .find("lacks CREATEDB CREATEROLE INHERIT: ALTER ROLE") != std::string::npos);
    CHECK(failure_of_start(good + " target_session_attrs=standby").find("primary") !=
          std::string::npos);
    CHECK(failure_of_start(good + " channel_binding=require").find("channel_binding") !=
          std::string::npos);
    CHECK(failure_of_start(good + " sslcrl=/nowhere").find("/nowhere") != std::string::npos);
    const std::string wrong = failure_of_start(with("only for tests", "nobody-knows-it"));
    CHECK(wrong.find("password authentication failed") != std::string::npos);
    for (const std::string& words : {wrong, failure_of_start(good + " nonsense=1"),
                                     failure_of_start(with("password=", "passwort="))}) {
        CHECK(words.find("nobody-knows-it") == std::string::npos);
        CHECK(words.find(test::postgres_server::password()) == std::string::npos);
    }
}

TEST_CASE("what a key has changed in the backend is put right when it keeps another key out") {
    const bitdotio::database_name name = fresh_database();
    const std::string evil = key_for(role::reader, name);
    const std::string admin = key_for(role::admin, name);
    const std::string good = key_for(role::reader, name);
    const std::string inside = "bitdotio_" + name_in_backend(name);
    const auto lets_in = [&](const std::string& key) {
        const auto deadline = std::chrono::steady_clock::now() + 20s;
        while (std::chrono::steady_clock::now() < deadline) {
            try {
                return ask(name, key, {"SELECT 'in'"}).front();
            } catch (const bitdotio::error&) {  // mended not long ago: at most once a second
                std::this_thread::sleep_for(50ms);
            }
        }
        return std::string("never");
    };
    CHECK(ask(name, evil, {"ALTER ROLE CURRENT_USER SET local_preload_libraries = 'nope'"}) ==
          std::vector<std::string>{""});
    CHECK(lets_in(good) == "in");
    CHECK(ask(name, admin, {"ALTER DATABASE \"" + inside + "\" CONNECTION LIMIT 0"}) ==
          std::vector<std::string>{""});
    CHECK(lets_in(good) == "in");
    CHECK(ask(name, admin,
              {"REVOKE CONNECT ON DATABASE \"" + inside + "\" FROM \"" + inside + "_reader\", \"" +
               inside + "_owner\""}) == std::vector<std::string>{""});
    CHECK(lets_in(good) == "in");
    // Kept from nobody, so it is for an operator to judge.
    CHECK(ask(name, admin, {"ALTER DATABASE \"" + inside + "\" SET statement_timeout = 1"}) ==
          std::vector<std::string>{""});
    const auto repair = [&] {
        const std::string request =
            "POST /server/databases/" + name.full() +
            "/repair HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: Bearer " +
            server().key().reveal() + "\r\nContent-Length: 0\r\n\r\n";
        return test::https(server().api_port(), server().ca_file(), request).body;
    };
    CHECK(repair().find("statement_timeout") != std::string::npos);
    CHECK(repair().find(R"("put_right":[])") != std::string::npos);
    // An admin still acts as the owner, and a reader may still only read.
    CHECK(ask(name, admin, {"SELECT current_user"}).front() == inside + "_owner");
}
