// The commands that query a running server, and what a service manager does with a server.
#include "server/tls/tls_identity.hpp"
#include "support/bit_program.hpp"
#include "support/child.hpp"
#include "support/terminal_child.hpp"
#include "support/test_server.hpp"
#include "support/text.hpp"

#include <doctest/doctest.h>
#include <boost/json.hpp>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <string>
#include <vector>

namespace {

namespace fs = std::filesystem;
namespace json = boost::json;
using test::contents;
using test::mentions;

struct service : test::profiled_server {
    service() : profiled_server(BIT_PROGRAM) {}

    // The answer of "bit serve …", which must succeed.
    json::value serve(std::vector<std::string> words) const {
        words.insert(words.begin(), "serve");
        const auto ended = bit(std::move(words));
        REQUIRE_MESSAGE(ended.status == 0, ended.err);
        CHECK(ended.out.find('\n') == ended.out.size() - 1);
        return json::parse(ended.out);
    }
    // What "bit serve status" shows on a terminal.
    std::string shown_status(unsigned short columns, std::vector<std::string> words = {}) const {
        words.insert(words.begin(), {BIT_PROGRAM, "serve", "status", "--no-color"});
        test::terminal_child bit(std::move(words), environment(), columns);
        const auto ended = bit.wait();
        CHECK_MESSAGE(ended.status == 0, ended.out);
        return ended.out;
    }
};

std::string text_at(const json::value& object, const char* name) {
    return json::value_to<std::string>(object.at(name));
}

test::child start(std::vector<std::string> words, const fs::path& directory) {
    return test::start_serve(BIT_PROGRAM, std::move(words), directory);
}

}  // namespace

TEST_CASE("a running server is told to wake a database, to put it to sleep, and how all are") {
    service running;
    const auto name = running.server.create_database("mine");
    CHECK(text_at(running.serve({"wake", name.full()}), "state") == "awake");
    const json::value status = running.serve({"status"});
    CHECK(text_at(status.at("databases").at(0), "name") == name.full());
    CHECK(text_at(status.at("databases").at(0), "state") == "awake");
    CHECK(status.at("databases").at(0).at("wakes") == 1);
    CHECK(status.at("connections").as_array().empty());
    CHECK(status.at("jobs").as_array().empty());
    CHECK(text_at(running.serve({"sleep", name.full()}), "state") == "asleep");
    CHECK(running.server.is_asleep(name));
    const json::value repaired = running.serve({"repair", name.full()});
    CHECK(text_at(repaired, "name") == name.full());
    CHECK(repaired.at("put_right").as_array().empty());
    CHECK(text_at(running.serve({"sleep", name.full()}), "state") == "asleep");
    CHECK(running.server.is_asleep(name));

    const auto missing = running.bit({"serve", "sleep", "local/none"});
    CHECK(missing.status == 3);
    CHECK_MESSAGE(mentions(missing.err, "404"), missing.err);
}

TEST_CASE("the status of a server is lines and tables on a terminal, and JSON where it is wanted") {
    service running;
    const auto name = running.server.create_database("mine").full();
    const std::string asleep = running.shown_status(80);
    CAPTURE(asleep);
    CHECK(mentions(asleep, "Server       bit serve "));
    CHECK(mentions(asleep, "Disk         "));
    CHECK(mentions(asleep, "Databases    1\n"));
    CHECK(mentions(asleep, " database   | state  | connections | wakes | "));
    CHECK(mentions(asleep, " local/mine | asleep |           0 |     0 | "));
    CHECK(mentions(asleep, "Connections  none\n"));
    CHECK(mentions(asleep, "Jobs         none\n"));

    const fs::path file = running.directory.path() / "people.csv";
    std::ofstream(file) << "name\nann\n";
    REQUIRE(running.bit({"import", "-d", name, file.string()}).status == 0);
    const std::string awake = running.shown_status(200);
    CAPTURE(awake);
    CHECK(mentions(awake, " local/mine | awake | "));
    CHECK(mentions(awake, " | IMPORT | local/mine | DONE  | 2"));
    CHECK(mentions(running.shown_status(40), "\ndatabase        | local/mine\n"));
    CHECK(json::parse(running.shown_status(80, {"--json"})).at("jobs").as_array().size() == 1);
}

TEST_CASE("keys and service accounts are managed from the command line") {
    service running;
    const auto one = running.server.create_database("one").full();
    const auto two = running.server.create_database("two").full();

    const std::string further = text_at(running.serve({"key", "create"}), "api_key");
    const json::value listed = running.serve({"key", "list"});
    REQUIRE(listed.at("keys").as_array().size() == 2);
    const std::string id = text_at(listed.at("keys").at(1), "id");
    CHECK(further.starts_with("v2_" + id + "_"));
    CHECK_FALSE(mentions(json::serialize(listed), further));
    CHECK(running.bit({"-k", further, "db", "list"}).status == 0);
    CHECK(running.bit({"-k", further, "serve", "status"}).status == 0);
    running.serve({"key", "revoke", id});
    CHECK(running.bit({"-k", further, "db", "list"}).status == 3);
    CHECK(running.bit({"serve", "key", "revoke", id}).status == 3);

    const json::value made =
        running.serve({"account", "create", "robot", "--role", "READER", "--databases", one});
    CHECK(made.at("databases").as_array().size() == 1);
    const std::string robot =
        text_at(running.serve({"key", "create", "--account", "robot"}), "api_key");
    const auto count = [&] {
        const auto ended = running.bit({"-k", robot, "db", "list"});
        REQUIRE_MESSAGE(ended.status == 0, ended.err);
        return json::parse(ended.out).at("databases").as_array().size();
    };
    CHECK(count() == 1);
    running.serve({"account", "grant", "robot", two});
    CHECK(count() == 2);
    running.serve({"account", "revoke", "robot", one});
    CHECK(count() == 1);
    const auto denied = running.bit({"-k", robot, "serve", "status"});
    CHECK(denied.status == 3);
    CHECK_MESSAGE(mentions(denied.err, "403"), denied.err);
    CHECK(running.serve({"account", "list"}).at("service_accounts").as_array().size() == 1);
    running.serve({"account", "remove", "robot"});
    CHECK(running.bit({"-k", robot, "db", "list"}).status == 3);
}

