// The parser of the command line.
#include "cli/arguments.hpp"
#include "support/text.hpp"

#include <bitdotio/error.hpp>

#include <doctest/doctest.h>

#include <sstream>
#include <string>
#include <vector>

namespace {

using namespace bitdotio;
using namespace std::chrono_literals;
using test::mentions;

cli::program sample() {
    cli::program program;
    program.name = "bit";
    program.help = "A sample.";
    program.options = {{"-k", "--key", "KEY", "The key."}, {"-v", "--version", "", "The version."}};
    program.commands = {
        {"query",
         "",
         "Ask.",
         {{"-d", "--database", "NAME", "Where.", true},
          {"-q", "--query", "SQL", "What."},
          {"-qf", "--query_file", "FILE", "What, in a file."},
          {"-o", "--objects", "", "How."}}},
        {"db list", "", "List.", {}},
        {"db info", "db get", "Tell.", {{"-d", "--database", "NAME", "Which.", true}}},
        {"serve",
         "",
         "Serve.",
         {{"", "--port", "PORT", "A port."},
          {"", "--after", "DURATION", "A time."},
          {"", "--size", "NUMBER", "A size."},
          {"-p", "--private", "BOOLEAN", "Yes or no."}}},
        {"serve sleep", "", "Put to sleep.", {{"", "--profile", "FILE", "Whose."}}, {"DB"}},
        {"serve account grant", "", "Allow.", {}, {"NAME", "DB"}}};
    return program;
}

cli::arguments parse(const std::vector<std::string>& words) {
    return cli::arguments::parse(sample(), words);
}

std::string complaint(const std::vector<std::string>& words) {
    try {
        parse(words);
    } catch (const error& failure) {
        CHECK(failure.code() == errc::bad_input);
        return failure.what();
    }
    return "";
}

}  // namespace

TEST_CASE("an option takes its value from the next word, or attached to its name") {
    const std::vector<std::vector<std::string>> spellings = {
        {"query", "-d", "adam/db"},
        {"query", "-dadam/db"},
        {"query", "--database", "adam/db"},
        {"query", "--database=adam/db"},
    };
    for (const auto& words : spellings) {
        CAPTURE(words[1]);
        CHECK(parse(words).get("--database") == "adam/db");
    }
}

TEST_CASE("-qf is one option, not -q with the value f") {
    const auto read = parse({"query", "-d", "a/b", "-qf", "statement.sql"});
    CHECK(read.get("--query_file") == "statement.sql");
    CHECK(!read.has("--query"));
    CHECK(parse({"query", "-d", "a/b", "-qSELECT 1"}).get("--query") == "SELECT 1");
}

TEST_CASE("a value may begin with a dash") {
    CHECK(parse({"query", "-d", "a/b", "-qf", "-"}).get("--query_file") == "-");
    CHECK(parse({"query", "-d", "a/b", "-q", "--comment"}).get("--query") == "--comment");
}

TEST_CASE("the last of an option given twice counts") {
    CHECK(parse({"query", "-d", "a/b", "-d", "c/d"}).get("--database") == "c/d");
}

TEST_CASE("options of the program stand before or after the command") {
    CHECK(parse({"-k", "v2_x", "db", "list"}).get("--key") == "v2_x");
    CHECK(parse({"db", "--key=v2_x", "list"}).get("--key") == "v2_x");
    CHECK(parse({"db", "list", "-k", "v2_x"}).get("--key") == "v2_x");
    CHECK(parse({"-v"}).has("--version"));
}

TEST_CASE("a command of two words is found by both, and by its alias") {
    CHECK(parse({"db", "list"}).command() == "db list");
    CHECK(parse({"db", "get", "-d", "a/b"}).command() == "db info");
    CHECK(parse({}).command().empty());
}

TEST_CASE("a database that stands alone is told the option it belongs to") {
    CHECK(mentions(complaint({"query", "-d", "a/b", "a/c"}), "; a database is given with -d"));
    CHECK(
        mentions(complaint({"query", "-d", "a/b", "1/2 AS x"}), "; a statement is given with -q"));
    CHECK(mentions(complaint({"db", "list", "a/b"}), "; options begin with a dash"));
}

TEST_CASE("help is understood everywhere, and asks for nothing else") {
    CHECK(parse({"--help"}).help());
    CHECK(parse({"db", "--help"}).command() == "db");
    CHECK(parse({"query", "-h"}).help());
    CHECK(parse({"query", "-h"}).command() == "query");
    CHECK(!parse({"db", "list"}).help());
}

