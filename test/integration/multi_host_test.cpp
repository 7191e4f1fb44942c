// Several hosts and target_session_attrs: which of a primary and its standby a connection takes.
#include "support/database.hpp"
#include "support/pool_use.hpp"
#include "support/postgres_cluster.hpp"
#include "support/relay.hpp"
#include "support/text.hpp"
#include "support/with_connection.hpp"

#include <bitdotio/pool.hpp>

#include <boost/asio/ip/tcp.hpp>

#include <doctest/doctest.h>

#include <string>
#include <utility>

namespace {

namespace asio = boost::asio;
using namespace std::chrono_literals;
using bitdotio::connect_options;
using bitdotio::connection;
using bitdotio::errc;
using bitdotio::host_port;
using bitdotio::pool;
using test::mentions;
using test::rest;
using test::stop_mode;

struct pair {
    test::postgres_primary primary;
    test::postgres_standby standby{primary};

    // Both servers, in this order, with `wanted` in the words of connection strings.
    connect_options open(const std::string& wanted, bool standby_first) const {
        connect_options options = primary.connect();
        options.hosts = {primary.address(), standby.address()};
        if (standby_first) {
            std::swap(options.hosts[0], options.hosts[1]);
        }
        options.target_session_attrs =
            connect_options::parse("target_session_attrs=" + wanted).target_session_attrs;
        options.wake_timeout = 0ms;
        return options;
    }
};

// Shared by the cases that leave both servers in their roles.
const pair& shared() {
    static const pair instance;
    return instance;
}

host_port nobody() {
    return {"127.0.0.1", test::free_port()};
}

template <class Session>
asio::awaitable<int> port_of(Session& session) {
    const auto answer = co_await session.query("SELECT inet_server_port()");
    co_return answer.template one<int>();
}

asio::awaitable<int> taken(connect_options options) {
    connection c = co_await connection::open(options);
    co_return co_await port_of(c);
}

bool mentions(const bitdotio::error& failure, const host_port& place) {
    return mentions(failure, place.host + ":" + std::to_string(place.port));
}

TEST_CASE("of a primary and its standby, the first that has the wanted role is taken") {
    const int primary = shared().primary.port();
    const int standby = shared().standby.port();
    struct row {
        const char* wanted;
        int primary_first, standby_first;
    };
    const row table[] = {
        {"any", primary, standby},       {"read-write", primary, primary},
        {"read-only", standby, standby}, {"primary", primary, primary},
        {"standby", standby, standby},   {"prefer-standby", standby, standby},
    };
    for (const row& one : table) {
        CAPTURE(one.wanted);
        CHECK(test::run(taken(shared().open(one.wanted, false))) == one.primary_first);
        CHECK(test::run(taken(shared().open(one.wanted, true))) == one.standby_first);
    }
}

TEST_CASE("where no host is of the wanted role, the error says which was wanted and who is not") {
    struct row {
        const char* wanted;
        host_port only;
        const char* told;
    };
    const row table[] = {
        {"read-write", shared().standby.address(), "asks for one that takes writes"},
        {"primary", shared().standby.address(), "asks for a primary"},
        {"read-only", shared().primary.address(), "asks for a read-only one"},
        {"standby", shared().primary.address(), "asks for a standby"},
    };
    for (const row& one : table) {
        connect_options options = shared().open(one.wanted, false);
        options.hosts = {one.only};
        const auto failure = test::error_of(taken(options));
        INFO(std::string(failure.what()));
        CHECK(failure.code() == errc::database_asleep);
        CHECK(failure.outcome() == bitdotio::outcome::not_sent);
        CHECK(mentions(failure, one.told));
        CHECK(mentions(failure, one.only));
    }
}

TEST_CASE("a host that refuses does not hide that another is of the wrong role, in either order") {
    const host_port gone = nobody();
    const host_port there = shared().primary.address();
    for (const bool refused_first : {true, false}) {
        CAPTURE(refused_first);
        connect_options options = shared().open("standby", false);
        options.hosts = {there, gone};
        if (refused_first) {
            std::swap(options.hosts[0], options.hosts[1]);
        }
        const auto failure = test::error_of(taken(options));
        INFO(std::string(failure.what()));
        CHECK(failure.code() == errc::database_asleep);
        CHECK(mentions(failure, "asks for a standby; of another role: " + there.host + ":" +
                                    std::to_string(there.port)));
        CHECK(mentions(failure, "port " + std::to_string(gone.port)));
    }
    connect_options unknown = shared().open("standby", false);
    unknown.hosts = {there, {"no-such-host.invalid", 5432}};
    const auto failure = test::error_of(taken(unknown));
    INFO(std::string(failure.what()));
    CHECK(failure.code() == errc::database_asleep);  // the primary may become a standby
    CHECK(mentions(failure, "no-such-host.invalid"));
    CHECK(mentions(failure, there));
}

TEST_CASE("a first host that refuses is passed by, whichever role is wanted") {
    for (const char* wanted : {"any", "read-write", "standby", "prefer-standby"}) {
        CAPTURE(wanted);
        connect_options options = shared().open(wanted, true);
        const int without = test::run(taken(options));
        options.hosts.insert(options.hosts.begin(), nobody());
        CHECK(test::run(taken(options)) == without);
    }
}

TEST_CASE("a first host that never answers costs one connect_timeout, then the next is taken") {
    test::run([]() -> asio::awaitable<void> {
        const auto silent =
            test::relay::start(co_await asio::this_coro::executor, shared().primary.port());
        silent->mode = test::relay_mode::swallow;
        connect_options options = shared().open("read-write", false);
        options.hosts.insert(options.hosts.begin(), {"127.0.0.1", silent->port()});
        options.connect_timeout = 2s;
        const int port = co_await taken(options);
        CHECK(port == shared().primary.port());
        CHECK(silent->accepted == 1);
    });
}

TEST_CASE("a preferred standby that is gone leaves the primary, and a pool takes what is there") {
    connect_options options = shared().open("prefer-standby", false);
    options.hosts = {nobody(), shared().primary.address()};
    CHECK(test::run(taken(options)) == shared().primary.port());
    test::with_pool(options, [&](pool& connections) -> asio::awaitable<void> {
        const int port = co_await port_of(connections);
        CHECK(port == shared().primary.port());
    });
}

TEST_CASE("who wants to write waits for the promotion of a standby, and roles are new after it") {
    pair own;
    const int promoted = own.standby.port();
    test::run([&]() -> asio::awaitable<void> {
        const auto executor = co_await asio::this_coro::executor;
        const auto counter = test::relay::start(executor, own.standby.port());
        connect_options options = own.open("read-write", false);
        options.hosts[1].port = counter->port();
        options.wake_timeout = 30s;
        pool connections(executor, options);
        const int before = co_await port_of(connections);
        CHECK(before == own.primary.port());

        own.primary.stop(stop_mode::immediate);
        auto one = [&](std::size_t i) -> asio::awaitable<void> {
            if (i == 0) {
                const int port = co_await port_of(connections);
                CHECK(port == promoted);
                co_return;
            }
            while (counter->ended < 2) {  // refused twice for its role
                co_await rest(5ms);
            }
            own.standby.promote();
        };
        test::expect_none(co_await test::gather(2, one));
        co_await connections.close();
    });

    CHECK(test::run(taken(own.open("primary", false))) == promoted);
    CHECK(test::run(taken(own.open("prefer-standby", true))) == promoted);
    const auto none = test::error_of(taken(own.open("standby", true)));
    INFO(std::string(none.what()));
    CHECK(mentions(none, "asks for a standby; of another role"));
    CHECK(mentions(none, own.standby.address()));
    CHECK(mentions(none, "port " + std::to_string(own.primary.port())));  // which refuses
}

}  // namespace
