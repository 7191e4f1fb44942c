// bit and what is around it: its outputs, its home, variables, libraries, a slow service, others
// like it.
#include "support/bit_program.hpp"
#include "support/child.hpp"
#include "support/run_alone.hpp"
#include "support/test_server.hpp"
#include "support/text.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/json.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

namespace {

namespace fs = std::filesystem;
namespace json = boost::json;
using test::mentions;

test::ending alone(std::vector<std::string> words,
                   std::map<std::string, std::string> environment = {}) {
    return test::run_alone(BIT_PROGRAM, std::move(words), std::move(environment));
}

}  // namespace

TEST_CASE("a variable with a wrong value is named as such") {
    const std::vector<std::string> query = {"query", "-d", "a/b", "-q", "SELECT 1"};
    for (const auto& [name, value] : {std::pair("BITIO_QUERY_TIMEOUT", "soon"),
                                      {"BITIO_QUERY_FORMAT", "xml"},
                                      {"BITIO_QUERY_OBJECTS", "perhaps"},
                                      {"BITIO_PG_PORT", "http"}}) {
        const auto ended = alone(query, {{"BITIO_KEY", "v2_any"}, {name, value}});
        CHECK(ended.status == 2);
        CHECK_MESSAGE(mentions(ended.err, name), ended.err);
    }
}

TEST_CASE("closed and full outputs are failures, and closed ones take no socket's place") {
    const test::profiled_server running(BIT_PROGRAM);
    const auto shell = [&](const std::string& line) {
        auto variables = running.environment();
        variables["bit"] = BIT_PROGRAM;
        return test::run_program({"sh", "-c", line}, variables);
    };
    for (const std::string end : {">&-", "<&- >&-", ">&- 2>&-", ">/dev/full"}) {
        CAPTURE(end);
        for (const std::string words : {"db list", "help", "--version", "profile list"}) {
            CAPTURE(words);
            const auto ended = shell("\"$bit\" " + words + " " + end);
            CHECK(ended.status == 3);
            CHECK_MESSAGE((mentions(ended.err, "cannot write the answer") || mentions(end, "2>&-")),
                          ended.err);
        }
    }
    CHECK(shell("\"$bit\" db list <&- 2>&-").status == 0);
}

TEST_CASE("without a home nothing is read from or written to the current directory") {
    const test::temporary_directory directory;
    std::ofstream(directory / "settings.json") << R"({"profile":"trap"})";
    const auto there = [&](const std::string& words, const std::string& home) {
        return test::run_program(
            {"sh", "-c",
             "unset HOME XDG_CONFIG_HOME; " + home + " cd '" + directory.path().string() +
                 "' && exec '" + BIT_PROGRAM + "' " + words},
            {});
    };
    const auto listed = there("db list", "");
    CHECK(listed.status == 2);
    CHECK_MESSAGE(mentions(listed.err, "no API key"), listed.err);
    CHECK_FALSE(mentions(listed.err, "trap"));
    const auto used = there("profile use a/b", "");
    CHECK(used.status == 2);
    CHECK_MESSAGE(mentions(used.err, "set HOME"), used.err);
    CHECK(there("--version", "").status == 0);
    const auto unwritable = there("profile use a/b", "export HOME=/proc/self;");
    CHECK(unwritable.status == 3);
    CHECK_MESSAGE(mentions(unwritable.err, "cannot write /proc/self/"), unwritable.err);
}

TEST_CASE("bit loads less than twice what psql loads") {
    // Time is the machine's; what the loader has to do for it is the program's.
    const auto loaded = [](const std::string& program) {
        const auto listed = test::run_program({"ldd", program}, {});
        REQUIRE_MESSAGE(listed.status == 0, listed.err);
        std::size_t count = 0;
        std::istringstream lines(listed.out);
        for (std::string line; std::getline(lines, line);)
            count += mentions(line, "san.so") ? 0U : 1U;
        return count;
    };
    const auto where = test::run_program({"sh", "-c", "ls /usr/lib/postgresql/*/bin/psql"}, {});
    const std::string psql = where.out.substr(0, where.out.find('\n'));
    CHECK_MESSAGE(loaded(BIT_PROGRAM) < 2 * loaded(psql),
                  (std::to_string(loaded(BIT_PROGRAM)) + " " + std::to_string(loaded(psql))));
}

