// What ends sessions of the Postgres endpoint and what must not: limits, stopping, tests' verbs.
#include <bitdotio/client.hpp>

#include "support/run.hpp"
#include "support/test_server.hpp"
#include "support/wire_sessions.hpp"

#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <string>
#include <thread>

using namespace std::chrono_literals;
using test::log_in;
using test::run;
using test::test_server;
using test::wire_client;
namespace asio = boost::asio;
using std::chrono::steady_clock;

namespace {

std::string query_message(const std::string& sql) {
    return test::message('Q', sql + '\0');
}

// The server's last error, and that the session ended in good order.
asio::awaitable<std::string> last_words(wire_client& client) {
    const test::reply goodbye = co_await client.receive_until('E');
    CHECK(goodbye.field('S') == "FATAL");
    const auto ended = co_await client.end();
    CHECK(ended == asio::error::eof);
    co_return goodbye.field('C');
}

bitdotio::local_server_options quick_limits() {
    bitdotio::local_server_options options;
    options.idle_session_timeout = 400ms;
    return options;
}

}  // namespace

TEST_CASE("a session cannot lift its idle limits") {
    test_server server(quick_limits());
    const std::string name = server.create_database("idle").full();
    const auto work = [&](std::string before) -> asio::awaitable<std::string> {
        wire_client client(co_await asio::this_coro::executor);
        co_await log_in(client, server, name);
        co_await client.query("SET idle_session_timeout = 0");
        co_await client.query("SET idle_in_transaction_session_timeout = 0");
        co_await client.query(std::move(before));
        co_return co_await last_words(client);
    };
    CHECK(run(work("SELECT 1"), 10s) == "57P05");
    CHECK(run(work("BEGIN"), 10s) == "25P03");
}

TEST_CASE("a running statement is never idle, nor one of several sent at once") {
    test_server server(quick_limits());
    const std::string name = server.create_database("running").full();
    test::with_wire_client(15s, server, name, [&](wire_client& client) -> asio::awaitable<void> {
        const std::string slept = co_await client.query("SELECT 'x' FROM pg_sleep(1.2)");
        CHECK(slept == "x");
        co_await client.send(query_message("SELECT 1") + query_message("SELECT pg_sleep(1.2)"));
        co_await client.receive_until('Z');
        const test::reply second = co_await client.receive_until('Z');
        CHECK(second.body == "I");
        CHECK(client.last.type != 'E');
        const std::string why = co_await last_words(client);
        CHECK(why == "57P05");
    });
}

TEST_CASE("a session ends at the end of its life, but no statement is cut off") {
    bitdotio::local_server_options options;
    options.session_life = 500ms;
    test_server server(options);
    const std::string name = server.create_database("life").full();
    run(15s, [&]() -> asio::awaitable<void> {
        wire_client client(co_await asio::this_coro::executor);
        co_await client.connect_securely(server.postgres_port());
        const std::string wish = test::startup({{"user", "anybody"}, {"database", name}});
        co_await client.send(wish);
        // The statement is sent right after the proof of the key: a session too old for it would
        // look like one that was cut off.
        const bool shown = co_await client.show_key(server.key().reveal());
        CHECK(shown);
        const auto begun = steady_clock::now();
        co_await client.send(query_message("SELECT pg_sleep(1)"));
        co_await client.receive_until('D');
        const test::reply done = co_await client.receive_until('Z');
        CHECK(done.body == "I");
        const std::string why = co_await last_words(client);
        CHECK(why == "57P01");
        CHECK(steady_clock::now() - begun >= 1s);
    });
}

