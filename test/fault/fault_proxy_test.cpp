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
struct road {
    explicit road(asio::any_io_executor executor)
        : through(fault_proxy::start(executor, server().port())), client(executor) {}

    asio::awaitable<void> begin() {
        co_await client.connect(through->port());
        co_await client.send(greeting());
        co_await client.receive_until('Z');
    }

    std::shared_ptr<fault_proxy> through;
    wire_client client;
};

using step = asio::awaitable<void> (*)(road&);

asio::awaitable<void> on_a_road(step work) {
    road way(co_await asio::this_coro::executor);
    co_await way.begin();
    co_await work(way);
}

std::string query(const std::string& sql) {
    return test::message('Q', sql + '\0');
}

TEST_CASE("a proxy counts messages, bytes and sessions, and hands all on") {
    const auto work = [](road& way) -> asio::awaitable<void> {
        CHECK(way.through->seen(side::frontend, test::startup_message) == 1);
        CHECK(way.through->seen(side::backend, 'Z') == 1);
        const std::size_t before_it = way.through->bytes(side::frontend);
        const std::string answer = co_await way.client.query("SELECT repeat('x', 100000)");
        CHECK(answer.size() == 100'000);
        CHECK(way.through->bytes(side::frontend) ==
              before_it + query("SELECT repeat('x', 100000)").size());
        CHECK(way.through->bytes(side::backend) > 100'000);
        CHECK(way.through->seen(side::backend, 'D') == 1);
        CHECK(way.through->sessions() == 1);
        way.client.close();
        co_await way.through->until_empty();
        CHECK(way.through->sessions() == 0);
        CHECK(way.through->most_sessions() == 1);
    };
    test::run(on_a_road(work));
}

TEST_CASE("a cut before a message keeps it back, one behind it lets it pass, both end in order") {
    const auto work = [](road& way) -> asio::awaitable<void> {
        way.through->set(after(side::backend, 'C').cut());
        co_await way.client.send(query("SELECT 1"));
        co_await way.client.receive_until('C');
        CHECK((co_await way.client.end()) == asio::error::eof);

        road second(co_await asio::this_coro::executor);
        co_await second.begin();
        second.through->set(before(side::backend, 'C', 2).cut());
        co_await second.client.send(query("SELECT 1"));
        co_await second.client.receive_until('Z');
        co_await second.client.send(query("SELECT 1"));
        co_await second.client.receive_until('D');
        CHECK((co_await second.client.end()) == asio::error::eof);
    };
    test::run(on_a_road(work));
}

TEST_CASE("a reset is no orderly end, and takes the server's side too") {
    const auto work = [](road& way) -> asio::awaitable<void> {
        way.through->set(before(side::frontend, 'Q').reset());
        co_await way.client.send(query("SELECT 1"));
        CHECK((co_await way.client.end()) == asio::error::connection_reset);
        co_await way.through->until_empty();
        CHECK(way.through->seen(side::backend, 'C') == 0);
        CHECK(way.through->fired() == 1);
    };
    test::run(on_a_road(work));
}

TEST_CASE("after so many bytes means within a message too") {
    const auto work = [](road& way) -> asio::awaitable<void> {
        way.through->set(test::after_bytes(side::backend, 7).cut());
        co_await way.client.send(query("SELECT 1"));
        for (int i = 0; i < 7; ++i) {
            co_await way.client.receive_byte();
        }
        CHECK((co_await way.client.end()) == asio::error::eof);
    };
    test::run(on_a_road(work));
}

TEST_CASE("half a close is heard by one side only") {
    const auto work = [](road& way) -> asio::awaitable<void> {
        way.through->set(before(side::backend, 'T').half_close());
        co_await way.client.send(query("SELECT 1"));
        CHECK((co_await way.client.end()) == asio::error::eof);
        co_await way.client.send(query("SELECT 2"));
        co_await way.through->until_seen(side::backend, 'Z', 3);
    };
    test::run(on_a_road(work));
}

TEST_CASE("what is held arrives when the proxy heals") {
    const auto work = [](road& way) -> asio::awaitable<void> {
        way.through->set(before(side::frontend, 'Q').hold_both());
        co_await way.client.send(query("SELECT 1"));
        co_await way.through->until_fired();
        CHECK(way.through->seen(side::backend, 'C') == 0);
        way.through->heal();
        co_await way.client.receive_until('Z');
        CHECK(way.through->seen(side::backend, 'C') == 1);
    };
    test::run(on_a_road(work));
}

TEST_CASE("what is held of a client that ends arrives, of one that resets it does not") {
    const auto work = [](road& way) -> asio::awaitable<void> {
        way.through->hold_both();
        co_await way.client.send(query("CREATE TABLE came_late ()"));
        co_await way.through->until_seen(side::frontend, 'Q');
        way.client.close();
        way.through->heal();
        co_await way.through->until_seen(side::backend, 'C');

        road second(co_await asio::this_coro::executor);
        co_await second.begin();
        second.through->hold_both();
        co_await second.client.send(query("DROP TABLE came_late"));
        co_await second.through->until_seen(side::frontend, 'Q');
        second.client.reset();
        second.through->heal();
        co_await second.through->until_empty();
        CHECK(second.through->seen(side::backend, 'C') == 0);
    };
    test::run(on_a_road(work));
}

TEST_CASE("a dripping, a slicing or a delaying proxy takes its time and loses nothing") {
    const auto work = [](road& way) -> asio::awaitable<void> {
        const auto begin = std::chrono::steady_clock::now();
        const auto passed = [&] { return std::chrono::steady_clock::now() - begin; };
        way.through->set(before(side::backend, any_message).drip(1ms));
        CHECK((co_await way.client.query("SELECT 7")) == "7");
        CHECK(passed() > 40ms);
        way.through->heal();
        const auto dripped = passed();
        way.through->set(before(side::backend, 'C').delay(100ms));
        CHECK((co_await way.client.query("SELECT 8")) == "8");
        CHECK(passed() - dripped >= 100ms);
        const auto delayed = passed();
        way.through->set(before(side::backend, any_message).slice(20ms));
        CHECK((co_await way.client.query("SELECT 9")) == "9");
        CHECK(passed() - delayed >= 60ms);
    };
    test::run(on_a_road(work));
}

TEST_CASE("a proxy that hangs up, is silent or refuses lets nobody in until it is opened") {
    const auto work = [](road& way) -> asio::awaitable<void> {
        way.through->set(test::admission::hang_up);
        road second(co_await asio::this_coro::executor);
        co_await second.client.connect(way.through->port());
        CHECK((co_await second.client.end()) == asio::error::eof);

        way.through->set(test::admission::refuse);
        boost::system::error_code refused;
        wire_client third(co_await asio::this_coro::executor);
        try {
            co_await third.connect(way.through->port());
        } catch (const boost::system::system_error& failure) {
            refused = failure.code();
        }
        CHECK(refused == asio::error::connection_refused);
        CHECK((co_await way.client.query("SELECT 1")) == "1");  // an open session is not affected

        way.through->set(test::admission::silent);
        wire_client fourth(co_await asio::this_coro::executor);
        co_await fourth.connect(way.through->port());
        co_await fourth.send(greeting());
        co_await way.through->until_seen(side::frontend, test::startup_message, 2);
        CHECK(way.through->seen(side::backend, 'Z') == 2);
        way.through->heal();
        co_await fourth.receive_until('Z');
    };
    test::run(on_a_road(work));
}

TEST_CASE("a proxy can speak for the server") {
    const auto work = [](road& way) -> asio::awaitable<void> {
        way.through->say(test::message('A', test::number(1) + "channel" + '\0' + "word" + '\0'));
        const test::reply heard = co_await way.client.receive();
        CHECK(heard.type == 'A');
        CHECK(heard.body.find("word") != std::string::npos);
    };
    test::run(on_a_road(work));
}

}  // namespace
