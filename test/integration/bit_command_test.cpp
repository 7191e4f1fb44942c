// The bit command, run as people run it: a process with words, input, output and a status.
#include "support/bit_program.hpp"
#include "support/child.hpp"
#include "support/test_server.hpp"
#include "support/text.hpp"

#include <boost/json.hpp>

#include <doctest/doctest.h>

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

struct service : test::profiled_server {
    service() : profiled_server(BIT_PROGRAM) {}
};

// Runs bit where there is neither key nor server.
test::ending lonely_bit(std::vector<std::string> words) {
    const test::temporary_directory nowhere;
    words.insert(words.begin(), BIT_PROGRAM);
    return test::run_program(std::move(words),
                             {{"BITIO_PROFILE", (nowhere.path() / "none.json").string()}});
}

}  // namespace

TEST_CASE("help and version need neither key nor server") {
    for (const std::vector<std::string>& words :
         std::vector<std::vector<std::string>>{{"--help"},
                                               {"query", "--help"},
                                               {"db", "-h"},
                                               {"db", "create", "--help"},
                                               {"serve", "--help"}}) {
        const auto ended = lonely_bit(words);
        CAPTURE(words[0]);
        CHECK(ended.status == 0);
        CHECK(ended.out.starts_with("Usage: bit"));
        CHECK(ended.err.empty());
    }
    for (const char* word : {"-v", "--version"}) {
        const auto ended = lonely_bit({word});
        CHECK(ended.status == 0);
        CHECK(ended.out.starts_with("bit "));
    }
}

TEST_CASE("wrong usage ends with 2, says why on standard error, and prints no answer") {
    struct wrong_usage {
        std::vector<std::string> words;
        std::string reason;
    };
    const std::vector<wrong_usage> table = {
        {{}, "Usage: bit"},
        {{"querry"}, "no command \"querry\""},
        {{"db"}, "needs a command"},
        {{"query", "-q", "SELECT 1"}, "-d/--database"},
        {{"query", "-d", "a/b"}, "-q/--query"},
        {{"query", "-d", "a/b", "-q", "SELECT 1", "-qf", "-"}, "not both"},
        {{"query", "-d", "a/b", "-qf", "/nowhere/x.sql"}, "No such file"},
        {{"query", "-d", "a/b", "-qf", "/"}, "cannot read the statement"},
        {{"query", "-d", "nodatabase", "-q", "SELECT 1"}, "user/db"},
        {{"-k", "wrong", "db", "list"}, "v2_"},
        {{"db", "list"}, "BITIO_KEY"},
        {{"db", "create"}, "-n/--name"},
        {{"db", "create", "-n", "x", "-p", "perhaps"}, "true or false"},
        {{"db", "create", "-n", "x", "-s", "-1"}, "0 or more"},
        {{"db", "update", "-d", "a/b"}, "nothing to change"},
        {{"serve", "--sleep-after", "soon"}, "500ms"},
        {{"serve", "--api-port", "70000"}, "65535"},
        {{"serve", "--temporary", "--data-dir", "/tmp/x"}, "not both"},
    };
    for (const wrong_usage& one : table) {
        const auto ended = lonely_bit(one.words);
        CAPTURE(one.reason);
        CHECK(ended.status == 2);
        CHECK(ended.out.empty());
        CHECK_MESSAGE(mentions(ended.err, one.reason), ended.err);
    }
}

TEST_CASE("a key that is malformed or in the wrong place is not repeated") {
    for (const std::vector<std::string>& words :
         std::vector<std::vector<std::string>>{{"-k", "v3_secret", "db", "list"},
                                               {"-kv3_secret", "db", "list"},
                                               {"--kye=v2_secret", "db", "list"},
                                               {"v2_secret"}}) {
        const auto ended = lonely_bit(words);
        CHECK(ended.status == 2);
        CHECK_MESSAGE(!mentions(ended.err, "secret"), ended.err);
    }
}

TEST_CASE("every command prints the API's answer as one line of JSON") {
    const service running;

    const auto created = running.bit({"db", "create", "-n", "my-db", "-p", "false"});
    CAPTURE(created.err);
    REQUIRE(created.status == 0);
    CHECK(created.out.find('\n') == created.out.size() - 1);
    const json::value database = json::parse(created.out);
    const std::string name = json::value_to<std::string>(database.at("name"));
    CHECK(name == "local/my-db");
    CHECK(database.at("is_private") == false);

    const auto listed = running.bit({"db", "list"});
    CHECK(listed.status == 0);
    CHECK(json::parse(listed.out).at("databases").as_array().size() == 1);

    for (const char* word : {"info", "get"}) {
        const auto told = running.bit({"db", word, "-d", name});
        CHECK(told.status == 0);
        CHECK(json::parse(told.out).at("id") == database.at("id"));
    }

    const auto updated =
        running.bit({"db", "update", "-d", name, "-n", "new", "-p", "true", "-s", "5000000"});
    CAPTURE(updated.err);
    CHECK(updated.status == 0);
    const json::value changed = json::parse(updated.out);
    CHECK(changed.at("name") == "local/new");
    CHECK(changed.at("is_private") == true);
    CHECK(changed.at("storage_limit_bytes") == 5'000'000);

    const auto rows =
        running.bit({"query", "-d", "local/new", "-q", "SELECT 1 AS one, 'x' AS two, NULL AS no"});
    CAPTURE(rows.err);
    CHECK(rows.status == 0);
    const json::value answer = json::parse(rows.out);
    CHECK(json::serialize(answer.at("data")) == R"([[1,"x",null]])");
    CHECK(answer.at("metadata").at("one") == "integer");

    const auto objects =
        running.bit({"query", "-d", "local/new", "-q", "SELECT 1 AS one, 'x' AS two", "-o"});
    CHECK(objects.status == 0);
    CHECK(json::serialize(json::parse(objects.out).at("data")) == R"([{"one":1,"two":"x"}])");

    const auto deleted = running.bit({"db", "delete", "-d", "local/new"});
    CHECK(deleted.status == 0);
    CHECK(deleted.out == "deleted local/new\n");
    CHECK(json::parse(running.bit({"db", "list"}).out).at("databases").as_array().empty());
}

