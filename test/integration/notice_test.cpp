// Notices of the server, delivered to callers that asked for them and to no others.
#include "support/database.hpp"
#include "support/with_connection.hpp"

#include <bitdotio/connection.hpp>
#include <bitdotio/pool.hpp>

#include <doctest/doctest.h>

#include <stdexcept>
#include <string>
#include <vector>

namespace {

namespace asio = boost::asio;
using bitdotio::connect_options;
using bitdotio::connection;
using bitdotio::server_message;

test::database& shared() {
    static test::database instance;
    return instance;
}

asio::awaitable<void> remark(connect_options options) {
    connection c = co_await connection::open(options);
    co_await c.query(
        "DO $$ BEGIN RAISE WARNING 'first' USING DETAIL = 'more', HINT = 'try', ERRCODE = '01234';"
        " RAISE NOTICE 'second'; END $$");
    co_await c.query("DROP TABLE IF EXISTS never_made");
}

TEST_CASE("notices come in order, with all their fields, before their statement has ended") {
    connect_options options = shared().connect;
    std::vector<server_message> told;
    options.on_notice = [&](const server_message& one) { told.push_back(one); };
    const auto work = [](connect_options given,
                         const std::vector<server_message>& heard) -> asio::awaitable<void> {
        connection c = co_await connection::open(given);
        co_await c.query("DO $$ BEGIN RAISE WARNING 'early'; END $$");
        CHECK(heard.size() == 1);
        co_await c.close();
        co_await remark(given);
    };
    test::run(work(options, told));
    REQUIRE(told.size() == 4);
    CHECK(told[1].severity == "WARNING");
    CHECK(told[1].sqlstate == "01234");
    CHECK(told[1].message == "first");
    CHECK(told[1].detail == "more");
    CHECK(told[1].hint == "try");
    CHECK(told[1].context.find("PL/pgSQL") != std::string::npos);
    CHECK(told[2].severity == "NOTICE");
    CHECK(told[2].message == "second");
    CHECK(told[3].sqlstate == "00000");
    CHECK(told[3].message.find("never_made") != std::string::npos);
}

TEST_CASE("what the receiver of notices throws harms nobody") {
    connect_options options = shared().connect;
    int calls = 0;
    options.on_notice = [&](const server_message&) {
        ++calls;
        throw std::runtime_error("not caught");
    };
    test::run(remark(options));
    CHECK(calls == 3);
}

TEST_CASE("the connections of a pool tell the same receiver") {
    connect_options options = shared().connect;
    int calls = 0;
    options.on_notice = [&](const server_message&) { ++calls; };
    test::with_pool(options, [&](bitdotio::pool& lends) -> asio::awaitable<void> {
        co_await lends.query("DROP TABLE IF EXISTS never_made");
        {
            auto one = co_await lends.acquire();
            auto other = co_await lends.acquire();
            co_await one->query("DROP TABLE IF EXISTS never_made");
            co_await other->query("DROP TABLE IF EXISTS never_made");
        }
    });
    CHECK(calls == 3);
}

TEST_CASE("the server's goodbye is the reason of the loss and no notice") {
    connect_options options = shared().connect;
    int calls = 0;
    options.on_notice = [&](const server_message&) { ++calls; };
    test::with_connection(options, [&](connection& c) -> asio::awaitable<void> {
        const auto pid = co_await c.query("SELECT pg_backend_pid()");
        connection killer = co_await connection::open(options);
        co_await killer.query("SELECT pg_terminate_backend($1, 5000)", pid.one<int>());
        std::string sqlstate;
        for (int i = 0; i < 1000 && sqlstate.empty(); ++i) {
            try {
                co_await c.query("SELECT 1");
            } catch (const bitdotio::error& failure) {
                sqlstate = failure.sqlstate();
            }
        }
        CHECK(sqlstate == "57P01");
    });
    CHECK(calls == 0);
}

}  // namespace
