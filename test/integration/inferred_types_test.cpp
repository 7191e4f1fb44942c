// Values whose types the server infers, while tables, types and paths change under them.
#include "support/database.hpp"

#include <chrono>
#include <string>

using namespace bitdotio;
using namespace std::chrono_literals;
namespace asio = boost::asio;

namespace {

test::database& shared() {
    static test::database one;
    return one;
}

// Runs a statement until it is prepared, and once more.
asio::awaitable<void> run_prepared(connection& c, std::string sql, std::string value) {
    for (int time = 0; time < 3; ++time) {
        const result done = co_await c.query(sql, value);
    }
}

asio::awaitable<std::string> last_text(connection& c, std::string table) {
    const result answer =
        co_await c.query("SELECT v::text FROM " + table + " ORDER BY n DESC LIMIT 1");
    co_return answer.one<std::string>();
}

asio::awaitable<void> alter_own_column(test::database& where) {
    connection c = co_await connection::open(where.connect);
    co_await c.script("DROP TABLE IF EXISTS own; CREATE TABLE own (n serial, v int)");
    const std::string insert = "INSERT INTO own (v) VALUES ($1)";
    co_await run_prepared(c, insert, "7");
    co_await c.script("ALTER TABLE own ALTER v TYPE text");
    const result done = co_await c.query(insert, std::string("007"));
    CHECK(co_await last_text(c, "own") == "007");
}

asio::awaitable<void> alter_in_undone_transaction(test::database& where) {
    connection c = co_await connection::open(where.connect);
    co_await c.script("DROP TABLE IF EXISTS undone; CREATE TABLE undone (n serial, v text)");
    const std::string insert = "INSERT INTO undone (v) VALUES ($1)";
    co_await c.script("BEGIN; ALTER TABLE undone ALTER v TYPE int USING 1");
    co_await run_prepared(c, insert, "7");
    co_await c.script("ROLLBACK");
    const result done = co_await c.query(insert, std::string("007"));
    CHECK(co_await last_text(c, "undone") == "007");
}

asio::awaitable<void> change_path(test::database& where) {
    connection c = co_await connection::open(where.connect);
    co_await c.script(
        "DROP SCHEMA IF EXISTS a CASCADE; DROP SCHEMA IF EXISTS b CASCADE;"
        "CREATE SCHEMA a; CREATE TABLE a.t (n serial, v int);"
        "CREATE SCHEMA b; CREATE TABLE b.t (n serial, v text); SET search_path TO a");
    const std::string insert = "INSERT INTO t (v) VALUES ($1)";
    co_await run_prepared(c, insert, "7");
    const result moved = co_await c.query("SELECT set_config('search_path', 'b', false)");
    const result done = co_await c.query(insert, std::string("007"));
    CHECK(co_await last_text(c, "b.t") == "007");
}

asio::awaitable<void> change_path_in_pipeline(test::database& where) {
    connection c = co_await connection::open(where.connect);
    co_await c.script(
        "DROP SCHEMA IF EXISTS pa CASCADE; DROP SCHEMA IF EXISTS pb CASCADE;"
        "CREATE SCHEMA pa; CREATE TABLE pa.t (n serial, v int);"
        "CREATE SCHEMA pb; CREATE TABLE pb.t (n serial, v text); SET search_path TO pa");
    const std::string insert = "INSERT INTO t (v) VALUES ($1)";
    pipeline batch;
    for (int time = 0; time < 3; ++time) {
        batch.add(insert, std::string("7"));
    }
    batch.add("SET search_path TO pb");
    batch.add(insert, std::string("007"));
    const pipeline_results became = co_await c.run(std::move(batch));
    CHECK(co_await last_text(c, "pb.t") == "007");
}

// The plan of an enum that is gone fails inside the server (XX000), that of one made anew refuses
// its new label (22P02), and neither heals by itself.
asio::awaitable<void> recreate_enum(test::database& where) {
    connection c = co_await connection::open(where.connect);
    connection other = co_await connection::open(where.connect);
    co_await c.script(
        "DROP TABLE IF EXISTS moods; DROP TYPE IF EXISTS mood;"
        "CREATE TYPE mood AS ENUM ('glad'); CREATE TABLE moods (n serial, v mood)");
    const std::string insert = "INSERT INTO moods (v) VALUES ($1)";
    co_await run_prepared(c, insert, "glad");
    co_await other.script(
        "ALTER TABLE moods ALTER v TYPE text; DROP TYPE mood;"
        "CREATE TYPE mood AS ENUM ('glad', 'sad');"
        "ALTER TABLE moods ALTER v TYPE mood USING v::mood");
    const result done = co_await c.query(insert, std::string("sad"));
    CHECK(co_await last_text(c, "moods") == "sad");
}

asio::awaitable<void> others_widen(test::database& where) {
    connection c = co_await connection::open(where.connect);
    connection other = co_await connection::open(where.connect);
    co_await c.script("DROP TABLE IF EXISTS wide; CREATE TABLE wide (n serial, v int)");
    const std::string insert = "INSERT INTO wide (v) VALUES ($1)";
    co_await run_prepared(c, insert, "7");
    co_await other.script("ALTER TABLE wide ALTER v TYPE bigint");
    const result done = co_await c.query(insert, std::string("9007199254740993"));
    CHECK(co_await last_text(c, "wide") == "9007199254740993");
    // In a transaction the refusal stands, but the plan is gone with it.
    co_await other.script("ALTER TABLE wide ALTER v TYPE text");
    co_await run_prepared(c, insert, "8");
    CHECK(co_await last_text(c, "wide") == "8");
}

// Nothing tells a session of another's DDL where the values still fit: it ends by time.
asio::awaitable<void> others_alter(test::database& where) {
    connection c = co_await connection::open(where.connect);
    connection other = co_await connection::open(where.connect);
    co_await c.script("DROP TABLE IF EXISTS quiet; CREATE TABLE quiet (n serial, v int)");
    const std::string insert = "INSERT INTO quiet (v) VALUES ($1)";
    co_await run_prepared(c, insert, "7");
    co_await other.script("ALTER TABLE quiet ALTER v TYPE text");
    const auto end = std::chrono::steady_clock::now() + 30s;
    std::string stored;
    while (stored != "007" && std::chrono::steady_clock::now() < end) {
        const result done = co_await c.query(insert, std::string("007"));
        stored = co_await last_text(c, "quiet");
    }
    CHECK(stored == "007");
}

// One that fails for its values alone fails the same with a plan and without one.
asio::awaitable<void> fail_for_values(test::database& where) {
    connection c = co_await connection::open(where.connect);
    for (int time = 0; time < 6; ++time) {
        std::string code;
        try {
            const result none = co_await c.query("SELECT $1::int", std::string("seven"));
        } catch (const error& refused) {
            code = refused.sqlstate();
        }
        CHECK(code == "22P02");
        const result well = co_await c.query("SELECT $1::int", std::string("7"));
        CHECK(well.one<int>() == 7);
    }
}

asio::awaitable<void> change_encoding(test::database& where, std::string how) {
    connection c = co_await connection::open(where.connect);
    co_await c.script("CREATE TEMP TABLE words (v text)");
    std::string told;
    try {
        const result none = co_await c.query(how);
    } catch (const error& refused) {
        CHECK(refused.code() == errc::bad_input);
        told = refused.what();
    }
    CHECK(told.find("client_encoding") != std::string::npos);
    const result done = co_await c.query("INSERT INTO words VALUES ($1)", std::string("zażółć"));
    const result answer = co_await c.query("SELECT v, octet_length(v)::int FROM words");
    CHECK(answer[0][0].as<std::string>() == "zażółć");
    CHECK(answer[0][1].as<int>() == 10);
}

// What fails with its transaction goes back with it, and the rollback is not in the way of itself.
asio::awaitable<void> change_encoding_in_failed_transaction(test::database& where) {
    connection c = co_await connection::open(where.connect);
    std::string code;
    try {
        co_await c.script("BEGIN; SET client_encoding TO LATIN1; SELECT 1 / 0");
    } catch (const error& refused) {
        code = refused.sqlstate();
    }
    CHECK(code == "22012");
    co_await c.script("ROLLBACK");
    const result answer = co_await c.query("SELECT $1::text", std::string("zażółć"));
    CHECK(answer.one<std::string>() == "zażółć");
}

}  // namespace

TEST_CASE("a value without a type means what its column means now, after own DDL") {
    test::run(alter_own_column(shared()));
    test::run(alter_in_undone_transaction(shared()));
}

TEST_CASE("a value without a type means what its column means now, after the path changed") {
    test::run(change_path(shared()));
    test::run(change_path_in_pipeline(shared()));
}

TEST_CASE("a plan that another session's DDL made stale is dropped when the server refuses it") {
    test::run(recreate_enum(shared()));
    test::run(others_widen(shared()));
}

TEST_CASE("a plan that another session's DDL made stale unseen ends by itself") {
    test::run(others_alter(shared()));
}

TEST_CASE("a statement that its values make fail goes on failing, and harms no other") {
    test::run(fail_for_values(shared()));
}

TEST_CASE("another client_encoding is undone at once, and refused") {
    test::run(change_encoding(shared(), "SET client_encoding TO LATIN1"));
    test::run(change_encoding(shared(), "SELECT set_config('client_encoding', 'LATIN2', false)"));
    test::run(change_encoding(shared(), "SET NAMES 'WIN1250'"));
    test::run(change_encoding_in_failed_transaction(shared()));
}