TEST_CASE("a statement is read from a file or from standard input") {
    service running;
    const std::string name = running.server.create_database("files").full();
    const fs::path file = running.directory.path() / "statement.sql";
    std::ofstream(file) << "SELECT 'from a file' AS text\n";

    const auto read = running.bit({"query", "-d", name, "-qf", file.string()});
    CAPTURE(read.err);
    CHECK(read.status == 0);
    CHECK(mentions(read.out, "[[\"from a file\"]]"));

    const auto piped =
        running.bit({"query", "-d", name, "--query_file", "-"}, "SELECT 'from a pipe' AS text");
    CHECK(piped.status == 0);
    CHECK(mentions(piped.out, "[[\"from a pipe\"]]"));
}

TEST_CASE("a failed call ends with 3 and says why on standard error") {
    service running;
    const std::string name = running.server.create_database("failing").full();

    const auto missing = running.bit({"query", "-d", "local/none", "-q", "SELECT 1"});
    CHECK(missing.status == 3);
    CHECK(missing.out.empty());
    CHECK_MESSAGE(mentions(missing.err, "404"), missing.err);

    const auto wrong = running.bit({"query", "-d", name, "-q", "SELEKT 1"});
    CHECK(wrong.status == 3);
    CHECK(wrong.out.empty());
    CHECK_MESSAGE(mentions(wrong.err, "syntax error"), wrong.err);

    const auto stranger = running.bit({"-k", "v2_stranger", "db", "list"});
    CHECK(stranger.status == 3);
    CHECK_MESSAGE(mentions(stranger.err, "401"), stranger.err);
    CHECK(!mentions(stranger.err, "stranger"));

    const auto taken = running.bit({"db", "create", "-n", "failing"});
    CHECK(taken.status == 3);
    CHECK_MESSAGE(mentions(taken.err, "409"), taken.err);

    running.server.stop();
    const auto gone =
        test::run_program({BIT_PROGRAM, "db", "list"},
                          {{"BITIO_KEY", "v2_any"}, {"BITIO_API_URL", running.server.api_url()}});
    CHECK(gone.status == 3);
    CHECK_MESSAGE(mentions(gone.err, "cannot connect"), gone.err);
}

TEST_CASE("a key given as a word is soon gone from the list of processes") {
    service running;
    const std::string name = running.server.create_database("hidden").full();
    const std::string key = running.server.key().reveal();
    for (const std::vector<std::string>& spelling : std::vector<std::vector<std::string>>{
             {"-k", key}, {"-k" + key}, {"--key", key}, {"--key=" + key}}) {
        std::vector<std::string> words = {BIT_PROGRAM};
        words.insert(words.end(), spelling.begin(), spelling.end());
        words.insert(words.end(), {"query", "-d", name, "-qf", "-"});
        test::child bit(words, running.environment());

        // It waits for its input then, so it can be looked at. Before it has started, the list
        // shows the words of this test; one reading answers both questions.
        const fs::path list = "/proc/" + std::to_string(bit.id()) + "/cmdline";
        const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
        std::string shown = contents(list);
        while ((mentions(shown, key) || !mentions(shown, name)) &&
               std::chrono::steady_clock::now() < deadline) {
            std::this_thread::yield();
            shown = contents(list);
        }
        CHECK(!mentions(shown, key));
        CHECK(mentions(shown, name));

        bit.give("SELECT 1");
        const auto ended = bit.wait();
        CAPTURE(ended.err);
        CHECK(ended.status == 0);
    }
}

TEST_CASE("a query that is interrupted is stopped, and leaves nothing") {
    const service here;
    const std::string name = "local/interrupted";
    REQUIRE(here.bit({"db", "create", "-n", "interrupted"}).status == 0);
    const auto query = [&](const std::string& sql) {
        return here.bit({"query", "-d", name, "-q", sql});
    };
    REQUIRE(query("CREATE TABLE t (n int)").status == 0);
    test::child asking({BIT_PROGRAM, "query", "-d", name, "-q",
                        "SELECT pg_advisory_lock(7); INSERT INTO t SELECT 1 FROM pg_sleep(120)"},
                       here.environment());
    const std::string held = "SELECT 'he' || 'ld' FROM pg_locks WHERE locktype = 'advisory'";
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (!mentions(query(held).out, "held")) {
        REQUIRE(std::chrono::steady_clock::now() < deadline);
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    asking.send(SIGINT);
    CHECK(asking.wait().status != 0);
    // The lock is free when that session has ended.
    CHECK(query("SELECT pg_advisory_lock(7)").status == 0);
    CHECK(std::chrono::steady_clock::now() < deadline + std::chrono::seconds(30));
    CHECK_FALSE(mentions(query("SELECT 'ke' || 'pt' FROM t").out, "kept"));
}
