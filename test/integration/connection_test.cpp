// The connection against the real server, over TLS: statements, errors, deadlines, death.
#include "support/database.hpp"
#include "support/descriptors.hpp"

#include "postgres/cancel_queue.hpp"
#include "postgres/conninfo.hpp"
#include "postgres/postgres_session.hpp"

#include <bitdotio/connection.hpp>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>

#include <doctest/doctest.h>

#include <dlfcn.h>
#include <netdb.h>
#include <unistd.h>
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <iterator>
#include <mutex>
#include <thread>
#include <vector>

namespace {

// The threads that have looked up the addresses of a name.
std::mutex askers_mutex;
std::vector<std::thread::id> askers;

void forget_askers() {
    const std::lock_guard lock(askers_mutex);
    askers.clear();
}

auto askers_here() {
    const std::lock_guard lock(askers_mutex);
    return std::count(askers.begin(), askers.end(), std::this_thread::get_id());
}

auto askers_elsewhere() {
    const auto here = askers_here();
    const std::lock_guard lock(askers_mutex);
    return std::ssize(askers) - here;
}

}  // namespace

// Replaces the C library's function, for libpq too. Numeric hosts are not names and need no lookup.
extern "C" __attribute__((visibility("default"))) int getaddrinfo(const char* name,
                                                                  const char* service,
                                                                  const addrinfo* hints,
                                                                  addrinfo** found) {
    using function = int(const char*, const char*, const addrinfo*, addrinfo**);
    static const auto next = reinterpret_cast<function*>(dlsym(RTLD_NEXT, "getaddrinfo"));
    if (name && !(hints && (hints->ai_flags & AI_NUMERICHOST))) {
        const std::lock_guard lock(askers_mutex);
        askers.push_back(std::this_thread::get_id());
    }
    return next(name, service, hints, found);
}

