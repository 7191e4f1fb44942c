// Opening a connection where the role of the server counts: the first of the wanted role is taken,
// and one that may still get it is waited for.
#include "support/database.hpp"
#include "support/postgres.hpp"
#include "support/text.hpp"
#include "support/with_connection.hpp"

#include "base/deadline.hpp"

#include <bitdotio/connection.hpp>

#include <boost/asio/detached.hpp>
#include <boost/asio/experimental/parallel_group.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/write.hpp>

#include <doctest/doctest.h>

#include <array>
#include <chrono>
#include <optional>
#include <string>
#include <utility>

namespace {

namespace asio = boost::asio;
using namespace std::chrono_literals;
using bitdotio::connect_options;
using bitdotio::connection;
using bitdotio::errc;
using bitdotio::session_attributes;
using bitdotio::tls_mode;
using test::mentions;
using tcp = asio::ip::tcp;

// Shared by the cases that leave it as it was.
test::private_postgres& server() {
    static test::private_postgres instance([] {
        test::private_postgres_options options;
        options.tls = true;
        options.hba =
            "hostnossl all in_the_clear 127.0.0.1/32 scram-sha-256\n"
            "hostssl all reader 127.0.0.1/32 scram-sha-256\n";
        return options;
    }());
    static const bool once = [] {
        instance.run(
            "CREATE ROLE in_the_clear LOGIN PASSWORD 'x'; CREATE ROLE reader LOGIN PASSWORD 'x';"
            "ALTER ROLE reader SET default_transaction_read_only = on;");
        return true;
    }();
    (void)once;
    return instance;
}

asio::awaitable<std::string> ask(connect_options options, bitdotio::statement sql) {
    connection c = co_await connection::open(options);
    const auto answer = co_await c.query(std::move(sql));
    co_return answer.one<std::string>();
}

std::string user_of(connect_options options) {
    return test::run(ask(std::move(options), "SELECT current_user::text"));
}

bitdotio::error refusal_of(connect_options options) {
    return test::error_of(ask(std::move(options), "SELECT 'in'"));
}

// Hands one connection on to a server and garbles what it reports about its role, as if it were
// older than PostgreSQL 14, or a pooler that does not forward it.
asio::awaitable<void> garble(tcp::socket client, std::uint16_t target) {
    tcp::socket to_server(co_await asio::this_coro::executor);
    const tcp::endpoint there(asio::ip::address_v4::loopback(), target);
    co_await to_server.async_connect(there, asio::use_awaitable);
    auto copy = [](tcp::socket& from, tcp::socket& to, bool change) -> asio::awaitable<void> {
        std::array<char, 65'536> buffer;
        boost::system::error_code failure;
        while (!failure) {
            const std::size_t size = co_await from.async_read_some(
                asio::buffer(buffer), asio::redirect_error(asio::use_awaitable, failure));
            std::string text(buffer.data(), size);
            for (const char* name : {"in_hot_standby", "default_transaction_read_only"}) {
                const std::size_t found = text.find(name);
                if (change && found != std::string::npos) {
                    text[found] = '_';
                }
            }
            if (!failure) {
                co_await asio::async_write(to, asio::buffer(text), asio::use_awaitable);
            }
        }
        to.shutdown(tcp::socket::shutdown_send, failure);
    };
    auto there_way = copy(client, to_server, false);
    auto back_way = copy(to_server, client, true);
    auto both = asio::experimental::make_parallel_group(
        asio::co_spawn(co_await asio::this_coro::executor, std::move(there_way), asio::deferred),
        asio::co_spawn(co_await asio::this_coro::executor, std::move(back_way), asio::deferred));
    co_await both.async_wait(asio::experimental::wait_for_all(), asio::use_awaitable);
}

TEST_CASE("a server that does not report its role is asked for it") {
    test::run([]() -> asio::awaitable<void> {
        const auto executor = co_await asio::this_coro::executor;
        tcp::acceptor acceptor(executor, tcp::endpoint(asio::ip::address_v4::loopback(), 0));
        auto serve = [](tcp::acceptor& at, std::uint16_t port) -> asio::awaitable<void> {
            for (;;) {
                tcp::socket client = co_await at.async_accept(asio::use_awaitable);
                auto one = garble(std::move(client), port);
                asio::co_spawn(at.get_executor(), std::move(one), asio::detached);
            }
        };
        auto serving = serve(acceptor, server().port());
        asio::co_spawn(executor, std::move(serving), [](std::exception_ptr) {});

        connect_options options = server().over_tcp("in_the_clear", "x");
        options.tls = tls_mode::disable;
        options.wake_timeout = 0ms;
        options.hosts[0].port = acceptor.local_endpoint().port();
        struct row {
            session_attributes wanted;
            const char* read_only;
            bool taken;
        };
        const row table[] = {
            {session_attributes::read_write, "off", true},
            {session_attributes::read_write, "on", false},
            {session_attributes::read_only, "on", true},
            {session_attributes::read_only, "off", false},
            {session_attributes::primary, "on", true},
            {session_attributes::standby, "on", false},
            {session_attributes::prefer_standby, "off", true},
        };
        for (const row& one : table) {
            options.target_session_attrs = one.wanted;
            options.settings = {{"default_transaction_read_only", one.read_only}};
            bool taken = true;
            try {
                connection c = co_await connection::open(options);
                co_await c.close();
            } catch (const bitdotio::error& failure) {
                CHECK(failure.code() == errc::database_asleep);
                taken = false;
            }
            CHECK(taken == one.taken);
        }
        acceptor.close();
    });
}

TEST_CASE("among several servers the first of the wanted role is taken") {
    static test::private_postgres reader([] {
        test::private_postgres_options options;
        options.hba = "local all all trust\n";
        options.settings = "default_transaction_read_only = on";
        return options;
    }());
    connect_options options = reader.superuser();
    const bitdotio::host_port read_only = options.hosts[0];
    const bitdotio::host_port writable = server().superuser().hosts[0];
    const auto port_of = [](connect_options given) {
        return test::run(ask(std::move(given), "SELECT current_setting('port')"));
    };
    const std::string read_only_port = std::to_string(read_only.port);
    const std::string writable_port = std::to_string(writable.port);
    options.hosts = {read_only, writable};
    options.wake_timeout = 0ms;
    CHECK(port_of(options) == read_only_port);
    options.target_session_attrs = session_attributes::read_write;
    CHECK(port_of(options) == writable_port);
    options.target_session_attrs = session_attributes::primary;
    CHECK(port_of(options) == read_only_port);
    options.target_session_attrs = session_attributes::prefer_standby;
    CHECK(port_of(options) == read_only_port);
    options.hosts = {writable, read_only};
    CHECK(port_of(options) == writable_port);
    options.target_session_attrs = session_attributes::read_only;
    CHECK(port_of(options) == read_only_port);
    options.target_session_attrs = session_attributes::standby;
    const auto failure = refusal_of(options);
    CHECK(failure.code() == errc::database_asleep);
    CHECK(mentions(failure, "asks for a standby"));
}

TEST_CASE("a role's own default counts, and so does one of the options") {
    connect_options options = server().over_tcp("reader", "x");
    options.wake_timeout = 0ms;
    options.target_session_attrs = session_attributes::read_only;
    CHECK(user_of(options) == "reader");
    options.target_session_attrs = session_attributes::read_write;
    CHECK(mentions(refusal_of(options), "takes writes"));
    options.options = "-c default_transaction_read_only=off";  // goes before the role's own
    CHECK(user_of(options) == "reader");
}

TEST_CASE("a server that takes no writes yet is waited for") {
    // The database's default changes while we wait, as a standby's role does when it is promoted.
    test::with_connection(server().superuser(), [](connection& control) -> asio::awaitable<void> {
        co_await control.query("CREATE DATABASE promoted");
        co_await control.query("ALTER DATABASE promoted SET default_transaction_read_only = on");
        connect_options options = server().superuser();
        options.database = "promoted";
        options.target_session_attrs = session_attributes::read_write;
        options.wake_timeout = 30s;
        std::exception_ptr failure;
        asio::steady_timer ended(co_await asio::this_coro::executor, bitdotio::no_deadline);
        bool open = false;
        const auto on_end = [&](std::exception_ptr thrown, connection) {
            failure = thrown;
            open = true;
            ended.cancel();
        };
        auto opening = connection::open(options);
        asio::co_spawn(co_await asio::this_coro::executor, std::move(opening), on_end);
        asio::steady_timer soon(co_await asio::this_coro::executor, 200ms);
        co_await soon.async_wait(asio::use_awaitable);
        CHECK_FALSE(open);
        co_await control.query("ALTER DATABASE promoted SET default_transaction_read_only = off");
        boost::system::error_code ignored;
        if (!open) {
            co_await ended.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
        }
        CHECK_FALSE(failure);
    });
}

TEST_CASE("a session refused for its role is closed, not left behind") {
    test::run([]() -> asio::awaitable<void> {
        connect_options options = server().over_tcp("reader", "x");
        options.target_session_attrs = session_attributes::read_write;
        options.wake_timeout = 0ms;
        for (int i = 0; i < 5; ++i) {
            std::optional<errc> failed;
            try {
                connection never = co_await connection::open(options);
            } catch (const bitdotio::error& failure) {
                failed = failure.code();
            }
            CHECK(failed == errc::database_asleep);
        }
        connection control = co_await connection::open(server().superuser());
        std::int64_t left = -1;
        const auto limit = std::chrono::steady_clock::now() + 30s;
        while (left != 0 && std::chrono::steady_clock::now() < limit) {
            const auto answer = co_await control.query(
                "SELECT count(*) FROM pg_stat_activity WHERE usename = 'reader'");
            left = answer.one<std::int64_t>();
        }
        CHECK(left == 0);
    });
}

}  // namespace