TEST_CASE("where no server runs, that is what the error says") {
    const test::temporary_directory nowhere;
    const std::string profile = (nowhere / "profile.json").string();
    const auto absent =
        test::run_program({BIT_PROGRAM, "serve", "status", "--profile", profile}, {});
    CHECK(absent.status == 3);
    CHECK_MESSAGE(mentions(absent.err, "no server runs here"), absent.err);
    CHECK(mentions(absent.err, profile));

    // A killed server leaves its profile.
    std::string killed;
    {
        service running;
        killed = contents(running.directory / "profile.json");
        fs::copy_file(running.server.ca_file(), nowhere / "ca.pem");
        running.server.stop();
    }
    json::object there = json::parse(killed).as_object();
    there["ca_file"] = (nowhere / "ca.pem").string();
    std::ofstream(profile) << json::serialize(there);
    fs::permissions(profile, fs::perms(0600));
    const auto gone = test::run_program({BIT_PROGRAM, "serve", "status", "--profile", profile}, {});
    CHECK(gone.status == 3);
    CHECK_MESSAGE(mentions(gone.err, "no server answers at https://127.0.0.1"), gone.err);

    const auto incomplete = test::run_program({BIT_PROGRAM, "serve", "sleep"}, {});
    CHECK(incomplete.status == 2);
    CHECK_MESSAGE(mentions(incomplete.err, "needs DB"), incomplete.err);
}

TEST_CASE("serve writes its log to standard error, a line of JSON for each event") {
    const test::temporary_directory directory;
    test::child server = start({"--ephemeral", "--log", "json"}, directory.path());
    const std::string said = server.read_until("ready");
    CHECK(mentions(said, "NOT DURABLE"));
    const auto environment = test::profile_in(directory.path());
    const std::string key = text_at(json::parse(contents(directory / "profile.json")), "key");
    CHECK(test::run_program({BIT_PROGRAM, "db", "create", "-n", "logged"}, environment).status ==
          0);
    server.send(SIGTERM);
    const auto ended = server.wait();
    CHECK(ended.status == 0);
    CHECK(fs::is_empty(directory.path()));  // files that were not durable are gone
    std::vector<std::string> kinds;
    std::size_t begin = 0;
    while (begin < ended.err.size()) {
        const std::size_t end = ended.err.find('\n', begin);
        kinds.push_back(text_at(json::parse(ended.err.substr(begin, end - begin)), "event"));
        begin = end + 1;
    }
    CHECK(kinds == std::vector<std::string>{"certificate_loaded", "start", "api_request", "stop"});
    CHECK_FALSE(mentions(ended.err, key));
}

TEST_CASE("SIGHUP makes a server read its given certificate again, and goes on") {
    const test::temporary_directory directory;
    const auto first = bitdotio::open_tls_identity(directory / "tls", "127.0.0.1");
    test::child server = start({"--temporary", "--certificate", first.certificate_file.string(),
                                "--private-key", first.key_file.string(), "--certificate-authority",
                                first.ca_file.string(), "--log", "text"},
                               directory.path());
    server.read_until("ready");
    const auto environment = test::profile_in(directory.path());
    // Another authority: only a client that is shown the new certificate accepts it.
    fs::remove_all(directory / "tls");
    bitdotio::open_tls_identity(directory / "tls", "127.0.0.1");
    CHECK(test::run_program({BIT_PROGRAM, "db", "list"}, environment).status == 3);
    server.send(SIGHUP);
    test::ending asked;
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    do {
        asked = test::run_program({BIT_PROGRAM, "db", "list"}, environment);
    } while (asked.status != 0 && std::chrono::steady_clock::now() < deadline);
    CHECK_MESSAGE(asked.status == 0, asked.err);
    server.send(SIGTERM);
    const auto ended = server.wait();
    CHECK(ended.status == 0);
    CHECK(mentions(ended.err, " certificate_loaded "));
}

TEST_CASE("systemd understands the unit that comes with the package") {
    if (test::run_program({"sh", "-c", "command -v systemd-analyze"}, {}).status != 0) {
        std::cout << "1 cases need systemd-analyze, which this machine does not have\n";
        return;
    }
    const test::temporary_directory directory;
    std::string unit = contents(UNIT_FILE);
    const std::string installed = "/usr/bin/bit ";
    const std::size_t at = unit.find(installed);
    REQUIRE(at != std::string::npos);
    unit.replace(at, installed.size(), std::string(BIT_PROGRAM) + " ");
    const fs::path file = directory / "bit-serve.service";
    std::ofstream(file) << unit;
    const auto verdict =
        test::run_program({"systemd-analyze", "verify", "--man=no", file.string()}, {});
    CHECK_MESSAGE(verdict.status == 0, verdict.err);
    CHECK_MESSAGE(!mentions(verdict.err, "bit-serve.service"), verdict.err);
}