TEST_CASE("options come from the environment under click's names, and a database by default") {
    test::profiled_server running(BIT_PROGRAM);
    const std::string name = running.server.create_database("mine").full();
    const auto with = [&](std::vector<std::string> words,
                          std::map<std::string, std::string> environment) {
        words.insert(words.begin(), BIT_PROGRAM);
        environment.merge(running.environment());
        return test::run_program(words, environment);
    };
    CHECK(
        mentions(with({"query", "-q", "SELECT 5"}, {{"BITIO_QUERY_DATABASE", name}}).out, "[[5]]"));
    CHECK(
        mentions(with({"query"}, {{"BITIO_DATABASE", name}, {"BITIO_QUERY_QUERY", "SELECT 6"}}).out,
                 "[[6]]"));
    CHECK(mentions(with({"query", "-q", "SELECT 7 AS n"},
                        {{"BITIO_DATABASE", name}, {"BITIO_QUERY_OBJECTS", "yes"}})
                       .out,
                   R"([{"n":7}])"));
    CHECK(with({"query", "-q", "SELECT 7"},
               {{"BITIO_DATABASE", name}, {"BITIO_QUERY_OBJECTS", "perhaps"}})
              .status == 2);
    for (const std::string no : {"off", "f", "0"}) {
        const auto made = with({"db", "create", "-n", "made-" + no, "-p", no}, {});
        CHECK_MESSAGE(mentions(made.out, "\"is_private\":false"), made.err);
    }
    // A variable that people set to a version is no wish to see it.
    CHECK(mentions(with({"db", "list"}, {{"BITIO_VERSION", "1.2"}}).out, "\"databases\""));
    // What is deleted is always named.
    CHECK(with({"db", "delete"}, {{"BITIO_DATABASE", name}}).status == 2);
    CHECK(running.bit({"profile", "use", name}).status == 0);
    CHECK(mentions(running.bit({"query", "-q", "SELECT 8"}).out, "[[8]]"));
    // A key in a file, which is for its owner alone.
    const fs::path file = running.directory.path() / "key";
    std::ofstream(file) << running.server.key().reveal() << "\n";
    CHECK(running.bit({"--key-file", file.string(), "db", "list"}).status == 2);
    fs::permissions(file, fs::perms::owner_read);
    const auto listed = running.bit({"--key-file", file.string(), "db", "list"});
    CHECK_MESSAGE(listed.status == 0, listed.err);
    CHECK(listed.err.empty());
    const auto warned = running.bit({"-k", running.server.key().reveal(), "db", "list"});
    CHECK(warned.status == 0);
    CHECK(mentions(warned.err, "history of your shell"));
}

TEST_CASE("a service that hangs is given up when --timeout says so") {
    boost::asio::io_context io;
    const boost::asio::ip::tcp::acceptor silent(io,
                                                {boost::asio::ip::make_address("127.0.0.1"), 0});
    const std::map<std::string, std::string> place = {
        {"BITIO_KEY", "v2_any"},
        {"BITIO_API_URL", "https://127.0.0.1:" + std::to_string(silent.local_endpoint().port())}};
    const auto late = alone({"query", "-d", "a/b", "-q", "SELECT 1", "--timeout", "300ms"}, place);
    CHECK(late.status == 3);
    CHECK_MESSAGE(mentions(late.err, "took longer than 300 ms"), late.err);

    auto endpoint = place;
    endpoint["BITIO_PG_HOST"] = "127.0.0.1";
    endpoint["BITIO_PG_PORT"] = std::to_string(silent.local_endpoint().port());
    const auto begin = std::chrono::steady_clock::now();
    const auto given_up = alone({"ping", "a/b", "--timeout", "300ms"}, endpoint);
    CHECK(given_up.status == 3);
    CHECK(std::chrono::steady_clock::now() - begin < std::chrono::seconds(8));
}

TEST_CASE("ping wakes a database and tells how long that took") {
    test::profiled_server running(BIT_PROGRAM);
    const auto name = running.server.create_database("sleepy");
    running.server.sleep(name);
    const auto woken = running.bit({"ping", name.full(), "--verbose"});
    CHECK_MESSAGE(woken.status == 0, woken.err);
    const json::value told = json::parse(woken.out);
    CHECK(json::value_to<std::string>(told.at("database")) == name.full());
    CHECK(told.at("connect_microseconds").to_number<std::int64_t>() > 0);
    CHECK_FALSE(running.server.is_asleep(name));
    const json::value status = json::parse(running.bit({"status"}).out);
    CHECK(status.at("reachable") == true);
    CHECK(status.at("user") == "local");
    CHECK_FALSE(mentions(running.bit({"status"}).out, running.server.key().reveal()));
}

TEST_CASE("a second server leaves the first one's profile alone, and both are listed") {
    const test::temporary_directory directory;
    const auto environment = test::profile_in(directory.path());
    test::child first = test::start_serve(BIT_PROGRAM, {"--temporary"}, directory.path());
    first.read_until("ready");
    const std::string kept = test::contents(directory.path() / "profile.json");
    test::child second = test::start_serve(
        BIT_PROGRAM, {"--data-dir", (directory.path() / "shop").string()}, directory.path());
    second.read_until("ready");
    CHECK(test::contents(directory.path() / "profile.json") == kept);
    CHECK(fs::exists(directory.path() / "profiles" / "shop.json"));
    const auto bit = [&](std::vector<std::string> words) {
        words.insert(words.begin(), BIT_PROGRAM);
        return test::run_program(std::move(words), environment);
    };
    const auto third = bit({"serve", "--temporary", "--name", "shop"});
    CHECK(third.status == 2);
    CHECK_MESSAGE(mentions(third.err, "the profile \"shop\" is that of the server"), third.err);
    const json::value listed = json::parse(bit({"profile", "list"}).out);
    REQUIRE(listed.at("profiles").as_array().size() == 2);
    for (const json::value& each : listed.at("profiles").as_array()) {
        CHECK(each.at("alive") == true);
    }
    CHECK(bit({"--profile", "shop", "db", "create", "-n", "in-shop"}).status == 0);
    CHECK_FALSE(mentions(bit({"db", "list"}).out, "in-shop"));
    CHECK(mentions(bit({"--profile", "shop", "db", "list"}).out, "in-shop"));
    for (test::child* const server : {&first, &second}) {
        server->send(SIGTERM);
        CHECK(server->wait().status == 0);
    }
}
