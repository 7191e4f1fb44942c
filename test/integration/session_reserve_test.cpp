// Sessions in reserve: what a client finds that is handed one, and what they must not change.
#include "support/accounts.hpp"
#include "support/api_calls.hpp"
#include "support/job_calls.hpp"
#include "support/run.hpp"
#include "support/test_server.hpp"
#include "support/wire_sessions.hpp"

#include <boost/asio/this_coro.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>

using namespace std::chrono_literals;
using test::run;
using test::test_server;
using test::wire_client;
namespace asio = boost::asio;
using std::chrono::steady_clock;

namespace {

// In BackendKeyData.
std::string process_number(const test::reply& key) {
    std::uint32_t number = 0;
    for (std::size_t i = 0; i < 4; ++i) {
        number = number << 8 | static_cast<unsigned char>(key.body.at(i));
    }
    return std::to_string(number);
}

// Logs in as one of many sessions that ask for the same; returns the process number it is told.
asio::awaitable<std::string> begin(wire_client& client, const test_server& server,
                                   std::string database, std::string key = "") {
    co_await client.connect_securely(server.postgres_port());
    const std::string wish = test::startup({{"user", "a"},
                                            {"database", database},
                                            {"application_name", "again"},
                                            {"IntervalStyle", "iso_8601"}});
    co_await client.send(wish);
    const bool shown = co_await client.show_key(key.empty() ? server.key().reveal() : key);
    REQUIRE(shown);
    // Its key is told on the way.
    test::reply told;
    while (told.type != 'K' && told.type != 'E') {
        told = co_await client.receive();
    }
    REQUIRE(told.type == 'K');
    co_await client.receive_until('Z');
    co_return process_number(told);
}

// Until a session has been handed out that was begun before its client came.
asio::awaitable<void> begin_from_reserve(const test_server& server, std::string database,
                                         wire_client& watcher) {
    const auto executor = co_await asio::this_coro::executor;
    const auto deadline = steady_clock::now() + 20s;
    std::string older;
    while (older != "t") {
        REQUIRE(steady_clock::now() < deadline);
        const std::string before = co_await watcher.query("SELECT clock_timestamp()");
        wire_client client(executor);
        const std::string told = co_await begin(client, server, database);
        const std::string pid = co_await client.query("SELECT pg_backend_pid()");
        CHECK(pid == told);
        const std::string style = co_await client.query("SHOW IntervalStyle");
        CHECK(style == "iso_8601");
        const std::string asked =
            "SELECT backend_start < '" + before + "' FROM pg_stat_activity WHERE pid = " + pid;
        older = co_await watcher.query(asked);
        client.close();
    }
}

}  // namespace

TEST_CASE("clients that ask for the same again find their session begun, unused and their own") {
    test_server server;
    const std::string name = server.create_database("again").full();
    test::with_wire_client(
        server, bitdotio::database_name(name), [&](wire_client& watcher) -> asio::awaitable<void> {
            const auto executor = co_await asio::this_coro::executor;
            co_await begin_from_reserve(server, name, watcher);
            wire_client client(executor);
            const std::string told = co_await begin(client, server, name);
            const std::string prepared =
                co_await client.query("SELECT count(*) FROM pg_prepared_statements");
            CHECK(prepared == "0");
            // RESET goes back to what the client began with.
            co_await client.query("SET IntervalStyle = 'postgres'");
            co_await client.query("RESET IntervalStyle");
            const std::string style = co_await client.query("SHOW IntervalStyle");
            CHECK(style == "iso_8601");
            // It is found by its number, and ended.
            const std::string ending = "SELECT pg_terminate_backend(" + told + ", 10000)";
            const std::string ended = co_await watcher.query(ending);
            CHECK(ended == "t");
            const test::reply goodbye = co_await client.receive_until('E');
            CHECK(goodbye.field('C') == "57P01");
        });
}

TEST_CASE("settings that are changed while a session is in reserve hold for its client") {
    test_server server;
    const std::string name = server.create_database("settings").full();
    test::with_wire_client(
        server, bitdotio::database_name(name), [&](wire_client& watcher) -> asio::awaitable<void> {
            const auto executor = co_await asio::this_coro::executor;
            for (int megabytes = 1; megabytes <= 5; ++megabytes) {
                co_await begin_from_reserve(server, name, watcher);
                const std::string size = std::to_string(megabytes) + "MB";
                const std::string change = "ALTER DATABASE main SET work_mem = '" + size + "'";
                co_await watcher.query(change);
                wire_client client(executor);
                co_await begin(client, server, name);
                const std::string found = co_await client.query("SHOW work_mem");
                CHECK(found == size);
            }
            co_await begin_from_reserve(server, name, watcher);
            co_await watcher.query("ALTER DATABASE main RESET work_mem");
            wire_client client(executor);
            co_await begin(client, server, name);
            const std::string found = co_await client.query("SHOW work_mem");
            CHECK(found == "4MB");
        });
}