TEST_CASE("a server that stops ends idle sessions at once and lets statements end") {
    test_server server;
    const std::string name = server.create_database("stopping").full();
    run(20s, [&]() -> asio::awaitable<void> {
        const auto executor = co_await asio::this_coro::executor;
        wire_client idle(executor);
        wire_client busy(executor);
        co_await log_in(idle, server, name);
        co_await log_in(busy, server, name);
        co_await busy.query("CREATE TABLE kept (n integer)");
        // The statement runs until the other session has ended, which releases the lock.
        co_await idle.query("SELECT pg_advisory_lock(1)");
        co_await busy.send(query_message("INSERT INTO kept SELECT 1 FROM pg_advisory_lock(1)"));
        std::string waiting;
        while (waiting != "1") {
            waiting = co_await idle.query("SELECT count(*) FROM pg_locks WHERE NOT granted");
        }
        std::thread stopping([&] { server.stop(); });
        const std::string why = co_await last_words(idle);
        CHECK(why == "57P01");
        const test::reply done = co_await busy.receive_until('Z');
        CHECK(done.body == "I");
        CHECK(busy.last.type != 'E');
        const std::string then = co_await last_words(busy);
        CHECK(then == "57P01");
        stopping.join();
    });
}

TEST_CASE("a statement that outlives the server's grace ends in PostgreSQL's own words") {
    bitdotio::local_server_options options;
    options.stop_grace = 200ms;
    test_server server(options);
    const std::string name = server.create_database("stubborn").full();
    test::with_wire_client(20s, server, name, [&](wire_client& client) -> asio::awaitable<void> {
        co_await client.send(query_message("SELECT pg_sleep(60)"));
        std::thread stopping([&] { server.stop(); });
        const std::string why = co_await last_words(client);
        CHECK(why == "57P01");
        stopping.join();
    });
}

TEST_CASE("a delayed database answers late, a full one refuses with 53300, until it is lifted") {
    test_server server;
    const auto database = server.create_database("treated");
    const std::string name = database.full();
    const auto timed = [&]() -> asio::awaitable<std::chrono::milliseconds> {
        wire_client client(co_await asio::this_coro::executor);
        co_await log_in(client, server, name);
        const auto begun = steady_clock::now();
        const std::string answer = co_await client.query("SELECT 1");
        CHECK(answer == "1");
        co_return std::chrono::duration_cast<std::chrono::milliseconds>(steady_clock::now() -
                                                                        begun);
    };
    server.delay(database, 300ms);
    CHECK(run(timed(), 10s) >= 300ms);
    server.delay(database, 0ms);
    test::with_wire_client(10s, server, name, [&](wire_client& inside) -> asio::awaitable<void> {
        server.fill(database, true);
        wire_client client(co_await asio::this_coro::executor);
        const bool admitted =
            co_await client.log_in(server.postgres_port(), name, server.key().reveal());
        CHECK_FALSE(admitted);
        const std::string answer = co_await inside.query("SELECT 2");
        CHECK(answer == "2");
        CHECK(client.last.field('C') == "53300");
    });
    server.fill(database, false);
    run(timed(), 10s);
}

TEST_CASE("a database is woken by request and falls asleep again") {
    bitdotio::local_server_options options;
    options.sleep_after = 300ms;
    test_server server(options);
    const auto database = server.create_database("woken");
    CHECK(server.is_asleep(database));
    server.wake(database);
    CHECK_FALSE(server.is_asleep(database));
    server.wait_until_asleep(database);
}

TEST_CASE("rows that went through the endpoint count as queried") {
    test_server server;
    const auto database = server.create_database("counted");
    run(10s, [&]() -> asio::awaitable<void> {
        const auto executor = co_await asio::this_coro::executor;
        wire_client client(executor);
        co_await log_in(client, server, database.full());
        co_await client.query("SELECT g FROM generate_series(1, 250) g");
        co_await client.send(test::message('X', ""));
        co_await client.end();
        bitdotio::client api(executor, server.client_options());
        asio::steady_timer pause(executor);
        std::int64_t rows = 0;
        while (rows == 0) {
            const bitdotio::database known = co_await api.get_database(database);
            rows = known.usage_current ? known.usage_current->rows_queried : 0;
            pause.expires_after(20ms);
            co_await pause.async_wait(asio::use_awaitable);
        }
        CHECK(rows == 250);
    });
}
