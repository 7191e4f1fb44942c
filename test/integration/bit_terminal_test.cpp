// The bit command on a terminal: tables, pager, questions, bars, Ctrl-C, sizes and colours.
#include "support/bit_program.hpp"
#include "support/child.hpp"
#include "support/terminal_child.hpp"
#include "support/test_server.hpp"
#include "support/text.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

namespace {

namespace fs = std::filesystem;
using test::mentions;

struct service : test::profiled_server {
    service() : profiled_server(BIT_PROGRAM) {}

    // Runs bit on a terminal.
    test::ending on_terminal(std::vector<std::string> words, unsigned short columns = 80,
                             unsigned short rows = 24,
                             std::map<std::string, std::string> more = {}) const {
        words.insert(words.begin(), BIT_PROGRAM);
        more.merge(environment());
        test::terminal_child bit(std::move(words), std::move(more), columns, rows);
        return bit.wait();
    }
};

// What stands on the line that is drawn over, after it was drawn last.
std::string last_drawn(const std::string& shown) {
    const std::string begin = "\r\x1b[K";
    const std::size_t at = shown.rfind(begin);
    return at == std::string::npos ? "" : shown.substr(at + begin.size());
}

}  // namespace

TEST_CASE("a terminal gets a table where it is wide enough, and lists where it is not") {
    service running;
    const std::string name = running.server.create_database("tables").full();
    const std::vector<std::string> query = {
        "query",
        "-d",
        name,
        "--no-color",
        "-q",
        "SELECT 7 AS number, '漢字' AS wide, 'e' || U&'\\0301' AS combined, NULL AS nothing, "
        "E'a\\nb\\x1b[2J' AS control, repeat('x', 30) AS long"};
    const auto wide = running.on_terminal(query, 200);
    CAPTURE(wide.out);
    CHECK(wide.status == 0);
    CHECK(mentions(wide.out, " number | wide | combined | nothing | control     | long"));
    CHECK(mentions(wide.out, "      7 | 漢字 | e\xcc\x81        | NULL    | a\\nb\\x1b[2J | xxx"));
    CHECK(wide.out.ends_with("xxx\n(1 row)\n"));

    const auto narrow = running.on_terminal(query, 40);
    CAPTURE(narrow.out);
    CHECK(narrow.status == 0);
    CHECK(mentions(narrow.out, "-[ 1 ]---"));
    CHECK(mentions(narrow.out, "nothing  | NULL\n"));
    CHECK_FALSE(mentions(narrow.out, " number | wide"));

    const auto json = running.on_terminal({"query", "-d", name, "--json", "-q", "SELECT 1 AS one"});
    CHECK_MESSAGE(mentions(json.out, "\"metadata\""), json.out);
}

