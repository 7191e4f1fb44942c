// The proxy itself: does what a rule says, at the message it says, and nothing else.
#include "support/fault_proxy.hpp"
#include "support/postgres.hpp"
#include "support/run.hpp"
#include "support/wire_client.hpp"

#include <boost/asio/this_coro.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <string>

namespace {

namespace asio = boost::asio;
using namespace std::chrono_literals;
using test::after;
using test::any_message;
using test::before;
using test::fault_proxy;
using test::side;
using test::wire_client;

test::private_postgres& server() {
    static test::private_postgres instance([] {
        test::private_postgres_options options;
        options.hba = "host all all 127.0.0.1/32 trust\n";
        return options;
    }());
    return instance;
}

std::string greeting() {
    return test::startup({{"user", "postgres"}, {"database", "postgres"}});
}

// A client behind a proxy, with its session begun.
struct proxied_client {
    explicit proxied_client(asio::any_io_executor executor)
        : proxy(fault_proxy::start(executor, server().port())), client(executor) {}

    asio::awaitable<void> begin() {
        co_await client.connect(proxy->port());
        co_await client.send(greeting());
        co_await client.receive_until('Z');
    }

    std::shared_ptr<fault_proxy> proxy;
    wire_client client;
};

// Runs the coroutine of a case with such a client.
template <class Work>
void with_proxied_client(Work work) {
    test::run([&]() -> asio::awaitable<void> {
        proxied_client here(co_await asio::this_coro::executor);
        co_await here.begin();
        co_await work(here);
    });
}

std::string query(const std::string& sql) {
    return test::message('Q', sql + '\0');
}

TEST_CASE("a proxy counts messages, bytes and sessions, and hands all on") {
    with_proxied_client([](proxied_client& here) -> asio::awaitable<void> {
        CHECK(here.proxy->seen(side::frontend, test::startup_message) == 1);
        CHECK(here.proxy->seen(side::backend, 'Z') == 1);
        const std::size_t before_it = here.proxy->bytes(side::frontend);
        const std::string answer = co_await here.client.query("SELECT repeat('x', 100000)");
        CHECK(answer.size() == 100'000);
        CHECK(here.proxy->bytes(side::frontend) ==
              before_it + query("SELECT repeat('x', 100000)").size());
        CHECK(here.proxy->bytes(side::backend) > 100'000);
        CHECK(here.proxy->seen(side::backend, 'D') == 1);
        CHECK(here.proxy->sessions() == 1);
        here.client.close();
        co_await here.proxy->until_empty();
        CHECK(here.proxy->sessions() == 0);
        CHECK(here.proxy->most_sessions() == 1);
    });
}

TEST_CASE("a cut before a message keeps it back, one behind it lets it pass, both end in order") {
    with_proxied_client([](proxied_client& here) -> asio::awaitable<void> {
        here.proxy->set(after(side::backend, 'C').cut());
        co_await here.client.send(query("SELECT 1"));
        co_await here.client.receive_until('C');
        CHECK((co_await here.client.end()) == asio::error::eof);

        proxied_client second(co_await asio::this_coro::executor);
        co_await second.begin();
        second.proxy->set(before(side::backend, 'C', 2).cut());
        co_await second.client.send(query("SELECT 1"));
        co_await second.client.receive_until('Z');
        co_await second.client.send(query("SELECT 1"));
        co_await second.client.receive_until('D');
        CHECK((co_await second.client.end()) == asio::error::eof);
    });
}

TEST_CASE("a reset is no orderly end, and takes the server's side too") {
    with_proxied_client([](proxied_client& here) -> asio::awaitable<void> {
        here.proxy->set(before(side::frontend, 'Q').reset());
        co_await here.client.send(query("SELECT 1"));
        CHECK((co_await here.client.end()) == asio::error::connection_reset);
        co_await here.proxy->until_empty();
        CHECK(here.proxy->seen(side::backend, 'C') == 0);
        CHECK(here.proxy->fired() == 1);
    });
}

TEST_CASE("after so many bytes means within a message too") {
    with_proxied_client([](proxied_client& here) -> asio::awaitable<void> {
        here.proxy->set(test::after_bytes(side::backend, 7).cut());
        co_await here.client.send(query("SELECT 1"));
        for (int i = 0; i < 7; ++i) {
            co_await here.client.receive_byte();
        }
        CHECK((co_await here.client.end()) == asio::error::eof);
    });
}

TEST_CASE("half a close is heard by one side only") {
    with_proxied_client([](proxied_client& here) -> asio::awaitable<void> {
        here.proxy->set(before(side::backend, 'T').half_close());
        co_await here.client.send(query("SELECT 1"));
        CHECK((co_await here.client.end()) == asio::error::eof);
        co_await here.client.send(query("SELECT 2"));
        co_await here.proxy->until_seen(side::backend, 'Z', 3);
    });
}

TEST_CASE("what is held arrives when the proxy heals") {
    with_proxied_client([](proxied_client& here) -> asio::awaitable<void> {
        here.proxy->set(before(side::frontend, 'Q').hold_both());
        co_await here.client.send(query("SELECT 1"));
        co_await here.proxy->until_fired();
        CHECK(here.proxy->seen(side::backend, 'C') == 0);
        here.proxy->heal();
        co_await here.client.receive_until('Z');
        CHECK(here.proxy->seen(side::backend, 'C') == 1);
    });
}

TEST_CASE("what is held of a client that ends arrives, of one that resets it does not") {
    with_proxied_client([](proxied_client& here) -> asio::awaitable<void> {
        here.proxy->hold_both();
        co_await here.client.send(query("CREATE TABLE came_late ()"));
        co_await here.proxy->until_seen(side::frontend, 'Q');
        here.client.close();
        here.proxy->heal();
        co_await here.proxy->until_seen(side::backend, 'C');

        proxied_client second(co_await asio::this_coro::executor);
        co_await second.begin();
        second.proxy->hold_both();
        co_await second.client.send(query("DROP TABLE came_late"));
        co_await second.proxy->until_seen(side::frontend, 'Q');
        second.client.reset();
        second.proxy->heal();
        co_await second.proxy->until_empty();
        CHECK(second.proxy->seen(side::backend, 'C') == 0);
    });
}

TEST_CASE("a dripping, a slicing or a delaying proxy takes its time and loses nothing") {
    with_proxied_client([](proxied_client& here) -> asio::awaitable<void> {
        const auto begin = std::chrono::steady_clock::now();
        const auto passed = [&] { return std::chrono::steady_clock::now() - begin; };
        here.proxy->set(before(side::backend, any_message).drip(1ms));
        CHECK((co_await here.client.query("SELECT 7")) == "7");
        CHECK(passed() > 40ms);
        here.proxy->heal();
        const auto dripped = passed();
        here.proxy->set(before(side::backend, 'C').delay(100ms));
        CHECK((co_await here.client.query("SELECT 8")) == "8");
        CHECK(passed() - dripped >= 100ms);
        const auto delayed = passed();
        here.proxy->set(before(side::backend, any_message).slice(20ms));
        CHECK((co_await here.client.query("SELECT 9")) == "9");
        CHECK(passed() - delayed >= 60ms);
    });
}

TEST_CASE("a proxy that hangs up, is silent or refuses lets nobody in until it is opened") {
    with_proxied_client([](proxied_client& here) -> asio::awaitable<void> {
        here.proxy->set(test::admission::hang_up);
        proxied_client second(co_await asio::this_coro::executor);
        co_await second.client.connect(here.proxy->port());
        CHECK((co_await second.client.end()) == asio::error::eof);

        here.proxy->set(test::admission::refuse);
        boost::system::error_code refused;
        wire_client third(co_await asio::this_coro::executor);
        try {
            co_await third.connect(here.proxy->port());
        } catch (const boost::system::system_error& failure) {
            refused = failure.code();
        }
        CHECK(refused == asio::error::connection_refused);
        CHECK((co_await here.client.query("SELECT 1")) == "1");  // an open session is not affected

        here.proxy->set(test::admission::silent);
        wire_client fourth(co_await asio::this_coro::executor);
        co_await fourth.connect(here.proxy->port());
        co_await fourth.send(greeting());
        co_await here.proxy->until_seen(side::frontend, test::startup_message, 2);
        CHECK(here.proxy->seen(side::backend, 'Z') == 2);
        here.proxy->heal();
        co_await fourth.receive_until('Z');
    });
}

TEST_CASE("a proxy can speak for the server") {
    with_proxied_client([](proxied_client& here) -> asio::awaitable<void> {
        here.proxy->say(test::message('A', test::number(1) + "channel" + '\0' + "word" + '\0'));
        const test::reply heard = co_await here.client.receive();
        CHECK(heard.type == 'A');
        CHECK(heard.body.find("word") != std::string::npos);
    });
}

}  // namespace
