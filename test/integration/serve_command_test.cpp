// `bit serve`, run as people run it: until a signal, with its profile and its data directory.
#include "support/bit_program.hpp"
#include "support/child.hpp"
#include "support/text.hpp"

#include <doctest/doctest.h>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/json.hpp>

#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

namespace {

namespace fs = std::filesystem;
namespace json = boost::json;
using test::contents;
using test::mentions;

test::child serve(std::vector<std::string> words, const fs::path& directory) {
    return test::start_serve(BIT_PROGRAM, std::move(words), directory);
}

}  // namespace

TEST_CASE("serve says how to use it, its profile leads bit there, and a signal ends it cleanly") {
    for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
        CAPTURE(signal);
        const test::temporary_directory directory;
        const fs::path profile = directory.path() / "profile.json";
        const auto environment = test::profile_in(directory.path());
        test::child server = serve({"--temporary"}, directory.path());
        const std::string said = server.read_until("ready");

        REQUIRE(fs::exists(profile));
        CHECK((fs::status(profile).permissions() & fs::perms::all) ==
              (fs::perms::owner_read | fs::perms::owner_write));
        const std::string key =
            json::value_to<std::string>(json::parse(contents(profile)).at("key"));
        CHECK(!mentions(said, key));
        CHECK(mentions(said, "https://127.0.0.1:"));
        CHECK(mentions(said, profile.string()));

        const auto created =
            test::run_program({BIT_PROGRAM, "db", "create", "-n", "my-db"}, environment);
        CHECK_MESSAGE(created.status == 0, created.err);
        // A PostgreSQL is running when the signal comes.
        const auto asked = test::run_program(
            {BIT_PROGRAM, "query", "-d", "local/my-db", "-q", "SELECT 1"}, environment);
        CHECK_MESSAGE(asked.status == 0, asked.err);

        server.send(signal);
        const auto ended = server.wait();
        CHECK_MESSAGE(ended.status == 0, ended.err);
        CHECK_MESSAGE(ended.err.empty(), ended.err);
        CHECK(fs::is_empty(directory.path()));
        CHECK(!test::has_processes(directory.path()));
    }
}

TEST_CASE("a signal while serve starts ends it cleanly too") {
    const test::temporary_directory directory;
    test::child server = serve({"--temporary"}, directory.path());
    // Its working directory appears while it makes its template, before it is ready.
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (fs::is_empty(directory.path()) && std::chrono::steady_clock::now() < deadline) {
        std::this_thread::yield();
    }
    server.send(SIGTERM);
    const auto ended = server.wait();
    CHECK_MESSAGE(ended.status == 0, ended.err);
    CHECK(!mentions(ended.out, "ready"));
    CHECK(fs::is_empty(directory.path()));
    CHECK(!test::has_processes(directory.path()));
}

TEST_CASE("the psql line that serve prints works as it stands") {
    const test::temporary_directory directory;
    test::child server = serve({"--temporary"}, directory.path());
    const std::string said = server.read_until("ready");
    const auto created = test::run_program({BIT_PROGRAM, "db", "create", "-n", "my-db"},
                                           test::profile_in(directory.path()));
    CHECK_MESSAGE(created.status == 0, created.err);

    const std::size_t begin = said.find("PGPASSWORD=");
    REQUIRE(begin != std::string::npos);
    const std::string line = said.substr(begin, said.find('\n', begin) - begin);
    const auto asked = test::run_program({"sh", "-c", line + " -Atc 'SELECT 40 + 2'"}, {});
    CHECK_MESSAGE(asked.out == "42\n", asked.err);
    server.send(SIGTERM);
    CHECK(server.wait().status == 0);
}

TEST_CASE("what serve keeps in its data directory is there the next time, the key included") {
    const test::temporary_directory directory;
    const fs::path profile = directory.path() / "profile.json";
    const auto environment = test::profile_in(directory.path());
    std::string key;
    for (const bool first : {true, false}) {
        test::child server =
            serve({"--data-dir", (directory.path() / "data").string()}, directory.path());
        server.read_until("ready");
        const std::string now =
            json::value_to<std::string>(json::parse(contents(profile)).at("key"));
        if (first) {
            key = now;
            CHECK(test::run_program({BIT_PROGRAM, "db", "create", "-n", "kept"}, environment)
                      .status == 0);
            CHECK(test::run_program({BIT_PROGRAM, "query", "-d", "local/kept", "-q",
                                     "CREATE TABLE t AS SELECT 7 AS x"},
                                    environment)
                      .status == 0);
        } else {
            CHECK(now == key);
            const auto asked = test::run_program(
                {BIT_PROGRAM, "query", "-d", "local/kept", "-q", "SELECT x FROM t"}, environment);
            CHECK_MESSAGE(mentions(asked.out, "[[7]]"), asked.err);
        }
        server.send(SIGTERM);
        CHECK(server.wait().status == 0);
        CHECK(!fs::exists(profile));
    }
}

TEST_CASE("serve that cannot start ends with 3, names the cause and leaves nothing") {
    boost::asio::io_context io;
    const boost::asio::ip::tcp::acceptor holder(io,
                                                {boost::asio::ip::make_address("127.0.0.1"), 0});
    const std::string port = std::to_string(holder.local_endpoint().port());
    for (const char* option : {"--api-port", "--postgres-port"}) {
        const test::temporary_directory directory;
        const auto ended = serve({"--temporary", option, port}, directory.path()).wait();
        CAPTURE(option);
        CHECK(ended.status == 3);
        CHECK_MESSAGE(mentions(ended.err, port), ended.err);
        CHECK(!mentions(ended.out, "ready"));
        CHECK(fs::is_empty(directory.path()));
        CHECK(!test::has_processes(directory.path()));
    }
}
