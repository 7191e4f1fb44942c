// The server's own life: what it needs, what it keeps, and that nothing is left when it has ended.
#include <bitdotio/error.hpp>

#include "service/profile.hpp"
#include "support/child.hpp"
#include "support/run.hpp"
#include "support/test_server.hpp"
#include "support/text.hpp"
#include "support/wire_sessions.hpp"

#include <doctest/doctest.h>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/this_coro.hpp>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <string>

#include <sys/stat.h>

using namespace std::chrono_literals;
using bitdotio::errc;
using bitdotio::local_server_options;
using test::contents;
using test::query_once;
using test::test_server;
using test::wire_client;
namespace asio = boost::asio;
namespace fs = std::filesystem;

namespace {

std::optional<bitdotio::error> failure_of(local_server_options options) {
    try {
        test_server server(std::move(options));
    } catch (const bitdotio::error& failure) {
        return failure;
    }
    return std::nullopt;
}

}  // namespace

TEST_CASE("a port in use is named, with its address, and nothing is left running") {
    asio::io_context io;
    asio::ip::tcp::acceptor taken(io, {asio::ip::make_address("127.0.0.1"), 0});
    const std::uint16_t port = taken.local_endpoint().port();
    const test::temporary_directory place;
    for (const bool api : {true, false}) {
        local_server_options options;
        options.data_directory = place / "data";
        (api ? options.api_port : options.postgres_port) = port;
        const auto failure = failure_of(options);
        REQUIRE(failure);
        CHECK(failure->code() == errc::system_failed);
        const std::string said = failure->what();
        CAPTURE(said);
        CHECK(said.find("port " + std::to_string(port) + " of 127.0.0.1") != std::string::npos);
        CHECK_FALSE(test::has_processes(place / "data"));
    }
}

TEST_CASE("an address that is none of this machine is refused by name") {
    local_server_options options;
    options.listen = "nowhere";
    const auto failure = failure_of(options);
    REQUIRE(failure);
    CHECK(failure->code() == errc::bad_input);
    CHECK(std::string(failure->what()).find("nowhere") != std::string::npos);
}

TEST_CASE("without PostgreSQL's programs it says what is missing") {
    const test::temporary_directory place;
    local_server_options options;
    options.postgres_programs = place / "empty";
    const auto failure = failure_of(options);
    REQUIRE(failure);
    CHECK(failure->code() == errc::bad_input);
    CHECK(std::string(failure->what()) ==
          "no PostgreSQL in " + (place / "empty").string() +
              ": a directory with initdb, postgres and pg_resetwal is wanted, such as "
              "/usr/lib/postgresql/15/bin");
}

TEST_CASE("data of a PostgreSQL that is not installed asks for the package by name") {
    const test::temporary_directory place;
    local_server_options options;
    options.data_directory = place / "data";
    { test_server server(options); }
    std::ofstream(options.data_directory / "postgres" / "template" / "PG_VERSION") << "8\n";
    const auto failure = failure_of(options);
    REQUIRE(failure);
    CHECK(failure->code() == errc::system_failed);
    CHECK(std::string(failure->what())
              .starts_with("PostgreSQL 8 is not installed: install the package postgresql-8 "));
}

TEST_CASE("a data directory keeps databases, key and authority between runs") {
    const test::temporary_directory place;
    local_server_options options;
    options.data_directory = place / "data";
    std::string key;
    std::string authority;
    {
        test_server server(options);
        key = server.key().reveal();
        authority = contents(server.ca_file());
        const auto name = server.create_database("kept");
        test::run(query_once(server, name.full(), "CREATE TABLE t AS SELECT 'still here' AS word"));
    }
    CHECK_FALSE(test::has_processes(place / "data"));
    test_server server(options);
    CHECK(server.key().reveal() == key);
    CHECK(authority.find("BEGIN CERTIFICATE") != std::string::npos);
    CHECK(contents(server.ca_file()) == authority);
    CHECK(test::run(query_once(server, "local/kept", "SELECT word FROM t")) == "still here");
}