TEST_CASE("a session in reserve keeps no database awake") {
    bitdotio::local_server_options options;
    options.sleep_after = 300ms;
    test_server server(options);
    const auto name = server.create_database("sleepy");
    test::with_wire_client(server, name, [&](wire_client& watcher) -> asio::awaitable<void> {
        co_await begin_from_reserve(server, name.full(), watcher);
    });
    server.wait_until_asleep(name);
    // Nor does one of an earlier life reach a client.
    const std::string answer = run(test::query_once(server, name.full(), "SELECT 7"));
    CHECK(answer == "7");
}

TEST_CASE("a session in reserve makes room for a client") {
    bitdotio::local_server_options options;
    options.max_connections = 2;
    test_server server(options);
    const std::string name = server.create_database("narrow").full();
    run(30s, [&]() -> asio::awaitable<void> {
        const auto executor = co_await asio::this_coro::executor;
        {
            wire_client first(executor);
            co_await begin(first, server, name);
        }
        wire_client second(executor);
        co_await begin(second, server, name);
        test::reply answer;
        // Shorter than a session is in reserve.
        const auto deadline = steady_clock::now() + 15s;
        while (answer.type != 'Z' && steady_clock::now() < deadline) {
            answer = co_await test::answer_to_login(server, name, server.key().reveal());
        }
        CHECK(answer.type == 'Z');
    });
}

namespace {

// A database with two places: one has the client, the other one a session in reserve.
template <class Work>
void beside_reserve(Work work) {
    bitdotio::local_server_options options;
    options.max_connections = 2;
    test_server server(options);
    const bitdotio::database_name name = server.create_database("narrow");
    run(30s, [&]() -> asio::awaitable<void> {
        const auto executor = co_await asio::this_coro::executor;
        {
            wire_client first(executor);
            co_await begin(first, server, name.full());
        }
        wire_client second(executor);
        co_await begin(second, server, name.full());
        std::string sessions;
        const auto deadline = steady_clock::now() + 15s;
        while (sessions != "2" && steady_clock::now() < deadline) {
            sessions = co_await second.query(
                "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'again'");
        }
        REQUIRE(sessions == "2");
        co_await work(server, name, second);
    });
}

}  // namespace

TEST_CASE("a session in reserve that nobody can be handed leaves its place to the client") {
    beside_reserve([](test_server& server, bitdotio::database_name name,
                      wire_client& second) -> asio::awaitable<void> {
        co_await second.query("ALTER DATABASE main SET work_mem = '5MB'");
        wire_client third(co_await asio::this_coro::executor);
        co_await begin(third, server, name.full());
        const std::string found = co_await third.query("SHOW work_mem");
        CHECK(found == "5MB");
    });
}

TEST_CASE("a session in reserve makes room for jobs") {
    for (const bool imports : {true, false}) {
        beside_reserve([imports](test_server& server, bitdotio::database_name name,
                                 wire_client&) -> asio::awaitable<void> {
            test::job_calls calls(server);
            const auto job = imports ? calls.imported(name, "made", "made.csv", "a\n1\n")
                                     : calls.exported(name, {{"export_format", "csv"},
                                                             {"query_string", "SELECT 1"}});
            CAPTURE(boost::json::serialize(job));
            CHECK(job.at("state") == "DONE");
            co_return;
        });
    }
}

TEST_CASE("all roles of a database together have a bounded number of sessions in reserve") {
    bitdotio::local_server_options options;
    options.max_connections = 15;  // an eighth of them is one
    test_server server(options);
    const bitdotio::database_name name = server.create_database("shared");
    const test::account other = test::make_account(server, bitdotio::role::writer, {name});
    test::with_wire_client(server, name, [&](wire_client& watcher) -> asio::awaitable<void> {
        const auto executor = co_await asio::this_coro::executor;
        co_await begin_from_reserve(server, name.full(), watcher);
        for (int i = 0; i < 10; ++i) {
            const std::string before = co_await watcher.query("SELECT clock_timestamp()");
            wire_client client(executor);
            co_await begin(client, server, name.full(), other.key);
            const std::string asked = "SELECT backend_start > '" + before +
                                      "' FROM pg_stat_activity WHERE pid = pg_backend_pid()";
            const std::string own = co_await client.query(asked);
            CHECK(own == "t");
            client.close();
        }
    });
}

TEST_CASE("a session in reserve makes room for a query of the API") {
    beside_reserve([](test_server& server, bitdotio::database_name name,
                      wire_client&) -> asio::awaitable<void> {
        const test::api_calls calls(server);
        CHECK(calls.query(name.full(), "SELECT 7").status == 200);
        co_return;
    });
}
