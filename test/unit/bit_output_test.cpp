// What bit shows: widths, control characters, bars, values of JSON; and what it reads.
#include "cli/json_rows.hpp"
#include "cli/progress.hpp"
#include "cli/query_input.hpp"
#include "cli/terminal.hpp"
#include "support/text.hpp"

#include <bitdotio/error.hpp>

#include <doctest/doctest.h>

#include <string>
#include <vector>

namespace {

using namespace bitdotio;
using namespace std::chrono_literals;
using test::mentions;

}  // namespace

TEST_CASE("a text is as wide as a terminal shows it") {
    CHECK(cli::width_of("plain") == 5);
    CHECK(cli::width_of("") == 0);
    CHECK(cli::width_of("漢字") == 4);
    CHECK(cli::width_of("e\xcc\x81") == 1);  // a combining accent
    CHECK(cli::width_of("été") == 3);
    CHECK(cli::width_of("😀") == 2);
    CHECK(cli::width_of("\xff") == 1);  // shown as U+FFFD
}

TEST_CASE("what could move the cursor of a terminal is shown as its escape") {
    CHECK(cli::printable("a\tb\nc\rd") == "a\\tb\\nc\\rd");
    CHECK(cli::printable("\x1b[2J\x07\x7f") == "\\x1b[2J\\x07\\x7f");
    CHECK(cli::printable("\xc2\x9b"
                         "2J") == "\\x9b2J");  // a control of its own
    CHECK(cli::printable("a\xe2\x80\xae"
                         "b") ==
          "a\xef\xbf\xbd"
          "b");  // right to left
    CHECK(cli::printable("\xff") == "\xef\xbf\xbd");
    CHECK(cli::printable("漢 é") == "漢 é");
    CHECK(cli::printable("\xd9\x86\xd9\x85\xe2\x80\x8c\xd8\xa7") ==
          "\xd9\x86\xd9\x85\xe2\x80\x8c\xd8\xa7");  // a Persian word with its non-joiner
}

TEST_CASE("a bar fits its terminal, and tells part, rate and the time that is left") {
    const std::string wide = cli::progress_line("sending x", 512, 1024, 4s, 200);
    CHECK(mentions(wide, "sending x [###############...............] 50% of 1.0 KiB, 128 B/s"));
    CHECK(mentions(wide, "5.0 s left"));
    for (std::size_t columns = 2; columns < 120; ++columns) {
        const std::string line =
            cli::progress_line("sending x", 123'456'789, 987'654'321, 4s, columns);
        CHECK(cli::width_of(line) < columns);
    }
    // A long name gives way to how far the file is, and is cut between characters.
    CHECK(cli::progress_line("sending 漢字の長い名前のファイル.csv", 512, 1024, 1s, 40) ==
          "sending 漢字の… 50% of 1.0 KiB, 512 B/s");
    CHECK(cli::progress_line("漢字", 0, std::nullopt, 0ms, 4) == "漢");
    CHECK(cli::progress_line("reading", 0, std::nullopt, 0ms, 80) == "reading 0 B");
    CHECK(mentions(cli::progress_line("sending", 0, 0, 0ms, 80), "sending"));
}

TEST_CASE("elements of JSON are found whatever stands in their texts") {
    std::vector<std::string> found;
    const auto split = [&](std::string_view array) {
        found.clear();
        cli::each_element(array, [&](std::string_view one) { found.emplace_back(one); });
        return found;
    };
    CHECK(split("[]").empty());
    CHECK(split(" [ ] ").empty());
    CHECK(split("[1]") == std::vector<std::string>{"1"});
    CHECK(split(R"([1, "a,]\"[", [2,3] ,{"x":[4,5]}, null])") ==
          std::vector<std::string>{"1", R"("a,]\"[")", "[2,3]", R"({"x":[4,5]})", "null"});
    CHECK(cli::cell_of("null") == std::nullopt);
    CHECK(cli::cell_of("true") == "t");
    CHECK(cli::cell_of("12345678901234567890.10") == "12345678901234567890.10");
    CHECK(cli::cell_of(R"("a\n\u00e9")") == "a\né");
    CHECK(cli::cell_of(R"("")") == "");
}

TEST_CASE("names of a statement become numbers, each of its own statement") {
    const auto bound = cli::bind_parameters({"SELECT :b, :a, :b, ':a', x::int", "SELECT :a"},
                                            {{"a", "1"}, {"b", "2"}});
    CHECK(bound[0].sql == "SELECT $1, $2, $1, ':a', x::int");
    CHECK(bound[0].values == std::vector<std::string>{"2", "1"});
    CHECK(bound[1].sql == "SELECT $1");
    CHECK(bound[1].values == std::vector<std::string>{"1"});
    CHECK(cli::bind_parameters({"SELECT ':x', $1"}, {})[0].sql == "SELECT ':x', $1");
    CHECK_THROWS_AS(cli::bind_parameters({"SELECT :c"}, {{"a", "1"}}), error);
    CHECK_THROWS_AS(cli::bind_parameters({"SELECT 1"}, {{"a", "1"}}), error);
}

TEST_CASE("a syntax error at a name that nobody has bound is told how to bind it") {
    server_message said;
    said.sqlstate = "42601";
    const error syntax = error(errc::query_failed, "syntax error").with(said);
    CHECK(cli::binding_hint(syntax, "SELECT x::int, :first, :second", true) ==
          "; \"-p first=VALUE\" binds :first");
    CHECK(cli::binding_hint(syntax, "SELECT :first", false) ==
          "; \"--direct -p first=VALUE\" binds :first");
    for (const char* const other : {"SELEC a[1:n], x::int", "SELEC ':n' -- :n", "SELEC $1"}) {
        CAPTURE(other);
        CHECK(cli::binding_hint(syntax, other, true).empty());
    }
    said.sqlstate = "42703";
    CHECK(cli::binding_hint(syntax.with(said), "SELECT :n", true).empty());
}
