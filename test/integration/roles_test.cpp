// What a key can do to the other keys of a database: nothing. Attacks through real connections.
#include <bitdotio/connection.hpp>
#include <bitdotio/error.hpp>

#include "support/api_calls.hpp"
#include "support/child.hpp"
#include "support/run.hpp"
#include "support/test_server.hpp"
#include "support/wire_client.hpp"

#include <doctest/doctest.h>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/json.hpp>

#include <atomic>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

using namespace std::chrono_literals;
using namespace std::string_literals;
using bitdotio::connection;
using bitdotio::role;
using test::api_calls;
using test::field_of;
namespace asio = boost::asio;
namespace fs = std::filesystem;

namespace {

using answers = std::vector<std::string>;

bitdotio::local_server_options kept_in(const fs::path& directory) {
    bitdotio::local_server_options options;
    options.data_directory = directory;
    return options;
}

// A server whose instances the test can also enter as the superuser, as this process can.
struct scene {
    test::temporary_directory home;
    test::test_server server{kept_in(home / "data")};

    api_calls owner() { return api_calls(server, server.key().reveal()); }
    bitdotio::database_name fresh_database() {
        static int count = 0;
        return server.create_database("roles-" + std::to_string(++count));
    }
};

scene& here() {
    static scene one;
    return one;
}

struct account {
    std::string id;
    std::string key;
};

account make_account(role what, std::vector<bitdotio::database_name> names) {
    static int count = 0;
    const auto made = test::run(here().server.server().create_account(
        "robot-" + std::to_string(++count), what, std::move(names)));
    return {made.id, field_of(here().owner()("POST", "/service-account/" + made.id + "/api-key/"),
                              "api_key")};
}

account owner_account() {
    return {"", here().server.key().reveal()};
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

asio::awaitable<answers> say(bitdotio::connect_options where, answers statements) {
    std::optional<connection> session;
    answers all;
    try {
        session.emplace(co_await connection::open(where));
    } catch (const bitdotio::error& failure) {
        all.push_back("no session: " + failure.sqlstate());
    }
    if (!session) co_return all;
    for (const std::string& each : statements) {
        all.push_back(co_await said(*session, each));
    }
    co_await session->close();
    co_return all;
}

bitdotio::connect_options session_of(const bitdotio::database_name& name, const account& who) {
    bitdotio::connect_options options = here().server.connect_options(name);
    options.password = who.key;
    options.wake_timeout = 0ms;
    return options;
}

answers ask(const bitdotio::database_name& name, const account& who, answers statements) {
    return test::run(say(session_of(name, who), std::move(statements)));
}

std::string ask_once(const bitdotio::database_name& name, const account& who, std::string sql) {
    return ask(name, who, {std::move(sql)}).front();
}

// The database must be awake. Several may be: its own is told by its data directory.
answers as_superuser(const bitdotio::database_name& name, answers statements) {
    const std::string id = field_of(here().owner()("GET", "/db/" + name.full() + "/"), "id");
    for (const auto& each : fs::directory_iterator(here().home / "data" / "postgres" / "s")) {
        bitdotio::connect_options where;
        where.hosts = {bitdotio::host_port(each.path().string(), 5432)};
        where.user = "postgres";
        where.database = "main";
        where.tls = bitdotio::tls_mode::disable;
        where.wake_timeout = 0ms;
        if (!fs::exists(each.path() / ".s.PGSQL.5432")) continue;
        const answers found = test::run(say(where, {"SHOW data_directory"}));
        if (found.front().find(id) == std::string::npos) continue;
        return test::run(say(where, std::move(statements)));
    }
    return {"it does not run"};
}

std::string repair(const bitdotio::database_name& name,
                   const test::test_server& server = here().server) {
    const std::string request =
        "POST /server/databases/" + name.full() +
        "/repair HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: Bearer " +
        server.key().reveal() + "\r\nContent-Length: 0\r\n\r\n";
    const auto answer = test::https(server.api_port(), server.ca_file(), request);
    CHECK(answer.status == 200);
    return answer.body;
}

// Tries again until it holds, for what the server does on its own schedule.
template <class Condition>
bool comes_true(Condition condition) {
    const auto deadline = std::chrono::steady_clock::now() + 20s;
    while (std::chrono::steady_clock::now() < deadline) {
        if (condition()) return true;
        std::this_thread::sleep_for(20ms);
    }
    return false;
}

bool has(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
}

std::map<std::string, std::string> psql_environment(const bitdotio::database_name& name,
                                                    const account& who) {
    const test::test_server& server = here().server;
    return {{"PGHOST", server.postgres_host()},
            {"PGPORT", std::to_string(server.postgres_port())},
            {"PGDATABASE", name.full()},
            {"PGUSER", "anybody"},
            {"PGPASSWORD", who.key},
            {"PGSSLMODE", "verify-full"},
            {"PGSSLROOTCERT", server.ca_file()}};
}

}  // namespace

TEST_CASE("every account has a role of its own, a member of its kind's group") {
    const auto name = here().fresh_database();
    const account admin = make_account(role::admin, {name});
    const account writer = make_account(role::writer, {name});
    const account one = make_account(role::reader, {name});
    const account two = make_account(role::reader, {name});
    const answers who{"SELECT session_user ~ '^[a-z]+_[0-9a-f]{32}$'", "SELECT current_user",
                      "SELECT split_part(session_user, '_', 1)"};
    CHECK(ask(name, owner_account(), who) == answers{"t", "owner", "owner"});
    CHECK(ask(name, admin, who) == answers{"t", "owner", "admin"});
    CHECK(ask(name, writer, who).at(2) == "writer");
    CHECK(ask(name, one, who).at(2) == "reader");
    const std::string name_of_one = ask_once(name, one, "SELECT session_user");
    CHECK(name_of_one != ask_once(name, two, "SELECT session_user"));
    for (const account& each : {admin, writer, one}) {
        CHECK(ask(name, each,
                  {"SET ROLE postgres", "SET SESSION AUTHORIZATION owner", "CREATE ROLE mine"}) ==
              answers{"42501", "42501", "42501"});
    }
    CHECK(ask_once(name, two, "SET ROLE " + name_of_one) == "42501");
    CHECK(ask_once(name, two, "SET ROLE owner") == "42501");
    CHECK(ask_once(name, two, "GRANT reader TO " + name_of_one) == "42501");
    CHECK(ask_once(name, writer, "GRANT writer TO reader") == "42501");
}

TEST_CASE("what a reader sets for its role reaches no other reader, and locks nobody out") {
    const auto name = here().fresh_database();
    const account evil = make_account(role::reader, {name});
    const account good = make_account(role::reader, {name});
    const answers settings{"local_preload_libraries = 'nope'", "idle_session_timeout = 1",
                           "default_transaction_read_only = off", "search_path = elsewhere"};
    for (const std::string& each : settings) {
        CAPTURE(each);
        CHECK(ask_once(name, evil, "ALTER ROLE CURRENT_USER SET " + each) == "");
        CHECK(ask_once(name, evil, "ALTER ROLE reader SET " + each) == "42501");
        CHECK(ask(name, good, {"SELECT 1", "SHOW search_path"}) ==
              answers{"1", "\"$user\", public"});
        CHECK(ask_once(name, evil, "SELECT 2") == "2");
    }
    CHECK(ask_once(name, evil, "ALTER ROLE CURRENT_USER PASSWORD 'x'") == "");
    CHECK(ask_once(name, evil, "SELECT 3") == "3");
    CHECK(ask_once(name, evil, "ALTER ROLE CURRENT_USER VALID UNTIL '2000-01-01'") == "42501");
    here().server.sleep(name);
    CHECK(ask_once(name, evil, "SHOW search_path") == "\"$user\", public");
    CHECK(ask_once(name, owner_account(), "SELECT count(*) FROM pg_db_role_setting") == "0");
}

TEST_CASE("an admin cannot keep the others out of the database") {
    const auto name = here().fresh_database();
    const account admin = make_account(role::admin, {name});
    const account reader = make_account(role::reader, {name});
    CHECK(ask_once(name, reader, "SELECT 1") == "1");
    for (const char* attack : {"ALTER DATABASE main CONNECTION LIMIT 0",
                               "REVOKE CONNECT ON DATABASE main FROM PUBLIC, owner",
                               "ALTER DATABASE main SET local_preload_libraries = 'nope'",
                               "ALTER DATABASE main SET idle_session_timeout = 1",
                               "ALTER DATABASE main SET role = reader",
                               "ALTER DATABASE main SET default_transaction_read_only = on"}) {
        CAPTURE(attack);
        CHECK(comes_true([&] { return ask_once(name, admin, attack) == ""; }));
        // The first refusal mends it, unless another did within the same second.
        CHECK(comes_true([&] { return ask_once(name, reader, "SELECT 1") == "1"; }));
        CHECK(comes_true([&] {
            return ask_once(name, owner_account(), "CREATE TABLE IF NOT EXISTS t ()") == "";
        }));
        CHECK(here().owner().query(name.full(), "SELECT 1").status == 200);
    }
    for (const char* attack :
         {"ALTER DATABASE main RENAME TO other", "ALTER DATABASE main ALLOW_CONNECTIONS false",
          "ALTER DATABASE main OWNER TO reader", "DROP DATABASE main",
          "CREATE EVENT TRIGGER x ON ddl_command_start EXECUTE FUNCTION y()",
          "DROP EVENT TRIGGER bitdotio_keep_owner", "DROP EXTENSION plpgsql CASCADE",
          "ALTER ROLE reader NOLOGIN", "REVOKE reader FROM owner", "GRANT owner TO reader"}) {
        CAPTURE(attack);
        CHECK(ask_once(name, admin, attack).size() == 5);
    }
}

TEST_CASE("an operator has a database repaired, awake or asleep, and is told what was wrong") {
    const auto name = here().fresh_database();
    const account admin = make_account(role::admin, {name});
    CHECK(has(repair(name), R"("put_right":[])"));
    CHECK(ask(name, admin,
              {"ALTER DATABASE main SET statement_timeout = 1",
               "ALTER DATABASE main CONNECTION LIMIT 0"}) == answers{"", ""});
    const std::string told = repair(name);
    CHECK(has(told, "a setting of the database: statement_timeout"));
    CHECK(has(told, "the connection limit of the database: 0"));
    CHECK(ask(name, admin, {"SHOW statement_timeout", "ALTER DATABASE main CONNECTION LIMIT 0"}) ==
          answers{"0", ""});
    here().server.sleep(name);
    CHECK(has(repair(name), "the connection limit of the database: 0"));
    CHECK(has(repair(name), R"("put_right":[])"));
    // What an owner may mean stays until an operator says otherwise.
    CHECK(ask_once(name, owner_account(), "ALTER DATABASE main SET TimeZone = 'Asia/Tokyo'") == "");
    here().server.sleep(name);
    CHECK(ask_once(name, admin, "SHOW TimeZone") == "Asia/Tokyo");
}

TEST_CASE("a database is put right before it falls asleep, and its wake finds it so") {
    test::temporary_directory home;
    std::atomic<int> repaired = 0;
    bitdotio::local_server_options options = kept_in(home / "data");
    options.sleep_after = 200ms;
    options.log = [&](const bitdotio::server_event& event) {
        if (event.kind == "repaired") ++repaired;
    };
    test::test_server server(options);
    const auto name = server.fresh_database();
    bitdotio::connect_options where = server.connect_options(name);
    const std::string limit = "SELECT datconnlimit::text FROM pg_database WHERE datname = 'main'";
    const auto say_then_sleep = [&](answers statements) {
        answers all = test::run(say(where, std::move(statements)));
        server.wait_until_asleep(name);
        return all;
    };
    CHECK(say_then_sleep({"ALTER DATABASE main CONNECTION LIMIT 0"}) == answers{""});
    CHECK(repaired == 1);  // asleep, and nobody has woken it since
    CHECK(say_then_sleep({limit}) == answers{"-1"});
    CHECK(repaired == 1);
    CHECK(has(repair(name, server), "the connection limit of the database: 0"));
    CHECK(has(repair(name, server), R"("put_right":[])"));

    // Put to sleep under its clients, it is put right when it wakes.
    const auto change = [&]() -> asio::awaitable<void> {
        connection session = co_await connection::open(where);
        const std::string done = co_await said(session, "ALTER DATABASE main CONNECTION LIMIT 0");
        CHECK(done == "");
        co_await server.server().sleep(name);
    };
    test::run(change());
    CHECK(repaired == 1);
    CHECK(say_then_sleep({limit}) == answers{"-1"});
    CHECK(repaired == 2);
}

TEST_CASE("readers neither see each other's statements nor end each other's sessions") {
    const auto name = here().fresh_database();
    const account one = make_account(role::reader, {name});
    const account two = make_account(role::reader, {name});
    const auto work = [&]() -> asio::awaitable<void> {
        connection mine = co_await connection::open(session_of(name, one));
        const bitdotio::result number = co_await mine.query("SELECT pg_backend_pid()::text");
        const auto pid = number.one<std::string>();
        co_await mine.query("SELECT 'a secret'");
        const std::string seen =
            "SELECT query LIKE '%a secret%' FROM pg_stat_activity WHERE pid = " + pid;
        const std::string cancel = "SELECT pg_cancel_backend(" + pid + ")";
        const std::string end = "SELECT pg_terminate_backend(" + pid + ")";
        const answers of_others{seen, cancel, end};
        const answers of_mine{seen, cancel};
        const answers of_owner{seen, end};
        const answers by_others = co_await say(session_of(name, two), of_others);
        CHECK(by_others == answers{"f", "42501", "42501"});
        const answers by_me = co_await say(session_of(name, one), of_mine);
        CHECK(by_me == answers{"t", "t"});
        const answers by_owner = co_await say(session_of(name, owner_account()), of_owner);
        CHECK(by_owner == answers{"t", "t"});
        const std::string ended = co_await said(mine, "SELECT 1");
        CHECK(ended == "57P01");
    };
    test::run(work());
}

TEST_CASE("row-level security, large objects and statistics hold against readers and writers") {
    const auto name = here().fresh_database();
    const account reader = make_account(role::reader, {name});
    const account writer = make_account(role::writer, {name});
    CHECK(ask(name, owner_account(),
              {"CREATE TABLE t AS SELECT n FROM generate_series(1, 10) n",
               "ALTER TABLE t ENABLE ROW LEVEL SECURITY",
               "CREATE POLICY p ON t FOR SELECT TO reader USING (n < 4)",
               "SELECT lo_from_bytea(4711, 'hidden')", "ANALYZE t"}) ==
          answers{"", "", "", "4711", ""});
    CHECK(ask_once(name, reader, "SELECT count(*) FROM t") == "3");
    CHECK(ask_once(name, writer, "SELECT count(*) FROM t") == "0");
    for (const account& each : {reader, writer}) {
        CHECK(ask(name, each,
                  {"SELECT stavalues1 FROM pg_statistic", "SELECT data FROM pg_largeobject",
                   "SELECT rolpassword FROM pg_authid", "SELECT lo_get(4711)",
                   "UPDATE pg_class SET relname = relname",
                   "DO $$ BEGIN LOCK TABLE pg_class IN ACCESS EXCLUSIVE MODE; END $$"}) ==
              answers{"42501", "42501", "42501", "42501", "42501", "42501"});
    }
    // What the owner keeps from them stays so; all that is made later is theirs to read.
    CHECK(ask(name, owner_account(),
              {"CREATE TABLE private AS SELECT 1", "REVOKE ALL ON private FROM reader",
               "CREATE SCHEMA s", "CREATE TABLE s.t (id serial, n int)",
               "CREATE VIEW s.v AS SELECT 5 AS five"})
              .back() == "");
    here().server.sleep(name);
    CHECK(ask(name, reader,
              {"SELECT * FROM private", "SELECT count(*) FROM s.t", "SELECT five FROM s.v",
               "INSERT INTO s.t (n) VALUES (1)"}) == answers{"42501", "0", "5", "42501"});
    CHECK(ask(name, writer,
              {"INSERT INTO s.t (n) VALUES (1) RETURNING id", "UPDATE s.t SET n = 2 RETURNING n",
               "TRUNCATE s.t", "CREATE TABLE x ()"}) == answers{"1", "2", "42501", "42501"});
}

TEST_CASE("whatever an admin makes, the owner can use it at once") {
    const auto name = here().fresh_database();
    const account admin = make_account(role::admin, {name});
    const account reader = make_account(role::reader, {name});
    CHECK(ask(name, admin,
              {"CREATE TABLE usual AS SELECT 1 AS n", "SET ROLE none", "CREATE TABLE mine ()",
               "REASSIGN OWNED BY owner TO SESSION_USER", "SET ROLE owner",
               "GRANT CREATE ON SCHEMA public TO PUBLIC", "SET ROLE none",
               "CREATE TABLE mine AS SELECT 2 AS n"}) ==
          answers{"", "", "42501", "42501", "", "", "", ""});
    CHECK(ask(name, owner_account(),
              {"SELECT n FROM usual", "SELECT n FROM mine", "ALTER TABLE mine ADD m int",
               "DROP TABLE mine"}) == answers{"1", "2", "", ""});
    CHECK(ask(name, admin, {"DISCARD ALL", "SELECT current_user"}).at(1) == "owner");
    CHECK(ask(name, reader, {"CREATE TABLE by_reader AS SELECT 3 AS n"}) == answers{""});
    CHECK(ask(name, owner_account(), {"SELECT n FROM by_reader", "DROP TABLE by_reader"}) ==
          answers{"3", ""});
    const account writer = make_account(role::writer, {name});
    CHECK(ask_once(name, writer, "SELECT lo_from_bytea(12, 'x')") == "12");
    CHECK(ask(name, owner_account(), {"SELECT lo_get(12)", "SELECT lo_unlink(12)"}) ==
          answers{"\\x78", "1"});
    const auto dumped = test::run_program({"pg_dump"}, psql_environment(name, owner_account()));
    CHECK(dumped.status == 0);
    CHECK(has(dumped.out, "CREATE TABLE public.usual"));
    CHECK_FALSE(has(dumped.out, "EVENT TRIGGER"));
    CHECK_FALSE(has(dumped.out, "bitdotio_"));
}

TEST_CASE("a reader cannot take the default privileges from all readers") {
    const auto name = here().fresh_database();
    const account evil = make_account(role::reader, {name});
    const account good = make_account(role::reader, {name});
    CHECK(ask(name, evil,
              {"DROP OWNED BY reader", "DROP OWNED BY CURRENT_USER",
               "ALTER DEFAULT PRIVILEGES FOR ROLE owner REVOKE SELECT ON TABLES FROM reader"}) ==
          answers{"42501", "42501", "42501"});
    CHECK(ask_once(name, owner_account(), "CREATE TABLE t AS SELECT 1 AS n") == "");
    CHECK(ask_once(name, good, "SELECT n FROM t") == "1");
}

TEST_CASE("strangers to a public database have roles of their own, removed after their accounts") {
    const auto name = here().fresh_database();
    CHECK(here().owner()("PATCH", "/db/" + name.full(), R"({"is_private": false})").status == 200);
    const account one = make_account(role::writer, {});
    const account two = make_account(role::admin, {});
    CHECK(ask_once(name, one, "SELECT split_part(session_user, '_', 1)") == "reader");
    CHECK(ask_once(name, one, "ALTER ROLE CURRENT_USER SET local_preload_libraries = 'nope'") ==
          "");
    CHECK(ask_once(name, two, "SELECT 1") == "1");
    const std::string count = "SELECT count(*) FROM pg_roles WHERE rolname LIKE 'reader\\_%'";
    CHECK(ask_once(name, owner_account(), count) == "2");
    CHECK(ask(name, owner_account(),
              {"CREATE TABLE t ()", "GRANT CREATE ON SCHEMA public TO PUBLIC"}) == answers{"", ""});
    CHECK(ask_once(name, one, "CREATE TABLE left_behind AS SELECT 1 AS n") == "");
    test::run(here().server.server().remove_account(one.id));
    here().server.sleep(name);
    CHECK(ask_once(name, owner_account(), count) == "1");
    CHECK(ask_once(name, owner_account(), "SELECT n FROM left_behind") == "1");
    CHECK(ask_once(name, two, "SELECT 1") == "1");
}

TEST_CASE("a database of an older server is brought up to date at its next wake") {
    const auto name = here().fresh_database();
    const account reader = make_account(role::reader, {name});
    const account writer = make_account(role::writer, {name});
    CHECK(ask(name, owner_account(), {"CREATE SCHEMA s", "CREATE TABLE s.old AS SELECT 1 AS n"}) ==
          answers{"", ""});
    // What servers up to now have made: logins of the kinds, rights by predefined roles.
    const answers former{
        "ALTER EXTENSION plpgsql DROP EVENT TRIGGER bitdotio_keep_owner",
        "ALTER EXTENSION plpgsql DROP EVENT TRIGGER bitdotio_guard_groups",
        "DROP EVENT TRIGGER bitdotio_keep_owner",
        "DROP EVENT TRIGGER bitdotio_guard_groups",
        "DROP FUNCTION pg_catalog.bitdotio_keep_owner()",
        "DROP FUNCTION pg_catalog.bitdotio_guard_groups()",
        "DO $$ DECLARE r name; BEGIN FOR r IN SELECT rolname FROM pg_roles WHERE rolname ~ "
        "'_[0-9a-f]{32}$' "
        "LOOP EXECUTE format('DROP OWNED BY %I', r); EXECUTE format('DROP ROLE %I', r); END LOOP; "
        "END $$",
        "DROP OWNED BY reader, limited",
        "REVOKE ALL ON s.old FROM writer",
        "REVOKE ALL ON SCHEMA s FROM writer",
        "ALTER DEFAULT PRIVILEGES FOR ROLE owner, admin REVOKE ALL ON TABLES FROM writer",
        "ALTER DEFAULT PRIVILEGES FOR ROLE owner, admin REVOKE ALL ON SEQUENCES FROM writer",
        "ALTER DEFAULT PRIVILEGES FOR ROLE owner, admin REVOKE ALL ON SCHEMAS FROM writer",
        "REVOKE writer, reader, limited, pg_signal_backend, pg_read_all_stats FROM owner",
        "ALTER ROLE owner LOGIN",
        "ALTER ROLE admin LOGIN",
        "ALTER ROLE admin SET role TO owner",
        "ALTER ROLE writer LOGIN",
        "ALTER ROLE reader LOGIN",
        "ALTER ROLE limited LOGIN",
        "GRANT pg_read_all_data, pg_write_all_data TO writer",
        "GRANT pg_read_all_data TO reader, limited",
        "ALTER ROLE limited SET default_transaction_read_only TO on",
        "CREATE ROLE keeper LOGIN IN ROLE pg_signal_backend",
        "COMMENT ON ROLE owner IS NULL",
        "SET ROLE admin",
        "CREATE SCHEMA by_admin",
        "CREATE TABLE by_admin.t AS SELECT 2 AS n",
        "SET ROLE writer",
        "SELECT lo_from_bytea(77, 'x')"};
    const answers done = as_superuser(name, former);
    for (std::size_t i = 0; i < done.size(); ++i) {
        CAPTURE(former[i]);
        CHECK((done[i].empty() || done[i] == "77"));
    }
    here().server.sleep(name);
    CHECK(ask(name, reader,
              {"SELECT n FROM s.old", "SELECT n FROM by_admin.t",
               "SELECT count(*) FROM pg_statistic", "INSERT INTO s.old VALUES (2)"}) ==
          answers{"1", "2", "42501", "42501"});
    CHECK(ask(name, writer, {"INSERT INTO s.old VALUES (2) RETURNING n", "SELECT lo_get(77)"}) ==
          answers{"2", "\\x78"});
    CHECK(
        ask(name, owner_account(),
            {"DROP TABLE by_admin.t", "SELECT lo_unlink(77)", "CREATE TABLE later AS SELECT 3 AS n",
             "SELECT count(*) FROM pg_roles WHERE rolname = 'keeper' OR (rolcanlogin AND "
             "rolname IN ('owner', 'admin', 'writer', 'reader', 'limited'))"}) ==
        answers{"", "1", "", "0"});
    CHECK(ask_once(name, reader, "SELECT n FROM later") == "3");
    CHECK(has(repair(name), "the roles of an older server"));
}

TEST_CASE("a database is repaired even when all its connections are taken") {
    bitdotio::local_server_options options;
    options.max_connections = 2;
    test::test_server small(options);
    const auto name = small.create_database("full");
    const auto work = [&]() -> asio::awaitable<void> {
        bitdotio::connect_options where = small.connect_options(name);
        where.wake_timeout = 0ms;
        connection one = co_await connection::open(where);
        connection two = co_await connection::open(where);
        const std::string limited =
            co_await said(one, "ALTER DATABASE main SET statement_timeout = 1");
        CHECK(limited == "");
        const answers question{"SELECT 1"};
        const answers third = co_await say(where, question);
        CHECK(third == answers{"no session: 53300"});
        CHECK(has(repair(name, small), "statement_timeout"));
        co_await one.close();
        co_await two.close();
    };
    test::run(work());
}

TEST_CASE("the statement of a psql that was killed is cancelled within seconds") {
    const auto name = here().fresh_database();
    CHECK(ask_once(name, owner_account(), "CREATE TABLE t (n int)") == "");
    const std::string running =
        "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE "
        "'INSERT INTO t%'";
    for (const char* sql : {"INSERT INTO t SELECT 1 FROM pg_sleep(600)",
                            "INSERT INTO t SELECT 1 FROM pg_sleep(600); SELECT pg_sleep(600)"}) {
        CAPTURE(sql);
        const test::child psql({"psql", "-X", "-c", sql}, psql_environment(name, owner_account()));
        CHECK(comes_true([&] { return ask_once(name, owner_account(), running) == "1"; }));
        const auto killed = std::chrono::steady_clock::now();
        psql.send(SIGKILL);
        CHECK(comes_true([&] { return ask_once(name, owner_account(), running) == "0"; }));
        CHECK(std::chrono::steady_clock::now() - killed < 10s);
        CHECK(ask_once(name, owner_account(), "SELECT count(*) FROM t") == "0");
    }
}

TEST_CASE("a COPY flooded with Syncs is a session like others: it has its idle limit") {
    bitdotio::local_server_options options;
    options.idle_session_timeout = 500ms;
    test::test_server brief(options);
    const auto name = brief.create_database("copied");
    const auto work = [&]() -> asio::awaitable<std::string> {
        test::wire_client client(co_await asio::this_coro::executor);
        const bool admitted =
            co_await client.log_in(brief.postgres_port(), name.full(), brief.key().reveal());
        REQUIRE(admitted);
        co_await client.query("CREATE TABLE t (n int)");
        co_await client.send(test::message('Q', "COPY t FROM STDIN\0"s));
        co_await client.receive_until('G');
        std::string syncs;
        for (int i = 0; i < 10'000; ++i) {
            syncs += test::message('S', "");
        }
        for (int i = 0; i < 20; ++i) {
            co_await client.send(syncs);
        }
        co_await client.send(test::message('d', "7\n") + test::message('c', ""));
        co_await client.receive_until('Z');
        const test::reply last = co_await client.receive();
        co_return last.field('C');
    };
    CHECK(test::run(work()) == "57P05");
}
