// The backend of a server fails over, or has a pooler before it, and clients go on.
#include "support/api_calls.hpp"
#include "support/backend.hpp"
#include "support/pgbouncer.hpp"
#include "support/run.hpp"

#include <bitdotio/connection.hpp>
#include <bitdotio/pool.hpp>

#include <boost/asio/this_coro.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <thread>

namespace {

namespace asio = boost::asio;
using namespace std::chrono_literals;
using bitdotio::errc;
using bitdotio::statement;
using test::api_calls;
using test::pooling;

// Writes numbers until the backend has failed over and a hundred more have been acknowledged.
asio::awaitable<std::set<int>> write_through(bitdotio::connect_options where,
                                             test::postgres_primary& primary,
                                             test::postgres_standby& standby) {
    bitdotio::pool pool(co_await asio::this_coro::executor, where);
    std::set<int> acknowledged;
    std::thread failing;
    std::size_t enough = 200;
    for (int i = 0; acknowledged.size() < enough && i < 100'000; ++i) {
        bool done = false;
        try {
            co_await pool.query("INSERT INTO t VALUES ($1)", i);
            done = true;
        } catch (const bitdotio::error& failure) {
            INFO(std::string(failure.what()));
            // The outcome of what was under way is unknown; nothing else may go wrong.
            CHECK(failure.code() == errc::connection_lost);
        }
        if (done) acknowledged.insert(i);
        if (acknowledged.size() == 100 && !failing.joinable()) {
            failing = std::thread([&] {
                primary.stop(test::stop_mode::immediate);
                standby.promote();
            });
        }
    }
    failing.join();
    co_await pool.close();
    co_return acknowledged;
}

asio::awaitable<std::set<int>> read_all(bitdotio::connect_options where) {
    bitdotio::connection session = co_await bitdotio::connection::open(where);
    const bitdotio::result answer = co_await session.query("SELECT a FROM t");
    const std::vector<int> rows = answer.rows_as<int>();
    co_await session.close();
    co_return std::set<int>(rows.begin(), rows.end());
}

asio::awaitable<std::string> ask(bitdotio::connect_options where, std::string sql) {
    bitdotio::connection session = co_await bitdotio::connection::open(where);
    statement plain(std::move(sql));
    plain.text_results().unprepared();
    const bitdotio::result answer = co_await session.query(plain);
    const std::string first = answer.size() == 0 ? "" : std::string(answer[0][0].data());
    co_await session.close();
    co_return first;
}

}  // namespace

TEST_CASE("a failover of the backend loses no acknowledged write, and all goes on at the standby") {
    test::postgres_primary primary;
    test::make_service(primary);
    test::postgres_standby standby(primary);
    primary.execute("ALTER SYSTEM SET synchronous_standby_names = '*'");
    primary.execute("SELECT pg_reload_conf()");
    while (primary.value("SELECT count(*)::text FROM pg_stat_replication WHERE sync_state = "
                         "'sync'") != "1") {
    }
    // The standby first: it must be passed over.
    test::test_server server(test::with_backend(test::backend_of(
        "127.0.0.1,127.0.0.1",
        std::to_string(standby.port()) + "," + std::to_string(primary.port()), primary)));
    const api_calls owner(server);
    const auto name = server.create_database("ledger");
    CHECK(owner.query(name.full(), "CREATE TABLE t (a integer PRIMARY KEY)").status == 200);
    const auto where = server.connect_options(name);
    CHECK(test::run(ask(where, "SELECT pg_is_in_recovery()::text")) == "false");

    const std::set<int> acknowledged = test::run(write_through(where, primary, standby));
    const std::set<int> there = test::run(read_all(where));
    for (const int each : acknowledged) {
        CHECK(there.contains(each));
    }
    CHECK(acknowledged.size() == 200);
    CHECK(test::run(ask(where, "SHOW port")) == std::to_string(standby.port()));
    // The API as well, and what the server itself asks of its backend.
    CHECK(owner.query(name.full(), "INSERT INTO t VALUES (-1)").status == 200);
    const auto after = server.create_database("after");
    CHECK(owner.query(after.full(), "CREATE TABLE t (a integer)").status == 200);
    CHECK(owner("DELETE", "/db/" + name.full() + "/").status == 200);
}

TEST_CASE("without any backend clients are told to come again, and one that is back is used") {
    test::postgres_primary primary;
    test::make_service(primary);
    bitdotio::local_server_options options = test::with_backend(test::backend_of(primary));
    options.wake_timeout = 300ms;
    test::test_server server(options);
    const auto name = server.create_database("mine");
    auto where = server.connect_options(name);
    where.wake_timeout = 0ms;
    CHECK(test::run(ask(where, "SELECT 1")) == "1");
    primary.stop(test::stop_mode::fast);
    try {
        test::run(ask(where, "SELECT 1"));
        FAIL("there is no backend");
    } catch (const bitdotio::error& failure) {
        CHECK(failure.sqlstate() == "57P03");
    }
    primary.start();
    CHECK(test::run(ask(where, "SELECT 2")) == "2");
    CHECK(api_calls(server).query(name.full(), "SELECT 3").status == 200);
}

TEST_CASE("a pooler may stand before the backend, in both ways of pooling") {
    test::postgres_primary primary;
    test::make_service(primary);
    // The pooler's own session in a database is a superuser's, which only a superuser may end.
    primary.execute("ALTER ROLE service SUPERUSER");
    for (const pooling mode : {pooling::session, pooling::transaction}) {
        CAPTURE(static_cast<int>(mode));
        // The roles come and go: the pooler asks the backend for what it stores of their passwords.
        const test::pgbouncer pooler(
            primary, mode,
            {{"auth_user", "postgres"},
             {"auth_query", "SELECT rolname, rolpassword FROM pg_authid WHERE rolname=$1"}});
        test::test_server server(test::with_backend(test::backend_of(
            "127.0.0.1", std::to_string(pooler.connect().hosts[0].port), primary)));
        const api_calls owner(server);
        const auto name = server.create_database("pooled");
        CHECK(owner.query(name.full(), "CREATE TABLE t AS SELECT 7 AS a").status == 200);
        CHECK(owner.query(name.full(), "SELECT a FROM t").status == 200);
        auto where = server.connect_options(name);
        where.wake_timeout = 0ms;
        where.statement_cache_size = 0;
        CHECK(test::run(ask(where, "SELECT a FROM t")) == "7");
        // The pooler refuses a setting that it does not follow, and says so.
        where.settings = {{"work_mem", "5MB"}};
        try {
            test::run(ask(where, "SELECT 1"));
            FAIL("the pooler lets settings pass");
        } catch (const bitdotio::error& failure) {
            CHECK(std::string(failure.what()).find("startup parameter") != std::string::npos);
        }
        CHECK(owner("DELETE", "/db/" + name.full() + "/").status == 200);
    }
}
