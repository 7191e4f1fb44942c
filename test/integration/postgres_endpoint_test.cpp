// The Postgres endpoint as its clients see it: psql, and handwritten bytes.
#include <bitdotio/error.hpp>

#include "support/child.hpp"
#include "support/run.hpp"
#include "support/server_fixture.hpp"
#include "support/wire_sessions.hpp"

#include <doctest/doctest.h>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/this_coro.hpp>

#include <chrono>
#include <csignal>
#include <string>
#include <utility>

using namespace std::chrono_literals;
using namespace std::string_literals;
using test::run;
using test::test_server;
using test::wire_client;
namespace asio = boost::asio;

namespace {

bitdotio::local_server_options short_sleep() {
    bitdotio::local_server_options options;
    options.sleep_after = 300ms;
    return options;
}

// One server with one database for all tests that need nothing special.
struct shared_server : test::server_fixture {
    shared_server() : server_fixture(short_sleep(), "my-db") {}

    std::uint16_t port() const { return server.postgres_port(); }
    const std::string& key() const { return server.key().reveal(); }
};

shared_server& shared() {
    static shared_server one;
    return one;
}

test::ending psql(const std::string& database, const std::string& sql) {
    const shared_server& here = shared();
    return test::run_program({"psql", "-X", "-A", "-t", "-v", "VERBOSITY=verbose", "-c", sql},
                             {{"PGHOST", here.server.postgres_host()},
                              {"PGPORT", std::to_string(here.port())},
                              {"PGDATABASE", database},
                              {"PGUSER", "anybody"},
                              {"PGPASSWORD", here.key()},
                              {"PGSSLMODE", "verify-full"},
                              {"PGSSLROOTCERT", here.server.ca_file()}});
}

// The answer to a client that sends `bytes` without TLS.
asio::awaitable<test::reply> answer_in_the_clear(std::string bytes) {
    wire_client client(co_await asio::this_coro::executor);
    co_await client.connect(shared().port());
    co_await client.send(std::move(bytes));
    co_return co_await client.receive();
}

asio::awaitable<test::reply> refusal_of(std::string database, std::string key) {
    const test::reply answer = co_await test::answer_to_login(shared().server, database, key);
    CHECK(answer.type != 'Z');
    co_return answer;
}

asio::awaitable<std::string> one_query(std::string sql) {
    return test::query_once(shared().server, shared().name.full(), std::move(sql));
}

// Runs the coroutine of a test with a client that is logged in.
template <class Work>
void in_session(Work work) {
    test::with_wire_client(shared().server, shared().name, std::move(work));
}

}  // namespace

TEST_CASE("psql connects with any user name, the key as password and the full name") {
    const auto result =
        psql(shared().name.full(), "SELECT current_user, current_database(), 6 * 7");
    CHECK(result.out == "owner|main|42\n");
    CHECK(result.status == 0);
}

TEST_CASE("every separator of connection strings names the same database") {
    for (const char* name : {"local.my-db", "local~my-db", "local|my-db", "local>my-db",
                             "local%2Fmy-db", "local%2fmy-db"}) {
        CAPTURE(name);
        CHECK(psql(name, "SELECT 1").out == "1\n");
    }
}

TEST_CASE("no transaction is prepared, because its locks would outlive sessions and sleep") {
    const auto refused = psql(shared().name.full(), "BEGIN; PREPARE TRANSACTION 'kept'");
    CHECK(refused.status != 0);
    CHECK(refused.err.find("55000") != std::string::npos);
}

TEST_CASE("settings of the startup message reach PostgreSQL") {
    test::run([]() -> asio::awaitable<void> {
        wire_client client(co_await asio::this_coro::executor);
        co_await client.connect_securely(shared().port());
        const std::string wish = test::startup({{"user", "anybody"},
                                                {"database", shared().name.full()},
                                                {"application_name", "by hand"},
                                                {"options", "-c work_mem=5MB"}});
        co_await client.send(wish);
        const bool shown = co_await client.show_key(shared().key());
        CHECK(shown);
        co_await client.receive_until('Z');
        const std::string both = co_await client.query(
            "SELECT current_setting('application_name') || current_setting('work_mem')");
        CHECK(both == "by hand5MB");
    });
}