TEST_CASE("wrong usage is named, with what would be right") {
    CHECK(mentions(complaint({"querry"}), "no command \"querry\""));
    CHECK(mentions(complaint({"db"}), "\"bit db\" needs a command"));
    CHECK(mentions(complaint({"db", "drop"}), "no command \"db drop\""));
    CHECK(mentions(complaint({"query"}), "needs the option -d/--database NAME"));
    CHECK(mentions(complaint({"query", "-d"}), "needs a value, NAME"));
    CHECK(mentions(complaint({"query", "-d", "a/b", "-x"}), "no option \"-x\""));
    CHECK(mentions(complaint({"query", "-d", "a/b", "--objects=yes"}), "takes no value"));
    CHECK(mentions(complaint({"query", "-d", "a/b", "SELECT 1"}),
                   "unexpected argument \"SELECT 1\" after \"bit query\"; a statement is given "
                   "with -q"));
    CHECK(mentions(complaint({"--objects"}), "no option \"--objects\""));
}

TEST_CASE("the value of an unknown option is not repeated, nor a key in the wrong place") {
    CHECK(!mentions(complaint({"v2_secret", "db", "list"}), "secret"));
    CHECK(!mentions(complaint({"db", "list", "v2_secret"}), "secret"));
    CHECK(!mentions(complaint({"--keys=v2_secret", "db", "list"}), "secret"));
    CHECK(!mentions(complaint({"-Kv2_secret", "db", "list"}), "secret"));
}

TEST_CASE("booleans are read as people write them") {
    for (const std::string text : {"true", "True", "yes", "1", "t", "on", "y"}) {
        CAPTURE(text);
        CHECK(parse({"serve", "-p", text}).get_bool("--private") == true);
    }
    for (const std::string text : {"false", "FALSE", "no", "0", "f", "off", "N"}) {
        CAPTURE(text);
        CHECK(parse({"serve", "-p", text}).get_bool("--private") == false);
    }
    CHECK(parse({"serve"}).get_bool("--private") == std::nullopt);
    for (const std::string text : {"", "maybe", "2", "tru"}) {
        CAPTURE(text);
        CHECK_THROWS_AS(parse({"serve", "-p", text}).get_bool("--private"), error);
    }
}

TEST_CASE("durations have a unit and are above nothing") {
    const auto read = [](const std::string& text) {
        return parse({"serve", "--after", text}).get_duration("--after");
    };
    CHECK(read("500ms") == 500ms);
    CHECK(read("1s") == 1s);
    CHECK(read("2m") == 2min);
    CHECK(read("1h") == 1h);
    CHECK(parse({"serve"}).get_duration("--after") == std::nullopt);
    for (const std::string text :
         {"", "1", "s", "0s", "-1s", "1.5s", "1 s", "1d", "1sx", "9999999999999h"}) {
        CAPTURE(text);
        CHECK_THROWS_WITH_AS(read(text),
                             ("option --after must be a duration of at most a week such as 500ms, "
                              "1s, 2m or 1h, not \"" +
                              text + "\"")
                                 .c_str(),
                             error);
    }
}

TEST_CASE("ports and sizes are numbers within their range") {
    CHECK(parse({"serve", "--port", "0"}).get_port("--port") == 0);
    CHECK(parse({"serve", "--port", "65535"}).get_port("--port") == 65535);
    CHECK(parse({"serve", "--size", "9000000000"}).get_size("--size") == 9'000'000'000);
    for (const std::string text : {"", "65536", "-1", "1x", "x"}) {
        CAPTURE(text);
        CHECK_THROWS_AS(parse({"serve", "--port", text}).get_port("--port"), error);
    }
    for (const std::string text : {"", "-1", "1k", "99999999999999999999"}) {
        CAPTURE(text);
        CHECK_THROWS_AS(parse({"serve", "--size", text}).get_size("--size"), error);
    }
}

TEST_CASE("help shows every command, and every option of one") {
    const std::string all = cli::help_text(sample(), "");
    for (const char* part :
         {"Usage: bit", "query", "db list", "serve", "-k, --key KEY", "--help"}) {
        CAPTURE(part);
        CHECK(mentions(all, part));
    }
    const std::string query = cli::help_text(sample(), "query");
    CHECK(mentions(query, "-qf, --query_file FILE"));
    CHECK(mentions(query, "Required."));
    CHECK(!mentions(query, "db list"));
    const std::string group = cli::help_text(sample(), "db");
    CHECK(mentions(group, "db info"));
    CHECK(!mentions(group, "serve"));
}

TEST_CASE("help is broken between words where a screen is narrower, and nowhere in a pipe") {
    cli::program program = sample();
    const std::string said =
        "Words that are too many for a line of this screen, and stand in one column.";
    program.commands = {
        {"say", "", said, {{"-w", "--word", "WORD", "The first and last of all."}}}};
    const std::string text = cli::help_text(program, "", 50);
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);) {
        CAPTURE(line);
        CHECK(line.size() <= 50);
    }
    CHECK_MESSAGE(mentions(text,
                           "  say  Words that are too many for a line of this\n"
                           "       screen, and stand in one column.\n"),
                  text);
    CHECK(mentions(cli::help_text(program, ""), said + "\n"));
    // What has no room beside its name stands below it; a word that has none stands alone.
    const std::string narrow = cli::help_text(program, "say", 30);
    CHECK_MESSAGE(mentions(narrow,
                           "  -w, --word WORD\n"
                           "      The first and last of\n"
                           "      all.\n"),
                  narrow);
    program.commands = {{"say", "", "A remarkably long word.", {}}};
    CHECK_MESSAGE(mentions(cli::help_text(program, "say", 8), "\nA\nremarkably\nlong\nword.\n"),
                  cli::help_text(program, "say", 8));
}