TEST_CASE("control characters in values do not reach a terminal raw, in no format") {
    service running;
    const std::string name = running.server.create_database("hostile").full();
    const std::string sql =
        "SELECT E'\\x1b]0;owned\\x07' AS \"na\x1b[2Jme\", U&'\\009b2J' AS c1, E'\\x7f' AS del, "
        "U&'\\202egnp.exe' AS turned, repeat('x', 100000) AS huge";
    for (const std::string road : {"--direct", "--no-pager"}) {
        for (const std::string format :
             {"table", "csv", "tsv", "values", "jsonl", "json", "objects"}) {
            CAPTURE(road);
            CAPTURE(format);
            const auto shown = running.on_terminal({"query", "-d", name, "--no-color", road,
                                                    "--no-pager", "--format", format, "-q", sql},
                                                   format == "csv" ? 40 : 200);
            CHECK(shown.status == 0);
            for (const char* raw : {"\x1b", "\x07", "\xc2\x9b", "\x7f"})
                CHECK_FALSE(mentions(shown.out, raw));
            CHECK(mentions(shown.out, std::string(100'000, 'x')));
        }
    }
    const auto copied = running.on_terminal({"copy-out", "-d", name, "-q", "SELECT E'a\\x1b[2J'"});
    CHECK_MESSAGE(mentions(copied.out, "a\\x1b[2J"), copied.out);
    // In a pipe they are what they are.
    CHECK(
        running.bit({"query", "-d", name, "--format", "values", "-q", "SELECT E'a\\x1b[2J'"}).out ==
        "a\x1b[2J\n");
}

TEST_CASE("a question is seen where messages go elsewhere") {
    service running;
    const std::string name = running.server.create_database("asked").full();
    test::terminal_child bit(
        {"sh", "-c",
         std::string("exec '") + BIT_PROGRAM + "' db delete -d " + name + " 2>/dev/null"},
        running.environment());
    bit.read_until("[y/N] ");
    bit.type("n\r");
    CHECK(bit.wait().status == 3);
    CHECK(running.bit({"db", "info", "-d", name}).status == 0);
}

TEST_CASE("colours are for terminals, and only for those who want them") {
    service running;
    const std::string name = running.server.create_database("colours").full();
    const std::vector<std::string> query = {"query", "-d", name, "-q", "SELECT 1 AS one"};
    CHECK(mentions(running.on_terminal(query).out, "\x1b["));
    std::vector<std::string> plain = query;
    plain.push_back("--no-color");
    CHECK_FALSE(mentions(running.on_terminal(plain).out, "\x1b["));
    CHECK_FALSE(mentions(running.on_terminal(query, 80, 24, {{"NO_COLOR", "1"}}).out, "\x1b["));
    CHECK_FALSE(mentions(running.on_terminal(query, 80, 24, {{"TERM", "dumb"}}).out, "\x1b["));
    CHECK_FALSE(mentions(
        running.bit({"query", "-d", name, "-q", "SELECT 1", "--format", "table"}).out, "\x1b["));
}

TEST_CASE("a table longer than the screen goes through the pager") {
    service running;
    const std::string name = running.server.create_database("pages").full();
    const std::map<std::string, std::string> pager = {{"PAGER", "sed s/^/paged:/"}};
    const auto query = [&](int rows, std::vector<std::string> more = {}) {
        std::vector<std::string> words = {
            "query", "-d", name, "-q",
            "SELECT generate_series(1, " + std::to_string(rows) + ") AS n"};
        words.insert(words.end(), more.begin(), more.end());
        return running.on_terminal(words, 80, 20, pager).out;
    };
    CHECK(mentions(query(50), "paged: 50\n"));
    CHECK_FALSE(mentions(query(5), "paged:"));
    CHECK_FALSE(mentions(query(50, {"--no-pager"}), "paged:"));
    // A reader who leaves early is no failure.
    const auto left = running.on_terminal(
        {"query", "-d", name, "--direct", "-q", "SELECT generate_series(1, 100000) AS n"}, 80, 20,
        {{"PAGER", "head -n 3 >/dev/null"}});
    CHECK_MESSAGE(left.status == 0, left.out);
    // An answer that nobody shows is one.
    const auto lost =
        running.on_terminal({"query", "-d", name, "-q", "SELECT generate_series(1, 50) AS n"}, 80,
                            20, {{"PAGER", "/nowhere/pager"}});
    CHECK(lost.status == 3);
    CHECK_MESSAGE(mentions(lost.out, "cannot run the pager \"/nowhere/pager\""), lost.out);
}

TEST_CASE("db delete asks on a terminal, and does nothing without a yes") {
    service running;
    const std::string name = running.server.create_database("kept").full();
    const std::vector<std::string> words = {BIT_PROGRAM, "db", "delete", "-d", name};
    for (const std::string answer : {"n\r", "\r", "\x04"}) {
        test::terminal_child bit(words, running.environment());
        bit.read_until("[y/N] ");
        bit.type(answer);
        const auto ended = bit.wait();
        CHECK(ended.status == 3);
        CHECK_MESSAGE(mentions(ended.out, "nothing was changed"), ended.out);
    }
    CHECK(running.bit({"db", "info", "-d", name}).status == 0);
    test::terminal_child bit(words, running.environment());
    bit.read_until("stays blocked");
    bit.type("y\r");
    const auto ended = bit.wait();
    CHECK(ended.status == 0);
    CHECK_MESSAGE(mentions(ended.out, "deleted " + name), ended.out);

    const std::string other = running.server.create_database("other").full();
    CHECK(running.on_terminal({"db", "delete", "-y", "-d", other}).status == 0);
}

TEST_CASE("Ctrl-C stops the statement at the server, over both roads, and ends with 130") {
    service running;
    const std::string name = running.server.create_database("stopped").full();
    for (const std::string road : {"--direct", "--no-pager"}) {
        CAPTURE(road);
        const std::string lock = road == "--direct" ? "71" : "72";
        test::terminal_child bit({BIT_PROGRAM, "query", "-d", name, road, "-q",
                                  "SELECT pg_advisory_lock(" + lock + "), pg_sleep(120)"},
                                 running.environment());
        const auto held = [&] {
            return mentions(running
                                .bit({"query", "-d", name, "--format", "values", "-q",
                                      "SELECT 'he' || 'ld' FROM pg_locks WHERE objid = " + lock})
                                .out,
                            "held");
        };
        const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
        while (!held()) {
            REQUIRE(std::chrono::steady_clock::now() < deadline);
            std::this_thread::sleep_for(std::chrono::milliseconds(20));
        }
        bit.type("\x03");
        const auto ended = bit.wait();
        CHECK(ended.status == 130);
        CHECK_MESSAGE(mentions(ended.out, "interrupted"), ended.out);
        while (held()) {
            REQUIRE(std::chrono::steady_clock::now() < deadline);
            std::this_thread::sleep_for(std::chrono::milliseconds(20));
        }
    }
}

TEST_CASE("Ctrl-C ends a copy-in that waits for its input, and nothing is copied") {
    service running;
    const std::string name = running.server.create_database("half").full();
    CHECK(running.bit({"query", "-d", name, "-q", "CREATE TABLE t (n int)"}).status == 0);
    test::terminal_child bit({BIT_PROGRAM, "copy-in", "-d", name, "t"}, running.environment(), 200);
    bit.type("1\r");
    bit.read_until("copying");  // it has read, and waits for more
    bit.type("\x03");
    const auto ended = bit.wait();
    CHECK(ended.status == 130);
    CHECK_MESSAGE(mentions(ended.out, "interrupted"), ended.out);
    CHECK(running.bit({"query", "-d", name, "--format", "values", "-q", "SELECT count(*) FROM t"})
              .out == "0\n");
}

TEST_CASE("a bar shows how far a file is, as wide as the terminal is at that moment") {
    service running;
    const std::string name = running.server.create_database("bars").full();
    CHECK(running.bit({"query", "-d", name, "-q", "CREATE TABLE t (n int)"}).status == 0);
    test::terminal_child bit({BIT_PROGRAM, "copy-in", "-d", name, "t"}, running.environment(), 200);
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    const auto type_until = [&](auto is_so) {
        while (!is_so(last_drawn(bit.shown()))) {
            REQUIRE(std::chrono::steady_clock::now() < deadline);
            bit.type("1\r");
            std::this_thread::sleep_for(std::chrono::milliseconds(120));
        }
    };
    type_until([](const std::string& line) { return mentions(line, "/s"); });
    bit.resize(10, 24);
    type_until([](const std::string& line) {
        return mentions(line, "copying") && line.substr(0, line.find('\r')).size() < 10;
    });
    bit.type("\x04");
    const auto ended = bit.wait();
    CHECK(ended.status == 0);
    CHECK_MESSAGE(mentions(ended.out, "COPY "), ended.out);

    const fs::path file = running.directory.path() / "numbers.csv";
    {
        std::ofstream out(file);
        out << "n\n";
        for (int i = 0; i < 300'000; ++i)
            out << i << '\n';
    }
    const auto shown = running.on_terminal({"import", "-d", name, file.string()});
    CHECK(shown.status == 0);
    CHECK_MESSAGE(mentions(shown.out, "sending numbers.csv ["), shown.out);
    CHECK_MESSAGE(mentions(shown.out, "DONE"), shown.out);

    // Where the rows themselves go to the terminal, no bar runs into them.
    for (const std::vector<std::string>& words :
         std::vector<std::vector<std::string>>{{"copy-out", "-d", name, "-q", "SELECT 7"},
                                               {"export", "-d", name, "-", "-q", "SELECT 7"}}) {
        const auto rows = running.on_terminal(words);
        CHECK(rows.status == 0);
        CHECK_FALSE(mentions(rows.out, "copying"));
        CHECK_FALSE(mentions(rows.out, "receiving"));
    }
    const auto piped = running.bit({"import", "-d", name, file.string(), "--table", "piped"});
    CHECK(piped.status == 0);
    CHECK_MESSAGE(piped.err.empty(), piped.err);
}