TEST_CASE("a wrong key is refused with 28P01, whatever its form") {
    for (const char* key : {"v2_wrong", "secret", ""}) {
        const test::reply refusal = run(refusal_of(shared().name.full(), key));
        CHECK(refusal.type == 'E');
        CHECK(refusal.field('S') == "FATAL");
        CHECK(refusal.field('C') == "28P01");
    }
}

TEST_CASE("unknown, foreign and malformed names are refused with 3D000 in the same words") {
    for (const std::string name : {"local/none", "eve/my-db", "nonsense", "/"}) {
        const test::reply refusal = run(refusal_of(name, shared().key()));
        CHECK(refusal.field('C') == "3D000");
        CHECK(refusal.field('M') == "database \"" + name + "\" does not exist");
    }
}

TEST_CASE("a session without TLS is refused with 28000") {
    const std::string wish = test::startup({{"user", "a"}, {"database", shared().name.full()}});
    CHECK(run(answer_in_the_clear(wish)).field('C') == "28000");
    CHECK(run(answer_in_the_clear(wish)).field('M').find("TLS") != std::string::npos);
}

TEST_CASE("bytes sent along in the clear with the request for TLS are refused with 08P01") {
    const std::string wish = test::startup({{"user", "a"}, {"database", shared().name.full()}});
    CHECK(run(answer_in_the_clear(test::ssl_request + wish)).field('C') == "08P01");
}

TEST_CASE("a request for GSSAPI is declined and TLS may follow") {
    run([]() -> asio::awaitable<void> {
        wire_client client(co_await asio::this_coro::executor);
        co_await client.connect(shared().port());
        co_await client.send(test::gss_request);
        const char first = co_await client.receive_byte();
        CHECK(first == 'N');
        co_await client.send(test::ssl_request);
        const char second = co_await client.receive_byte();
        CHECK(second == 'S');
    });
}

TEST_CASE("TLS without a request is taken with its ALPN and refused without") {
    const auto work = [](std::string alpn) -> asio::awaitable<test::reply> {
        wire_client client(co_await asio::this_coro::executor);
        co_await client.connect(shared().port());
        co_await client.secure(alpn);
        const std::string wish = test::startup({{"user", "a"}, {"database", "a/b"}});
        co_await client.send(wish);
        co_return co_await client.receive();
    };
    CHECK(run(work("postgresql")).type == 'R');
    CHECK(run(work("")).field('C') == "08P01");
    CHECK_THROWS_AS(run(work("h2")), boost::system::system_error);
}

TEST_CASE("a newer protocol and unknown options are negotiated down") {
    run([]() -> asio::awaitable<void> {
        wire_client client(co_await asio::this_coro::executor);
        co_await client.connect_securely(shared().port());
        const std::string wish = test::startup(
            {{"user", "a"}, {"database", shared().name.full()}, {"_pq_.future", "1"}}, 3 << 16 | 2);
        co_await client.send(wish);
        const test::reply offer = co_await client.receive();
        CHECK(offer.type == 'v');
        CHECK(offer.body == test::number(3 << 16) + test::number(1) + "_pq_.future\0"s);
        const bool shown = co_await client.show_key(shared().key());
        CHECK(shown);
        co_await client.receive_until('Z');
        const std::string answer = co_await client.query("SELECT 'well'");
        CHECK(answer == "well");
    });
}

TEST_CASE("an unknown protocol and replication are refused with 0A000") {
    const auto work = [](std::string wish) -> asio::awaitable<test::reply> {
        wire_client client(co_await asio::this_coro::executor);
        co_await client.connect_securely(shared().port());
        co_await client.send(std::move(wish));
        co_return co_await client.receive();
    };
    CHECK(run(work(test::startup({{"user", "a"}}, 2 << 16))).field('C') == "0A000");
    CHECK(run(work(test::startup({{"user", "a"}, {"replication", "true"}}))).field('C') == "0A000");
}