TEST_CASE("words that may be left out are, and those after a double dash are passed on") {
    cli::program program = sample();
    program.commands.push_back({"psql", "", "Run.", {}, {"[DB]", "[ARGS...]"}});
    const auto words = [&](const std::vector<std::string>& given) {
        return cli::arguments::parse(program, given).words();
    };
    CHECK(words({"psql"}).empty());
    CHECK(words({"psql", "a/b", "c", "d"}) == std::vector<std::string>{"a/b", "c", "d"});
    CHECK(words({"psql", "--", "-c", "--help"}) == std::vector<std::string>{"-c", "--help"});
    CHECK(words({"db", "list", "--"}).empty());
    CHECK_THROWS_AS(words({"db", "list", "--", "-v"}), error);
}

TEST_CASE("an option that is not given comes from the environment") {
    const auto read = [](const std::vector<std::string>& words) {
        return cli::arguments::parse(sample(), words, [](const char* name) -> const char* {
            const std::string_view variable = name;
            return variable == "BITIO_QUERY_DATABASE"  ? "e/v"
                   : variable == "BITIO_KEY"           ? "v2_e"
                   : variable == "BITIO_QUERY_QUERY"   ? ""
                   : variable == "BITIO_QUERY_OBJECTS" ? "no"
                   : variable == "BITIO_SERVE_SIZE"    ? "7"
                                                       : nullptr;
        });
    };
    CHECK(read({"query"}).get("--database") == "e/v");
    CHECK(read({"query"}).is_from_environment("--database"));
    CHECK(read({"query", "-d", "a/b"}).get("--database") == "a/b");
    CHECK_FALSE(read({"query", "-d", "a/b"}).is_from_environment("--database"));
    CHECK_FALSE(read({"query"}).has("--query"));
    CHECK_FALSE(read({"query"}).has("--objects"));
    CHECK(read({"serve"}).get_size("--size") == 7);
    CHECK(read({"serve"}).get("--key") == "v2_e");
}

TEST_CASE("the nearest name is a slip away") {
    const std::vector<std::string_view> names = {"query", "import", "export", "db"};
    CHECK(cli::nearest("qurey", names) == "query");
    CHECK(cli::nearest("exprot", names) == "export");
    CHECK(cli::nearest("xport", names) == "export");
    CHECK(cli::nearest("db", names) == "db");
    CHECK(cli::nearest("zz", names).empty());
    CHECK(cli::nearest("", names).empty());
    CHECK(cli::nearest("something", names).empty());
}

TEST_CASE("a command's name may begin with another's, and words follow it") {
    CHECK(parse({"serve"}).command() == "serve");
    const cli::arguments sleep = parse({"serve", "sleep", "a/b", "--profile", "p"});
    CHECK(sleep.command() == "serve sleep");
    CHECK(sleep.words() == std::vector<std::string>{"a/b"});
    CHECK(sleep.get("--profile") == "p");
    // Once a command has words, the next word is not a command's name.
    const cli::arguments grant = parse({"serve", "account", "grant", "sleep", "serve"});
    CHECK(grant.words() == std::vector<std::string>{"sleep", "serve"});

    CHECK(mentions(complaint({"serve", "sleep"}), "needs DB"));
    CHECK(mentions(complaint({"serve", "account", "grant", "robot"}), "needs DB"));
    CHECK(mentions(complaint({"serve", "sleep", "a/b", "c"}), "unexpected argument \"c\""));
    CHECK(mentions(complaint({"serve", "account"}), "needs a command"));
    CHECK(mentions(complaint({"serve", "account", "v2_x"}), "no command \"serve account v2_…\""));
    CHECK(!mentions(complaint({"db", "v2_secret"}), "secret"));
    CHECK(mentions(complaint({"serve", "fly"}), "unexpected argument \"fly\""));

    CHECK(mentions(cli::help_text(sample(), "serve"), "serve account grant NAME DB"));
    CHECK(mentions(cli::help_text(sample(), "serve sleep"), "serve sleep DB [OPTIONS]"));
}
