// Which server a command talks to: profiles chosen, stale and missing; what status tells; ports
// that refuse.
#include "support/bit_program.hpp"
#include "support/child.hpp"
#include "support/terminal_child.hpp"
#include "support/text.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/json.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <initializer_list>
#include <map>
#include <string>
#include <vector>

namespace {

namespace fs = std::filesystem;
namespace json = boost::json;
using test::mentions;

// A port at which nobody listens: it was free a moment ago.
std::string refusing_port() {
    boost::asio::io_context io;
    const boost::asio::ip::tcp::acceptor taken(io, {boost::asio::ip::make_address("127.0.0.1"), 0});
    return std::to_string(taken.local_endpoint().port());
}

void write_profile(const fs::path& file, const std::string& text) {
    fs::create_directories(file.parent_path());
    std::ofstream(file) << text;
    fs::permissions(file, fs::perms::owner_read | fs::perms::owner_write);
}

// A profile that a server has left behind.
std::string stale_profile() {
    const std::string port = refusing_port();
    return R"({"api_url":"https://127.0.0.1:)" + port +
           R"(","postgres_host":"127.0.0.1","postgres_port":)" + port + R"(,"key":"v2_any"})";
}

// A server whose profile has a name, beside the default one.
struct two_profiles {
    two_profiles() : shop(BIT_PROGRAM) {
        write_profile(file("shop"), test::contents(shop.directory / "profile.json"));
    }

    fs::path file(const std::string& name) const {
        return directory.path() / "bitdotio" / "profiles" / (name + ".json");
    }
    fs::path usual() const { return directory.path() / "bitdotio" / "profile.json"; }
    std::map<std::string, std::string> environment() const {
        return {{"XDG_CONFIG_HOME", directory.path().string()}};
    }
    test::ending bit(std::vector<std::string> words) const {
        words.insert(words.begin(), BIT_PROGRAM);
        return test::run_program(std::move(words), environment());
    }

    test::temporary_directory directory;
    test::profiled_server shop;
};

}  // namespace

TEST_CASE("a profile that was chosen is used though another server lives, or its failure told") {
    two_profiles here;
    write_profile(here.usual(), stale_profile());
    const auto passed_over = here.bit({"db", "create", "-n", "unchosen"});
    CHECK_MESSAGE(passed_over.status == 0, passed_over.err);
    CHECK_MESSAGE(mentions(passed_over.err, "no server answers of the profile \"default\""),
                  passed_over.err);
    CHECK_MESSAGE(mentions(passed_over.err, "using \"shop\" at https://127.0.0.1:"),
                  passed_over.err);

    CHECK(here.bit({"profile", "use", "default"}).status == 0);
    for (const std::vector<std::string>& words : std::vector<std::vector<std::string>>{
             {"db", "create", "-n", "chosen"},
             {"query", "-d", "local/unchosen", "-q", "CREATE TABLE t ()"},
             {"query", "-d", "local/unchosen", "--direct", "-q", "CREATE TABLE t ()"},
             {"db", "delete", "-d", "local/unchosen"}}) {
        const auto refused = here.bit(words);
        CHECK(refused.status == 3);
        CHECK_MESSAGE(mentions(refused.err, "the server of the profile \"default\" does not run"),
                      refused.err);
        CHECK_MESSAGE(mentions(refused.err, "(shop)"), refused.err);
    }
    const std::string listed = here.bit({"--profile", "shop", "db", "list"}).out;
    CHECK(mentions(listed, "unchosen"));
    CHECK_FALSE(mentions(listed, "/chosen"));

    // Its server has stopped in good order, and taken its profile away.
    CHECK(here.bit({"profile", "use", "shop"}).status == 0);
    CHECK(here.bit({"db", "list"}).status == 0);
    fs::rename(here.file("shop"), here.file("other"));
    const auto gone = here.bit({"db", "list"});
    CHECK(gone.status == 2);
    CHECK_MESSAGE(mentions(gone.err, "there is no profile \"shop\""), gone.err);
}

TEST_CASE("a name without a slash is a profile's, whatever lies in the directory") {
    two_profiles here;
    write_profile(here.directory.path() / "trap", stale_profile());
    const auto in_directory = [&](const std::string& words) {
        return test::run_program({"sh", "-c",
                                  "cd '" + here.directory.path().string() + "' && exec '" +
                                      std::string(BIT_PROGRAM) + "' " + words},
                                 here.environment());
    };
    const auto trapped = in_directory("--profile trap db list");
    CHECK(trapped.status == 2);
    CHECK_MESSAGE(mentions(trapped.err, "there is no profile \"trap\""), trapped.err);
    write_profile(here.directory.path() / "shop", stale_profile());
    CHECK(in_directory("--profile shop db list").status == 0);
    const auto file = in_directory("--profile ./trap db list");
    CHECK(file.status == 3);
    CHECK_MESSAGE(mentions(file.err, "refused"), file.err);
    CHECK(in_directory("--profile 'a b' db list").status == 2);
}