TEST_CASE("what is not the protocol is refused, and the next client served") {
    CHECK(run(answer_in_the_clear("GET / HTTP/1.1\r\n\r\n")).field('C') == "08P01");
    CHECK(run(answer_in_the_clear("\0\0\0\0"s)).field('C') == "08P01");
    CHECK(run(answer_in_the_clear(test::packet(test::number(3 << 16) + "user"))).field('C') ==
          "08P01");
    CHECK(run(one_query("SELECT 1")) == "1");
}

TEST_CASE("a cancel request, in the clear or in TLS, stops the session it names and no other") {
    const auto work = [](bool right, bool securely) -> asio::awaitable<std::string> {
        const auto executor = co_await asio::this_coro::executor;
        wire_client client(executor);
        co_await test::log_in(client, shared().server, shared().name.full());
        const std::string pid = co_await client.query("SELECT pg_backend_pid()");
        CHECK(pid == std::to_string(client.pid));  // the secret is the gateway's own
        wire_client holder(executor);
        co_await test::log_in(holder, shared().server, shared().name.full());
        co_await holder.query("SELECT pg_advisory_lock(3)");
        co_await client.send(test::message('Q', "SELECT pg_advisory_lock(3)\0"s));
        std::string waiting;
        while (waiting != "1") {
            waiting = co_await holder.query(
                "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'advisory'");
        }

        wire_client canceller(executor);
        if (securely) {
            co_await canceller.connect_securely(shared().port());
        } else {
            co_await canceller.connect(shared().port());
        }
        co_await canceller.send(test::packet(test::number(80877102) + test::number(client.pid) +
                                             test::number(client.secret + (right ? 0 : 1))));
        const auto ended = co_await canceller.end();
        CHECK(ended == asio::error::eof);
        if (!right) co_await holder.query("SELECT pg_advisory_unlock(3)");
        co_await client.receive_until('Z');
        co_return client.last.type == 'E' ? client.last.field('C') : "";
    };
    CHECK(run(work(true, false), 20s) == "57014");
    CHECK(run(work(true, true), 20s) == "57014");
    CHECK(run(work(false, false), 20s) == "");
    CHECK(run(work(false, true), 20s) == "");
}

TEST_CASE("psql's own cancel goes through the gateway") {
    // psql cancels on SIGINT; libpq of PostgreSQL 15 sends the cancel request without TLS.
    const shared_server& here = shared();
    test::child program({"psql", "-X", "-v", "VERBOSITY=verbose", "-c", "SELECT pg_sleep(50)"},
                        {{"PGHOST", here.server.postgres_host()},
                         {"PGPORT", std::to_string(here.port())},
                         {"PGDATABASE", here.name.full()},
                         {"PGPASSWORD", here.key()},
                         {"PGSSLMODE", "require"}});
    const std::string running =
        "SELECT count(*) FROM pg_stat_activity "
        "WHERE query = 'SELECT pg_sleep(50)' AND state = 'active'";
    const auto deadline = std::chrono::steady_clock::now() + 20s;
    while (run(one_query(running)) != "1") {
        REQUIRE(std::chrono::steady_clock::now() < deadline);
    }
    program.send(SIGINT);
    const auto result = program.wait();
    CHECK(result.err.find("57014") != std::string::npos);
}

TEST_CASE("a database left alone falls asleep, and a new connection wakes it with its data") {
    CHECK(psql(shared().name.full(), "CREATE TABLE kept AS SELECT 7 AS n").status == 0);
    shared().server.wait_until_asleep(shared().name);
    CHECK(shared().server.is_asleep(shared().name));
    CHECK(run(one_query("SELECT n FROM kept")) == "7");
    CHECK_FALSE(shared().server.is_asleep(shared().name));
}

TEST_CASE("a connected client keeps its database awake") {
    in_session([](wire_client& client) -> asio::awaitable<void> {
        const std::string slept = co_await client.query("SELECT pg_sleep(1)");
        const std::string answer = co_await client.query("SELECT 'awake'");
        CHECK(answer == "awake");
    });
}

