// Credentials that a program supplies when asked, anew for each dial.
#include "support/database.hpp"
#include "support/postgres.hpp"
#include "support/with_connection.hpp"

#include <bitdotio/pool.hpp>

#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <stdexcept>
#include <vector>

namespace {

namespace asio = boost::asio;
using namespace std::chrono_literals;
using bitdotio::connect_options;
using bitdotio::connection;
using bitdotio::credentials;
using bitdotio::errc;
using bitdotio::pool;

test::private_postgres& server() {
    static test::private_postgres instance([] {
        test::private_postgres_options options;
        options.hba = "host all all 127.0.0.1/32 scram-sha-256\n";
        return options;
    }());
    static const bool once = [] {
        instance.run("CREATE ROLE ann LOGIN PASSWORD 'first'; CREATE ROLE bob LOGIN PASSWORD 'b'");
        return true;
    }();
    static_cast<void>(once);
    return instance;
}

// The program's credentials, and how often it was asked.
struct vault {
    std::vector<std::string> cached{"first"};  // the last one is used for all later calls
    std::string user;
    std::vector<int> asked;

    asio::awaitable<credentials> give(int attempt) {
        asio::steady_timer pause(co_await asio::this_coro::executor, 1ms);
        co_await pause.async_wait(asio::use_awaitable);
        asked.push_back(attempt);
        credentials given(cached.front(), user);
        if (cached.size() > 1) {
            cached.erase(cached.begin());
        }
        co_return given;
    }
};

connect_options asking(vault& source) {
    connect_options options = server().over_tcp("ann", "not looked at");
    options.ask_credentials = [&source](int attempt) { return source.give(attempt); };
    return options;
}

asio::awaitable<std::string> who_am_i(connect_options options) {
    connection c = co_await connection::open(options);
    const auto answer = co_await c.query("SELECT current_user::text");
    co_return answer.one<std::string>();
}

TEST_CASE("each dial asks for credentials, and a user among them has the word") {
    vault source;
    CHECK(test::run(who_am_i(asking(source))) == "ann");
    CHECK(source.asked == std::vector{1});
    source.cached = {"b"};
    source.user = "bob";
    CHECK(test::run(who_am_i(asking(source))) == "bob");
    CHECK(source.asked == std::vector{1, 1});
}

TEST_CASE("a pool goes on when its password is rotated, a refused one being asked for again") {
    vault source;
    test::with_pool(asking(source), [&](pool& from) -> asio::awaitable<void> {
        auto held = co_await from.acquire();
        co_await held->query("SELECT 1");
        server().run("ALTER ROLE ann PASSWORD 'second'");
        source.cached = {"first", "second"};  // the vault's cache still has the old one
        co_await from.query("SELECT 1");
        co_await held->query("SELECT 1");
        const auto counts = co_await from.statistics();
        CHECK(counts.connects == 2);
        CHECK(counts.opened == 2);
        held.release();
    });
    CHECK(source.asked == std::vector{1, 1, 2});
    server().run("ALTER ROLE ann PASSWORD 'first'");
}

TEST_CASE("credentials refused twice in one dial are one error, with both attempts and no secret") {
    vault source;
    source.cached = {"wrong-one", "wrong-two"};
    const auto failure = test::error_of(who_am_i(asking(source)));
    CHECK(failure.code() == errc::authentication_failed);
    CHECK(failure.sqlstate() == "28P01");
    CHECK(failure.attempts() == 2);
    CHECK(std::string(failure.what()).find("wrong") == std::string::npos);
    CHECK(source.asked == std::vector{1, 2});

    connect_options two_places = asking(source);
    two_places.hosts.push_back(two_places.hosts.front());
    const auto again = test::error_of(who_am_i(two_places));
    CHECK(again.sqlstate() == "28P01");
    CHECK(source.asked == std::vector{1, 2, 1, 2});
}

TEST_CASE("what the callback throws is told: as it is if it is ours, else as no credentials") {
    connect_options options = server().over_tcp("ann", "first");
    options.ask_credentials = [](int) -> asio::awaitable<credentials> {
        throw std::runtime_error("the vault is sealed");
        co_return credentials();
    };
    const auto failure = test::error_of(who_am_i(options));
    CHECK(failure.code() == errc::authentication_failed);
    CHECK(failure.outcome() == bitdotio::outcome::not_sent);
    CHECK(std::string(failure.what()).find("the vault is sealed") != std::string::npos);

    options.ask_credentials = [](int) -> asio::awaitable<credentials> {
        throw bitdotio::error(errc::permission_denied, "not for you");
        co_return credentials();
    };
    const auto ours = test::error_of(who_am_i(options));
    CHECK(ours.code() == errc::permission_denied);

    int asked = 0;
    options.ask_credentials = [&asked](int) -> asio::awaitable<credentials> {
        if (++asked < 3) {  // the vault cannot be reached at first
            throw bitdotio::error(errc::timeout, "no answer");
        }
        co_return credentials("first");
    };
    CHECK(test::run(who_am_i(options)) == "ann");
    CHECK(asked == 3);
}

TEST_CASE("a callback that never answers costs connect_timeout, not more") {
    connect_options options = server().over_tcp("ann", "first");
    options.connect_timeout = 200ms;
    options.ask_credentials = [](int) -> asio::awaitable<credentials> {
        asio::steady_timer forever(co_await asio::this_coro::executor,
                                   asio::steady_timer::time_point::max());
        co_await forever.async_wait(asio::use_awaitable);
        co_return credentials("first");
    };
    const auto begin = std::chrono::steady_clock::now();
    const auto failure = test::error_of(who_am_i(options));
    CHECK(std::chrono::steady_clock::now() - begin < 3s);
    CHECK(failure.code() == errc::authentication_failed);
    CHECK(std::string(failure.what()).find("connect_timeout") != std::string::npos);
}

}  // namespace
