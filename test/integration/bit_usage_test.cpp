// Every command and option of bit, walked from its own help; every exit code, from its table.
#include "cli/exit_codes.hpp"
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
#include <set>
#include <sstream>
#include <string>
#include <vector>

namespace {

namespace json = boost::json;
using bitdotio::cli::exit_code;
using test::mentions;

test::ending alone(std::vector<std::string> words,
                   std::map<std::string, std::string> environment = {}) {
    return test::run_alone(BIT_PROGRAM, std::move(words), std::move(environment));
}

// An option, as help shows it.
struct shown_option {
    std::string name;
    bool takes_value = false;
};

struct shown_command {
    std::vector<std::string> words;  // its name
    std::vector<shown_option> options;
};

std::vector<std::string> lines_after(const std::string& text, const std::string& title) {
    std::vector<std::string> lines;
    const std::size_t found = text.find("\n" + title);
    std::istringstream in(found == std::string::npos ? "" : text.substr(found + 1));
    std::string line;
    std::getline(in, line);
    while (std::getline(in, line) && line.starts_with("  "))
        lines.push_back(line);
    return lines;
}

// The table of commands as the program's help has it.
std::vector<shown_command> read_commands() {
    std::vector<shown_command> all;
    for (const std::string& line : lines_after(alone({"--help"}).out, "Commands:")) {
        shown_command& one = all.emplace_back();
        std::istringstream in(line.substr(0, line.find("  ", 2)));
        for (std::string word; in >> word && word.find_first_of("[|ABCDEFGHIJKLMNOPQRSTUVWXYZ") ==
                                                 std::string::npos;) {
            one.words.push_back(word);
        }
        std::vector<std::string> help = one.words;
        help.push_back("--help");
        const auto ended = alone(help);
        CHECK(ended.status == 0);
        CHECK(ended.err.empty());
        for (const std::string& option : lines_after(ended.out, "Options:")) {
            const std::string left = option.substr(2, option.find("  ", 2) - 2);
            const std::size_t name = left.find("--");
            REQUIRE(name != std::string::npos);
            const std::size_t end = left.find(' ', name);
            one.options.push_back({left.substr(name, end - name), end != std::string::npos});
        }
    }
    return all;
}

const std::vector<shown_command>& all_commands() {
    static const std::vector<shown_command> all = read_commands();
    return all;
}

}  // namespace

TEST_CASE("each command has help without a key, and refuses what its options are not") {
    const std::vector<shown_command>& all = all_commands();
    CHECK(all.size() > 35);
    std::set<std::string> seen;
    for (const shown_command& one : all) {
        CAPTURE(one.words.back());
        std::vector<std::string> words = one.words;
        words.push_back("--no-such-option=v2_secret");
        const auto unknown = alone(words);
        CHECK(unknown.status == 2);
        CHECK_MESSAGE(mentions(unknown.err, "no option \"--no-such-option\""), unknown.err);
        CHECK_FALSE(mentions(unknown.err, "secret"));
        for (const shown_option& option : one.options) {
            CAPTURE(option.name);
            words.back() = option.takes_value ? option.name : option.name + "=v2_secret";
            // Once is enough where several commands have it: each run starts a program.
            if (option.name == "--help" || !seen.insert(option.name).second) continue;
            const auto refused = alone(words);
            CHECK(refused.status == 2);
            CHECK(refused.out.empty());
            CHECK_MESSAGE(
                mentions(refused.err, option.takes_value ? "needs a value" : "takes no value"),
                refused.err);
        }
    }
}

TEST_CASE("what follows two dashes is never an option") {
    CHECK(mentions(alone({"import", "-d", "a/b", "--", "-odd.csv"}).err,
                   "cannot read the file -odd.csv"));
    CHECK(mentions(alone({"import", "-d", "a/b", "--", "x", "y"}).err, "unexpected argument"));
    CHECK(mentions(alone({"import", "-d", "a/b", "--"}).err, "needs FILE"));
}