TEST_CASE("twenty clients of a sleeping database are all served by one wake") {
    shared().server.sleep(shared().name);
    int served = 0;
    std::string started;
    const auto visit = [&]() -> asio::awaitable<void> {
        const std::string when = co_await one_query("SELECT pg_postmaster_start_time()");
        CHECK((started.empty() || started == when));
        started = when;
        ++served;
    };
    run(30s, [&]() -> asio::awaitable<void> {
        const auto executor = co_await asio::this_coro::executor;
        for (int i = 1; i < 20; ++i) {
            asio::co_spawn(executor, visit(), [](std::exception_ptr failure) {
                if (failure) std::rethrow_exception(failure);
            });
        }
        co_await visit();
        asio::steady_timer pause(executor);
        while (served < 20) {
            pause.expires_after(10ms);
            co_await pause.async_wait(asio::use_awaitable);
        }
    });
    CHECK(served == 20);
}

TEST_CASE("megabytes go through both ways unchanged") {
    const auto result =
        psql(shared().name.full(),
             "SELECT md5(string_agg(g::text, '')) FROM generate_series(1, 200000) g "
             "UNION ALL SELECT repeat('x', 20000000)");
    CHECK(result.out.size() == 33 + 20'000'001);
    const std::string literal(5'000'000, 'y');
    CHECK(run(one_query("SELECT length('" + literal + "')"), 30s) == "5000000");
}

TEST_CASE("an idle session ends with 57P05, one in a transaction with 25P03, in good order") {
    bitdotio::local_server_options options;
    options.idle_session_timeout = 300ms;
    test_server server(options);
    const auto name = server.create_database("idle");
    const auto work = [&](std::string before) -> asio::awaitable<std::string> {
        wire_client client(co_await asio::this_coro::executor);
        co_await test::log_in(client, server, name.full());
        co_await client.query(std::move(before));
        const test::reply goodbye = co_await client.receive();
        CHECK(goodbye.type == 'E');
        CHECK(goodbye.field('S') == "FATAL");
        // eof and not stream_truncated: close_notify came before the FIN.
        const auto ended = co_await client.end();
        CHECK(ended == asio::error::eof);
        co_return goodbye.field('C');
    };
    CHECK(run(work("SELECT 1"), 10s) == "57P05");
    CHECK(run(work("BEGIN"), 10s) == "25P03");
}

TEST_CASE("putting a database to sleep ends its sessions with 57P01") {
    in_session([](wire_client& client) -> asio::awaitable<void> {
        shared().server.sleep(shared().name);
        const test::reply goodbye = co_await client.receive_until('E');
        CHECK(goodbye.field('C') == "57P01");
        const auto ended = co_await client.end();
        CHECK(ended == asio::error::eof);
    });
}

TEST_CASE("refused connections are hung up on right away, and counted") {
    const auto before = shared().server.accepted_connections();
    shared().server.refuse_next(2);
    const auto work = []() -> asio::awaitable<boost::system::error_code> {
        wire_client client(co_await asio::this_coro::executor);
        co_await client.connect(shared().port());
        co_return co_await client.end();
    };
    CHECK(run(work()) == asio::error::eof);
    CHECK(run(work()) == asio::error::eof);
    CHECK(run(one_query("SELECT 1")) == "1");
    CHECK(shared().server.accepted_connections() == before + 3);
}

TEST_CASE("hanging up resets the clients of a database and leaves its PostgreSQL running") {
    run([]() -> asio::awaitable<void> {
        const auto executor = co_await asio::this_coro::executor;
        wire_client client(executor);
        co_await test::log_in(client, shared().server, shared().name.full());
        const std::string before = co_await client.query("SELECT pg_postmaster_start_time()");
        shared().server.hang_up(shared().name);
        const auto ended = co_await client.end();
        CHECK(ended == asio::error::connection_reset);
        const std::string after = co_await one_query("SELECT pg_postmaster_start_time()");
        CHECK(before == after);
    });
}

TEST_CASE("a client that vanishes lets its database fall asleep") {
    in_session([](wire_client& client) -> asio::awaitable<void> {
        client.close();
        co_return;
    });
    shared().server.wait_until_asleep(shared().name);
}