namespace {

namespace asio = boost::asio;
using namespace std::chrono_literals;
using bitdotio::connect_options;
using bitdotio::connection;
using bitdotio::errc;
using bitdotio::outcome;
using bitdotio::statement;
using tcp = asio::ip::tcp;

// Shared by the cases that leave it as it was.
test::database& shared() {
    static test::database instance;
    return instance;
}

// A port on which nothing listens: bound, so that no other process takes it.
struct closed_port {
    closed_port() : socket(io, tcp::endpoint(asio::ip::address_v4::loopback(), 0)) {}
    std::uint16_t number() const { return socket.local_endpoint().port(); }
    asio::io_context io;
    tcp::socket socket;
};

// Accepts and never answers.
struct silent_port {
    silent_port() : acceptor(io, tcp::endpoint(asio::ip::address_v4::loopback(), 0)) {}
    std::uint16_t number() const { return acceptor.local_endpoint().port(); }
    asio::io_context io;
    tcp::acceptor acceptor;
};

// libpq's own parameters for the shared database, with two ports to try.
bitdotio::libpq_parameters parameters(const connect_options& options, std::string host,
                                      std::string hostaddr, std::string ports) {
    return {{"host", std::move(host)},       {"hostaddr", std::move(hostaddr)},
            {"port", std::move(ports)},      {"dbname", options.database},
            {"user", options.user},          {"password", options.password},
            {"gssencmode", "disable"},       {"sslmode", "verify-full"},
            {"sslrootcert", options.ca_file}};
}

asio::awaitable<void> open_session(connect_options options, bitdotio::libpq_parameters given) {
    const auto executor = co_await asio::this_coro::executor;
    const auto session = std::make_shared<bitdotio::postgres_session>(
        executor, options, std::make_shared<bitdotio::cancel_queue>(executor));
    co_await session->open(std::move(given), bitdotio::deadline_after(10s));
    const auto answer = co_await session->run(statement("SELECT 41 + 1"), bitdotio::params());
    CHECK(answer.one<int>() == 42);
    session->close();
}

asio::awaitable<int> select_one(connect_options options) {
    connection c = co_await connection::open(options);
    const auto answer = co_await c.query("SELECT 1");
    co_return answer.one<int>();
}

TEST_CASE("a connection opens over verified TLS, by address and by name") {
    CHECK(test::run(select_one(shared().connect)) == 1);
    connect_options by_name = shared().connect;
    by_name.hosts.front().host = "localhost";
    CHECK(test::run(select_one(by_name)) == 1);
}

TEST_CASE("names are resolved on another thread, and libpq is given addresses") {
    connect_options by_name = shared().connect;
    by_name.hosts.front().host = "localhost";
    forget_askers();
    CHECK(test::run(select_one(by_name)) == 1);
    CHECK(askers_here() == 0);
    CHECK(askers_elsewhere() > 0);

    forget_askers();
    const std::string port = std::to_string(by_name.hosts[0].port);
    test::run(open_session(by_name, parameters(by_name, "localhost", "", port)));
    CHECK(askers_here() > 0);  // libpq's own lookup, when nothing prevents it
}

TEST_CASE("a refused first host of two leads to the second, in our walk and in libpq's") {
    closed_port closed;
    connect_options two = shared().connect;
    two.hosts.insert(two.hosts.begin(), {"127.0.0.1", closed.number()});
    CHECK(test::run(select_one(two)) == 1);
    const std::string ports =
        std::to_string(closed.number()) + "," + std::to_string(shared().connect.hosts[0].port);
    test::run(
        open_session(two, parameters(two, "127.0.0.1,127.0.0.1", "127.0.0.1,127.0.0.1", ports)));
}

TEST_CASE("a server that accepts and never answers fails at the connect timeout") {
    silent_port silent;
    connect_options options = shared().connect;
    options.hosts = {{"127.0.0.1", silent.number()}};
    options.connect_timeout = 200ms;
    options.wake_timeout = 0ms;
    const auto failure = test::error_of(select_one(options));
    CHECK(failure.code() == errc::database_asleep);
    CHECK(failure.outcome() == outcome::not_sent);
    CHECK(failure.phase() == bitdotio::phase::connecting);
}

TEST_CASE("a parameter libpq refuses is bad input, seen before anything is waited for") {
    auto given = parameters(shared().connect, "127.0.0.1", "not-an-address", "1");
    CHECK(test::error_of(open_session(shared().connect, given)).code() == errc::bad_input);
    CHECK(test::error_of(select_one(connect_options())).code() == errc::bad_input);
}

TEST_CASE("TLS without asking for it first is spoken where libpq can, and refused where not") {
    connect_options options = shared().connect;
    options.extra_parameters = {{"sslnegotiation", "direct"}};
    if (bitdotio::is_libpq_keyword("sslnegotiation")) {  // from libpq 17 on
        CHECK(test::run(select_one(options)) == 1);
    } else {
        const bitdotio::error refusal = test::error_of(select_one(options));
        CHECK(refusal.code() == errc::bad_input);
        CHECK(std::string(refusal.what()).find("\"sslnegotiation\"") != std::string::npos);
    }
}

TEST_CASE("a wrong password, an unknown database and a wrong authority fail at once") {
    connect_options wrong = shared().connect;
    wrong.password = "v2_wrong";
    const auto refused = test::error_of(select_one(wrong));
    CHECK(refused.code() == errc::authentication_failed);
    CHECK(refused.sqlstate() == "28P01");
    CHECK(std::string(refused.what()).find("v2_wrong") == std::string::npos);

    connect_options unknown = shared().connect;
    unknown.database = "local/nowhere";
    const auto missing = test::error_of(select_one(unknown));
    CHECK(missing.code() == errc::not_found);
    CHECK(missing.sqlstate() == "3D000");

    connect_options untrusted = shared().connect;
    untrusted.ca_file.clear();  // the system's authorities did not sign it
    CHECK(test::error_of(select_one(untrusted)).code() == errc::tls_failed);

    const std::string port = std::to_string(shared().connect.hosts[0].port);
    auto other_name = parameters(shared().connect, "other.example", "127.0.0.1", port);
    CHECK(test::error_of(open_session(shared().connect, other_name)).code() == errc::tls_failed);
}

TEST_CASE("opening and closing leaves no descriptor behind") {
    closed_port closed;
    connect_options refused = shared().connect;
    refused.hosts = {{"127.0.0.1", closed.number()}};
    refused.wake_timeout = 0ms;
    // The server, which is in this process, keeps one more session ready from the second one on.
    for (int i = 0; i < 3; ++i) {
        test::run(select_one(shared().connect));
    }
    const auto before = test::settled_descriptors();
    for (int i = 0; i < 20; ++i) {
        test::run(select_one(shared().connect));
        CHECK(test::error_of(select_one(refused)).code() == errc::database_asleep);
    }
    CHECK(test::descriptors_fall_to(before));
}

}  // namespace