TEST_CASE("a slip of a letter or two is told what was meant") {
    CHECK(mentions(alone({"qurey"}).err, "did you mean \"query\"?"));
    CHECK(mentions(alone({"db", "lst"}).err, "did you mean \"db list\"?"));
    CHECK(mentions(alone({"query", "--databse", "x"}).err, "did you mean \"--database\"?"));
    CHECK_FALSE(mentions(alone({"xyzzy"}).err, "did you mean"));
    // A key where a database belongs is not shown.
    CHECK_FALSE(mentions(alone({"ping", "v2_0123456789abcdefghijklmnopq"}).err, "abcdef"));
    CHECK(mentions(alone({"help", "qurey"}).err, "did you mean \"query\"?"));
}

TEST_CASE("the manual and the completions name every command") {
    const std::string manual = alone({"man-page"}).out;
    for (const shown_command& one : all_commands()) {
        std::string heading = ".SS bit";
        for (const std::string& word : one.words) {
            heading += " ";
            for (const char c : word)
                heading += c == '-' ? std::string("\\-") : std::string(1, c);
        }
        CHECK_MESSAGE(mentions(manual, heading), heading);
    }
    for (const char* shell : {"bash", "zsh", "fish"}) {
        const auto script = alone({"completion", shell});
        CHECK(script.status == 0);
        CHECK(mentions(script.out, "connection-string"));
        CHECK(mentions(script.out, "create-key"));
    }
    // Variables of zsh's own, which its functions must not have as locals.
    CHECK_FALSE(mentions(alone({"completion", "zsh"}).out, "path= words="));
    // Its files by default are not those after "--key-file=".
    CHECK(mentions(alone({"completion", "zsh"}).out, "compset -P '--*=' && _files"));
    const auto other = alone({"completion", "tcsh"});
    CHECK(other.status == 2);
}

TEST_CASE("each exit code of the table comes from what it is documented for") {
    test::profiled_server running(BIT_PROGRAM);
    const std::string name = running.server.create_database("codes").full();
    for (const bitdotio::cli::exit_meaning& each : bitdotio::cli::exit_codes) {
        const int code = static_cast<int>(each.code);
        CAPTURE(code);
        CHECK(mentions(alone({"man-page"}).out, ".TP\n" + std::to_string(code) + "\n"));
        switch (each.code) {
            case exit_code::done: CHECK(alone({"version"}).status == code); break;
            case exit_code::wrong_usage:
                CHECK(alone({"querry"}).status == code);
                CHECK(alone({"db", "list"}).status == code);
                CHECK(alone({"import", "-d", "a/b", "/nowhere/x.csv"}).status == code);
                CHECK(alone({"copy-in", "-d", "a/b", "t", "/nowhere/x.csv"}).status == code);
                break;
            case exit_code::failed:
                CHECK(running.bit({"query", "-d", name, "-q", "SELEKT"}).status == code);
                CHECK(running.bit({"query", "-d", name, "--direct", "-q", "SELEKT"}).status ==
                      code);
                break;
            case exit_code::interrupted: {
                test::child bit({BIT_PROGRAM, "query", "-d", name, "-q", "SELECT pg_sleep(120)"},
                                running.environment());
                // Its handler of the signal is there by the time it has asked.
                const std::string active =
                    "SELECT 'n' || count(*) FROM pg_stat_activity WHERE query ~ 'pg_sleep.120'";
                const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
                while (!mentions(running.bit({"query", "-d", name, "-q", active}).out, "\"n2\"")) {
                    REQUIRE(std::chrono::steady_clock::now() < deadline);
                }
                bit.send(SIGINT);
                CHECK(bit.wait().status == code);
                break;
            }
            case exit_code::reader_gone: {
                const auto ended = test::run_program(
                    {"bash", "-c",
                     std::string(BIT_PROGRAM) + " query -d " + name +
                         " --direct --format values -q 'SELECT generate_series(1, 1000000)' | "
                         "head -n 1; exit ${PIPESTATUS[0]}"},
                    running.environment());
                CHECK(ended.status == code);
                CHECK(ended.out == "1\n");
                CHECK_MESSAGE(ended.err.empty(), ended.err);
                break;
            }
        }
    }
}