TEST_CASE("the profile that is used is named as such on a terminal of any width") {
    const test::temporary_directory directory;
    write_profile(directory.path() / "bitdotio" / "profile.json", stale_profile());
    for (const unsigned short columns : std::initializer_list<unsigned short>{20, 200}) {
        test::terminal_child bit({BIT_PROGRAM, "profile", "list", "--no-color"},
                                 {{"XDG_CONFIG_HOME", directory.path().string()}}, columns);
        const auto ended = bit.wait();
        CHECK(ended.status == 0);
        CHECK_MESSAGE(
            mentions(ended.out, columns == 20 ? "used     | *\n" : "\n *    | default | https"),
            ended.out);
    }
}

TEST_CASE("status tells the versions, and a refused key from a server that is not there") {
    test::profiled_server running(BIT_PROGRAM);
    const auto name = running.server.create_database("asleep");
    running.server.sleep(name);
    const json::value good = json::parse(running.bit({"status"}).out);
    CHECK(good.at("reachable") == true);
    CHECK(good.at("key_accepted") == true);
    CHECK(good.at("user") == "local");
    CHECK(good.at("server_version") == good.at("version"));
    CHECK(running.server.is_asleep(name));
    running.server.wake(name);
    CHECK(running.bit({"ping", name.full()}).status == 0);  // it is awake, and stays so for a while
    CHECK_MESSAGE(mentions(running.bit({"status"}).out, "\"postgres_version\":\"1"),
                  running.bit({"status"}).out);

    const auto refused = running.bit({"-k", "v2_stranger", "status"});
    CHECK(refused.status == 3);
    const json::value told = json::parse(refused.out);
    CHECK(told.at("reachable") == true);
    CHECK(told.at("key_accepted") == false);
    CHECK(told.at("server_version") == good.at("version"));
    CHECK_MESSAGE(mentions(refused.err, "401"), refused.err);

    auto variables = running.environment();
    test::terminal_child shown({BIT_PROGRAM, "status"}, variables, 200);
    const auto page = shown.wait();
    CHECK(page.status == 0);
    CHECK_MESSAGE(mentions(page.out, "Reachable   yes, after "), page.out);
    CHECK_MESSAGE(mentions(page.out, "Server      bit serve "), page.out);
    CHECK_MESSAGE(mentions(page.out, "PostgreSQL  "), page.out);
    variables["BITIO_DATABASE"] = "local/by-variable";
    const json::value named =
        json::parse(test::run_program({BIT_PROGRAM, "status"}, variables).out);
    CHECK(named.at("database") == "local/by-variable");
    variables.erase("BITIO_DATABASE");

    variables["BITIO_API_URL"] = "https://127.0.0.1:" + refusing_port();
    variables["BITIO_KEY"] = "v2_any";
    const auto absent = test::run_program({BIT_PROGRAM, "status"}, variables);
    CHECK(absent.status == 3);
    CHECK(json::parse(absent.out).at("reachable") == false);
    CHECK_MESSAGE(mentions(absent.err, "cannot connect"), absent.err);
}

TEST_CASE("a port that refuses is told after a second, and given up soon where nobody will come") {
    const std::string port = refusing_port();
    const std::map<std::string, std::string> place = {
        {"BITIO_KEY", "v2_any"},
        {"BITIO_API_URL", "https://127.0.0.1:" + port},
        {"BITIO_PG_HOST", "127.0.0.1"},
        {"BITIO_PG_PORT", port}};
    const std::string waiting =
        "waiting for 127.0.0.1:" + port + " to accept connections (refused), for up to 5.0 s";
    test::terminal_child on_terminal({BIT_PROGRAM, "ping", "a/b"}, place, 200);
    test::child in_pipe({BIT_PROGRAM, "copy-out", "-d", "a/b", "t", "--verbose"}, place);
    test::child silent({BIT_PROGRAM, "query", "-d", "a/b", "--direct", "-q", "SELECT 1"}, place);
    on_terminal.read_until(waiting);
    const auto shown = on_terminal.wait();
    CHECK(shown.status == 3);
    CHECK_MESSAGE(mentions(shown.out, "no server listens there"), shown.out);
    const auto told = in_pipe.wait();
    CHECK(told.status == 3);
    CHECK_MESSAGE(mentions(told.err, waiting), told.err);
    const auto quiet = silent.wait();
    CHECK(quiet.status == 3);
    CHECK_FALSE(mentions(quiet.err, "waiting for"));

    // Who says how long to wait is heard.
    test::terminal_child bound({BIT_PROGRAM, "ping", "a/b", "--timeout", "4s"}, place, 200);
    bound.read_until("for up to 4.0 s; --timeout shortens it");
    CHECK(bound.wait().status == 3);
    // Ctrl-C ends the waiting.
    test::terminal_child left({BIT_PROGRAM, "ping", "a/b", "--timeout", "60s"}, place, 200);
    left.read_until("waiting for");
    left.type("\x03");
    CHECK(left.wait().status == 130);
}
