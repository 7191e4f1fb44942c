// One HTTPS session to the real server, over a relay that can fail.
#include "support/https_use.hpp"
#include "support/relay.hpp"
#include "support/run.hpp"
#include "support/test_server.hpp"
#include "support/text.hpp"

#include "service/https_session.hpp"

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <utility>

namespace {

namespace asio = boost::asio;
using namespace bitdotio;
using namespace std::chrono_literals;
using asio::awaitable;
using asio::ip::tcp;
using test::address_of;
using test::check_failure;
using test::failure_of;
using test::in;
using test::mentions;
using test::relay_mode;

test::test_server& server() {
    static test::test_server one;
    return one;
}

https_session session_to(const asio::any_io_executor& executor, const https_address& address) {
    return https_session(executor, address, make_client_tls(server().ca_file()));
}

https_request list_request() {
    return test::list_request(server());
}

std::shared_ptr<test::relay> start_relay(const asio::any_io_executor& executor,
                                         const std::string& address = "127.0.0.1") {
    return test::relay::start(executor, server().api_port(), address);
}

// Waits for what others bring about; what never comes is ended by test::run.
template <class Condition>
awaitable<void> until(Condition& holds) {
    asio::steady_timer timer(co_await asio::this_coro::executor);
    while (!holds()) {
        timer.expires_after(1ms);
        co_await timer.async_wait(asio::use_awaitable);
    }
}

awaitable<void> several_requests_on_one_connection() {
    const auto executor = co_await asio::this_coro::executor;
    const auto between = start_relay(executor);
    https_session session = session_to(executor, address_of(between->port()));
    CHECK_FALSE(session.reusable());  // there is no connection yet
    for (int i = 0; i < 3; ++i) {
        const https_response answer = co_await session.request(list_request(), in(30s));
        CHECK(answer.status == 200);
        CHECK(mentions(answer.body, "\"databases\""));
        CHECK_FALSE(answer.retry_after);
        CHECK(session.reusable());
    }
    CHECK(between->accepted == 1);
}

TEST_CASE("requests of one session share one connection") {
    test::run(several_requests_on_one_connection());
}

awaitable<void> refusals_are_answers() {
    const auto executor = co_await asio::this_coro::executor;
    https_session session = session_to(executor, address_of(server().api_port()));
    https_request request = list_request();
    request.authorization = "Bearer v2_wrong";
    CHECK((co_await session.request(request, in(30s))).status == 401);
    CHECK(session.reusable());
    request = list_request();
    request.method = "POST";
    CHECK((co_await session.request(request, in(30s))).status == 422);
    request.body = R"({"name":"fromsession"})";
    CHECK((co_await session.request(request, in(30s))).status == 201);
    CHECK(session.reusable());
}

TEST_CASE("a refusal is an answer like any other, and the session goes on") {
    test::run(refusals_are_answers());
}

awaitable<void> refused_certificate(std::string host, std::shared_ptr<asio::ssl::context> tls,
                                    std::optional<error>& failure) {
    const auto executor = co_await asio::this_coro::executor;
    const auto between = start_relay(executor, host);
    https_session session(executor, address_of(between->port(), host), tls);
    failure = co_await failure_of(session, list_request(), in(30s));
    CHECK_FALSE(session.reusable());
    CHECK(mentions(failure->what(), host + ":" + std::to_string(between->port())));
    CHECK(mentions(failure->what(), "check the host name and the CA file"));
}

TEST_CASE("a certificate of an authority that is not trusted is refused") {
    std::optional<error> failure;
    SUBCASE("trusting those of the system") {
        test::run(refused_certificate("127.0.0.1", make_client_tls(""), failure));
    }
    SUBCASE("trusting another server's") {
        test::test_server other;
        test::run(refused_certificate("127.0.0.1", make_client_tls(other.ca_file()), failure));
    }
    REQUIRE(failure);
    check_failure(*failure, errc::tls_failed, phase::connecting, outcome::not_sent);
}

TEST_CASE("a certificate for another host is refused") {
    std::optional<error> failure;
    test::run(refused_certificate("127.0.0.2", make_client_tls(server().ca_file()), failure));
    REQUIRE(failure);
    check_failure(*failure, errc::tls_failed, phase::connecting, outcome::not_sent);
}

awaitable<void> nobody_listens() {
    const auto executor = co_await asio::this_coro::executor;
    tcp::acceptor bound(executor);  // holds a port without listening on it
    bound.open(tcp::v4());
    bound.bind(tcp::endpoint(asio::ip::address_v4::loopback(), 0));
    const std::uint16_t port = bound.local_endpoint().port();
    https_session session = session_to(executor, address_of(port));
    const error failure = co_await failure_of(session, list_request(), in(30s));
    check_failure(failure, errc::connect_failed, phase::connecting, outcome::not_sent);
    CHECK(mentions(failure.what(), "127.0.0.1:" + std::to_string(port)));
}

TEST_CASE("where nobody listens the connection fails and nothing was sent") {
    test::run(nobody_listens());
}

awaitable<void> too_slow_to_connect() {
    const auto executor = co_await asio::this_coro::executor;
    const auto between = start_relay(executor);
    between->mode = relay_mode::swallow;
    https_session session = session_to(executor, address_of(between->port()));
    const error failure = co_await failure_of(session, list_request(), in(20ms));
    check_failure(failure, errc::timeout, phase::connecting, outcome::not_sent);
    CHECK_FALSE(session.reusable());
    const auto ended = [&] { return between->ended == 1; };
    co_await until(ended);
}

TEST_CASE("a deadline ends a handshake, and nothing was sent") {
    test::run(too_slow_to_connect());
}

awaitable<void> too_late_from_the_start() {
    const auto executor = co_await asio::this_coro::executor;
    const auto between = start_relay(executor);
    between->mode = relay_mode::swallow;
    https_session session = session_to(executor, address_of(between->port()));
    const error failure = co_await failure_of(session, list_request(), in(-1s));
    check_failure(failure, errc::timeout, phase::connecting, outcome::not_sent);
}

TEST_CASE("a deadline that has passed ends a request, whatever it is about to do") {
    test::run(too_late_from_the_start(), 10s);
}

awaitable<void> too_slow_to_answer() {
    const auto executor = co_await asio::this_coro::executor;
    const auto between = start_relay(executor);
    https_session session = session_to(executor, address_of(between->port()));
    co_await session.request(list_request(), in(30s));
    between->mode = relay_mode::swallow;
    const error failure = co_await failure_of(session, list_request(), in(20ms));
    check_failure(failure, errc::timeout, phase::awaiting_reply, outcome::unknown);
    CHECK_FALSE(session.reusable());
    const auto ended = [&] { return between->swallowed > 0 && between->ended == 1; };
    co_await until(ended);
}

TEST_CASE("a deadline ends the wait for an answer, whose effect is unknown") {
    test::run(too_slow_to_answer());
}

// Passes on every kind of cancellation, which a coroutine does not do by itself.
awaitable<https_response> cancellable(https_session& session) {
    co_await asio::this_coro::reset_cancellation_state(asio::enable_total_cancellation());
    co_return co_await session.request(list_request(), no_deadline);
}

// Cancels a request once the relay has swallowed some of it.
awaitable<void> cancelled(asio::cancellation_type type, bool connected) {
    const auto executor = co_await asio::this_coro::executor;
    const auto between = start_relay(executor);
    https_session session = session_to(executor, address_of(between->port()));
    if (connected) {
        co_await session.request(list_request(), in(30s));
    }
    between->mode = relay_mode::swallow;
    asio::cancellation_signal signal;
    std::optional<error> failure;
    bool done = false;
    const auto on_end = [&](std::exception_ptr thrown, const https_response&) {
        done = true;
        try {
            if (thrown) std::rethrow_exception(thrown);
        } catch (const error& caught) {
            failure = caught;
        }
    };
    asio::co_spawn(executor, cancellable(session),
                   asio::bind_cancellation_slot(signal.slot(), on_end));
    const auto swallowed = [&] { return between->swallowed > 0; };
    co_await until(swallowed);
    signal.emit(type);
    const auto ended = [&] { return done && between->ended == 1; };
    co_await until(ended);
    REQUIRE(failure);
    check_failure(*failure, errc::cancelled, connected ? phase::awaiting_reply : phase::connecting,
                  connected ? outcome::unknown : outcome::not_sent);
    CHECK_FALSE(session.reusable());
}

TEST_CASE("a request that is cancelled ends the connection and says what is known") {
    for (const bool connected : {false, true}) {
        for (const auto type : {asio::cancellation_type::terminal, asio::cancellation_type::partial,
                                asio::cancellation_type::total}) {
            CAPTURE(connected);
            CAPTURE(static_cast<unsigned>(type));
            test::run(cancelled(type, connected), 10s);
        }
    }
}

awaitable<void> cut_off() {
    const auto executor = co_await asio::this_coro::executor;
    const auto between = start_relay(executor);
    https_session session = session_to(executor, address_of(between->port()));
    co_await session.request(list_request(), in(30s));
    between->mode = relay_mode::cut;
    const error failure = co_await failure_of(session, list_request(), in(30s));
    check_failure(failure, errc::connection_lost, phase::awaiting_reply, outcome::unknown);
    CHECK_FALSE(session.reusable());
}

TEST_CASE("a connection cut after the request was sent is a loss of unknown effect") {
    test::run(cut_off());
}

awaitable<void> hung_up_while_idle() {
    const auto executor = co_await asio::this_coro::executor;
    const auto between = start_relay(executor);
    https_session session = session_to(executor, address_of(between->port()));
    co_await session.request(list_request(), in(30s));
    CHECK(session.reusable());
    between->hang_up();
    const auto noticed = [&] { return !session.reusable(); };
    co_await until(noticed);
}

TEST_CASE("a session whose idle connection the server ended is not used again") {
    test::run(hung_up_while_idle());
}

awaitable<void> dropped_on_the_way() {
    const auto executor = co_await asio::this_coro::executor;
    const auto between = start_relay(executor);
    between->mode = relay_mode::swallow;
    bool done = false;
    asio::cancellation_signal signal;
    {
        https_session session = session_to(executor, address_of(between->port()));
        asio::co_spawn(executor, session.request(list_request(), no_deadline),
                       asio::bind_cancellation_slot(
                           signal.slot(), [&](std::exception_ptr thrown, const https_response&) {
                               CHECK(thrown);
                               done = true;
                           }));
        const auto swallowed = [&] { return between->swallowed > 0; };
        co_await until(swallowed);
    }
    CHECK_FALSE(done);
    signal.emit(asio::cancellation_type::terminal);
    const auto ended = [&] { return done; };
    co_await until(ended);
}

TEST_CASE("a request outlives the handle of its session") {
    test::run(dropped_on_the_way());
}

}  // namespace
