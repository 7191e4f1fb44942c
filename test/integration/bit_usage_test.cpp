// Every command and option of bit, walked from its own help; every exit code, from its table.
#include "cli/exit_codes.hpp"
#include "support/bit_program.hpp"
#include "support/child.hpp"
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
#include <set>
#include <sstream>
#include <string>
#include <vector>

namespace {

namespace fs = std::filesystem;
namespace json = boost::json;
using bitdotio::cli::exit_code;
using test::mentions;

// Runs bit where there is neither key nor server.
test::ending alone(std::vector<std::string> words,
                   std::map<std::string, std::string> environment = {}) {
    const test::temporary_directory nowhere;
    environment.emplace("BITIO_PROFILE", (nowhere.path() / "none.json").string());
    words.insert(words.begin(), BIT_PROGRAM);
    return test::run_program(std::move(words), std::move(environment));
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
    const auto other = alone({"completion", "tcsh"});
    CHECK(other.status == 2);
    const test::temporary_directory directory;
    const fs::path file = directory.path() / "bit.bash";
    std::ofstream(file) << alone({"completion", "bash"}).out;
    const auto completed = test::run_program(
        {"bash", "-c",
         ". '" + file.string() +
             "'; COMP_WORDS=(bit db cr); COMP_CWORD=2; _bit; echo \"${COMPREPLY[@]}\"; "
             "COMP_WORDS=(bit help pro); COMP_CWORD=2; _bit; echo \"${COMPREPLY[@]}\"; "
             "COMP_WORDS=(bit query --form); COMP_CWORD=2; _bit; echo \"${COMPREPLY[@]}\"; "
             "COMP_WORDS=(bit query --format js); COMP_CWORD=3; _bit; echo \"${COMPREPLY[@]}\""},
        {});
    CHECK_MESSAGE(completed.out == "create\nprofile\n--format\njson jsonl\n",
                  (completed.out + completed.err));
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