TEST_CASE("a temporary server leaves no file and no process behind") {
    test_server server;
    const auto name = server.create_database("gone");
    CHECK(test::run(query_once(server, name.full(), "SELECT 'here'")) == "here");
    const fs::path data = fs::path(server.ca_file()).parent_path().parent_path();
    CHECK(fs::exists(data));
    CHECK(test::has_processes(data));
    server.stop();
    CHECK_FALSE(fs::exists(data));
    CHECK_FALSE(test::has_processes(data));
    CHECK_FALSE(fs::exists(server.ca_file()));
}

TEST_CASE("a server destroyed without stop still ends its processes and removes its files") {
    std::string postmaster;
    {
        asio::io_context io;
        std::optional<bitdotio::local_server> server;
        const auto work = [&]() -> asio::awaitable<void> {
            server.emplace(co_await bitdotio::local_server::start(local_server_options()));
        };
        asio::co_spawn(io, work(), [](std::exception_ptr failure) {
            if (failure) std::rethrow_exception(failure);
        });
        while (!server) {
            io.run_one();
        }
        postmaster = fs::path(server->ca_file()).parent_path().parent_path().string();
        CHECK(fs::exists(postmaster));
        server.reset();
    }
    CHECK_FALSE(fs::exists(postmaster));
    CHECK_FALSE(test::has_processes(postmaster));
}

TEST_CASE("the profile is private, tells all a client needs, and goes with the server") {
    const test::temporary_directory place;
    local_server_options options;
    options.profile_file = place / "deep" / "profile.json";
    test_server server(options);
    struct stat what {};
    REQUIRE(::stat(options.profile_file.c_str(), &what) == 0);
    CHECK((what.st_mode & 0777) == 0600);
    const auto profile = bitdotio::read_profile(options.profile_file);
    REQUIRE(profile);
    CHECK(profile->api_url == server.api_url());
    CHECK(profile->postgres_host == server.postgres_host());
    CHECK(profile->postgres_port == server.postgres_port());
    CHECK(profile->ca_file == server.ca_file());
    CHECK(profile->key == server.key().reveal());
    server.stop();
    CHECK_FALSE(fs::exists(options.profile_file));
}

TEST_CASE("stopping leaves another server's profile alone") {
    const test::temporary_directory place;
    local_server_options options;
    options.profile_file = place / "profile.json";
    test_server first(options);
    test_server second(options);
    first.stop();
    CHECK(fs::exists(options.profile_file));
    second.stop();
    CHECK_FALSE(fs::exists(options.profile_file));
}

TEST_CASE("stopping ends open sessions with 57P01 and may be done twice") {
    test_server server;
    const auto name = server.create_database("busy");
    test::with_wire_client(server, name, [&](wire_client& client) -> asio::awaitable<void> {
        const auto begun = std::chrono::steady_clock::now();
        server.stop();
        CHECK(std::chrono::steady_clock::now() - begun < 8s);
        const test::reply goodbye = co_await client.receive_until('E');
        CHECK(goodbye.field('C') == "57P01");
    });
    server.stop();
    const auto again = [&]() -> asio::awaitable<void> {
        wire_client client(co_await asio::this_coro::executor);
        co_await client.connect(server.postgres_port());
    };
    CHECK_THROWS_AS(test::run(again()), boost::system::system_error);
}

TEST_CASE("two servers run side by side and know nothing of each other") {
    test_server one;
    test_server other;
    const auto name = one.create_database("mine");
    CHECK(one.postgres_port() != other.postgres_port());
    // The other server's certificate is not checked here, only how it judges our key.
    const test::reply answer =
        test::run(test::answer_to_login(other, name.full(), one.key().reveal()));
    CHECK(answer.type != 'Z');
    CHECK(answer.field('C') == "28P01");
}
