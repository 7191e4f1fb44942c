// What bit moves: files in and out, CSV over COPY, statements with values, psql.
#include "support/bit_program.hpp"
#include "support/child.hpp"
#include "support/test_server.hpp"
#include "support/text.hpp"

#include <boost/json.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

namespace {

namespace fs = std::filesystem;
namespace json = boost::json;
using test::contents;
using test::mentions;

struct service : test::profiled_server {
    service() : profiled_server(BIT_PROGRAM), name(server.create_database("files").full()) {}

    // Runs bit, which must succeed.
    std::string good(std::vector<std::string> words, const std::string& input = "") const {
        const auto ended = bit(std::move(words), input);
        CHECK_MESSAGE(ended.status == 0, ended.err);
        return ended.out;
    }
    // A pipeline of the shell, in which $bit is the program.
    test::ending shell(const std::string& line) const {
        auto more = environment();
        more["bit"] = BIT_PROGRAM;
        more["BITIO_DATABASE"] = name;
        return test::run_program({"bash", "-o", "pipefail", "-c", line}, more);
    }

    std::string name;
};

}  // namespace

TEST_CASE("what is imported from standard input is what is exported, and memory holds a piece") {
    // 1 GiB in long runs (`test/run --stress`), less in every day's.
    const char* const wanted = std::getenv("BIT_TEST_MEBIBYTES");
    const long long mebibytes = wanted ? std::atoll(wanted) : 8;
    const std::string rows = std::to_string(mebibytes * 16'384);
    const std::string table = "seq 1 " + rows + " | awk '{ printf \"%015d,%047d\\n\", $1, $1 }'";
    // Tells the peak of memory on standard error; the sanitizer must not keep what was freed.
    const std::string measured =
        "ASAN_OPTIONS=quarantine_size_mb=1 python3 -c 'import resource, subprocess, sys; "
        "ended = subprocess.run(sys.argv[1:]); print(resource.getrusage("
        "resource.RUSAGE_CHILDREN).ru_maxrss, file=sys.stderr); sys.exit(ended.returncode)' "
        "\"$bit\" ";
    service running;
    const auto shell = [&](const std::string& line) {
        auto variables = running.environment();
        variables["bit"] = BIT_PROGRAM;
        variables["BITIO_DATABASE"] = running.name;
        test::child started({"bash", "-o", "pipefail", "-c", line}, variables);
        return started.wait(std::chrono::seconds(60 + mebibytes));
    };
    const auto kibibytes = [](const test::ending& ended) { return std::atoll(ended.err.c_str()); };
    const auto idle = shell(measured + "--version");
    const auto sent = shell("(echo a,b; " + table + ") | " + measured + "import - --table t");
    CHECK_MESSAGE(sent.status == 0, sent.err);
    CHECK(mentions(sent.out, "\"DONE\""));
    CHECK(sent.err == std::to_string(kibibytes(sent)) + "\n");
    const auto same = shell(
        measured + "export --table t - | tail -n +2 | LC_ALL=C sort | cmp - <(" + table + ")");
    CHECK_MESSAGE(same.status == 0, (same.out + same.err));
    for (const test::ending& ended : {sent, same}) {
        CHECK_MESSAGE(kibibytes(ended) < kibibytes(idle) + 64 * 1'024, ended.err);
    }
    MESSAGE("peaks in KiB: idle ", kibibytes(idle), ", import ", kibibytes(sent), ", export ",
            kibibytes(same));
}

TEST_CASE("an export goes to a file by its extension, a job can be left alone and asked about") {
    service running;
    running.good({"query", "-d", running.name, "-q", "CREATE TABLE t AS SELECT 7 AS seven"});
    const std::string file = (running.directory.path() / "t.json").string();
    running.good({"export", "-d", running.name, "--table", "t", file});
    CHECK(json::parse(contents(file)).at(0).at("seven") == 7);
    const json::value job = json::parse(
        running.good({"export", "-d", running.name, "-q", "SELECT 1 AS one", "--no-wait"}));
    const std::string id = json::value_to<std::string>(job.at("id"));
    CHECK(mentions(running.good({"status", id}), id));
    CHECK(running.bit({"status", "nothing-of-that-name"}).status == 3);

    const auto both = running.bit({"export", "-d", running.name, "--table", "t", "-q", "SELECT 1"});
    CHECK(both.status == 2);
    CHECK(running.bit({"import", "-d", running.name, "-"}, "a\n1\n").status == 2);
    const auto absent = running.bit({"import", "-d", running.name, "absent.csv"});
    CHECK(absent.status == 2);
    CHECK_MESSAGE(mentions(absent.err, "absent.csv: No such file"), absent.err);
    const auto nowhere =
        running.bit({"export", "-d", running.name, (running.directory / "none" / "t.csv").string(),
                     "--table", "t"});
    CHECK(nowhere.status == 2);
    CHECK_MESSAGE(mentions(nowhere.err, "t.csv: there is no directory"), nowhere.err);
    const auto broken =
        running.bit({"import", "-d", running.name, "-", "--table", "x"}, "%PDF-1.4\n");
    CHECK(broken.status == 3);
    CHECK_MESSAGE(mentions(broken.err, "the import failed"), broken.err);
}

TEST_CASE("copy-in and copy-out move CSV to and from a table") {
    service running;
    const std::string& name = running.name;
    running.good({"query", "-d", name, "-q", "CREATE TABLE \"Odd name\" (a int, b text)"});
    const auto copied =
        running.bit({"copy-in", "-d", name, "--header", "--columns", "b,a", "Odd name"},
                    "b,a\nx,1\n\"y,z\",2\n");
    CHECK(copied.status == 0);
    CHECK(copied.err == "COPY 2\n");
    CHECK(running.good({"copy-out", "-d", name, "Odd name"}) == "1,x\n2,\"y,z\"\n");
    CHECK(running.good({"copy-out", "-d", name, "--header", "-q", "SELECT 5 AS five"}) ==
          "five\n5\n");
    const auto wrong = running.bit({"copy-in", "-d", name, "Odd name"}, "1,x\nno number,y\n");
    CHECK(wrong.status == 3);
    CHECK_MESSAGE(mentions(wrong.err, "invalid input syntax"), wrong.err);
    CHECK_MESSAGE(mentions(wrong.err, "at COPY Odd name, line 2, column a"), wrong.err);
    CHECK(running.bit({"copy-out", "-d", name}).status == 2);
    const auto both = running.bit({"copy-out", "-d", name, "-q", "SELECT 5", "Odd name", "-"});
    CHECK(both.status == 2);
    CHECK_MESSAGE(mentions(both.err, "not both"), both.err);
    // A byte order mark is no part of the first value; what is no UTF-8 is refused, and nothing
    // kept.
    CHECK(running
              .bit({"copy-in", "-d", name, "Odd name"},
                   "\xef\xbb\xbf"
                   "7,marked\n")
              .status == 0);
    CHECK(mentions(running.good({"copy-out", "-d", name, "Odd name"}), "7,marked\n"));
    const auto foreign = running.bit({"copy-in", "-d", name, "Odd name"}, "8,caf\xe9\n");
    CHECK(foreign.status == 3);
    CHECK_MESSAGE(mentions(foreign.err, "UTF8"), foreign.err);
    const auto empty = running.bit({"copy-in", "-d", name, "Odd name", "/dev/null"});
    CHECK(empty.err == "COPY 0\n");
    const auto directory = running.bit({"copy-in", "-d", name, "Odd name", "/tmp"});
    CHECK(directory.status == 2);
    CHECK_MESSAGE(mentions(directory.err, "Is a directory"), directory.err);
    const auto full = running.bit({"copy-out", "-d", name, "Odd name", "/dev/full"});
    CHECK(full.status == 3);
    CHECK_MESSAGE(mentions(full.err, "No space left"), full.err);

    CHECK(running.good({"copy-out", "-d", name, "-q", "SELECT ';' ;\n"}) == ";\n");
    for (const char* const command : {"copy-out", "export"}) {
        const auto empty = running.bit({command, "-d", name, "-q", " ; "});
        CHECK(empty.status == 2);
        CHECK_MESSAGE(mentions(empty.err, "is empty"), empty.err);
    }
}

TEST_CASE("a direct query binds values, streams what it returns, and tells notices") {
    service running;
    const std::string& name = running.name;
    const auto bound = running.bit({"query", "-d", name, "--direct", "--format", "jsonl", "-q",
                                    "SELECT :n::int + 1 AS n, :text AS text, ':n' AS quoted", "-p",
                                    "n=41", "-p", "text='; DROP TABLE x"});
    CHECK_MESSAGE(bound.out == "{\"n\":42,\"text\":\"'; DROP TABLE x\",\"quoted\":\":n\"}\n",
                  (bound.out + bound.err));
    for (const std::vector<std::string>& words :
         std::vector<std::vector<std::string>>{{"-q", "SELECT :n"},
                                               {"-q", "SELECT 1", "-p", "n=1"},
                                               {"-q", "SELECT :n", "-p", "n"},
                                               {"-q", "SELECT :n", "-p", "n=1", "-p", "n=2"}}) {
        std::vector<std::string> all = {"query", "-d", name, "--direct", "-p", "m=v2_secret"};
        all.insert(all.end(), words.begin(), words.end());
        const auto refused = running.bit(all);
        CHECK(refused.status == 2);
        CHECK_FALSE(mentions(refused.err, "secret"));
    }
    CHECK(running.bit({"query", "-d", name, "-q", "SELECT :n", "-p", "n=1"}).status == 2);
    // A name that nobody has bound is sent as it stands: it may be none.
    for (const auto& [road, hint] : {std::pair("--direct", "; \"-p n=VALUE\" binds :n"),
                                     {"--no-pager", "; \"--direct -p n=VALUE\" binds :n"}}) {
        const auto failed = running.bit({"query", "-d", name, road, "-q", "SELECT :n::int, :m"});
        CHECK(failed.status == 3);
        CHECK_MESSAGE(mentions(failed.err, "near \":\""), failed.err);
        CHECK_MESSAGE(mentions(failed.err, hint), failed.err);
        CHECK_FALSE(
            mentions(running.bit({"query", "-d", name, road, "-q", "SELEC ':n'"}).err, "binds"));
        CHECK_FALSE(
            mentions(running.bit({"query", "-d", name, road, "-q", "SELECT n"}).err, "binds"));
    }

    const auto several =
        running.bit({"query", "-d", name, "--direct", "--format", "values", "-q", "SELECT 1", "-q",
                     "DO $$ BEGIN RAISE NOTICE 'told'; END $$", "-q", "SELECT 3"});
    CHECK(several.out == "1\n3\n");
    CHECK_MESSAGE(mentions(several.err, "NOTICE: told"), several.err);
    CHECK(mentions(several.err, "(1 row)"));

    for (const std::string road : {"--direct", "--no-pager"}) {
        CAPTURE(road);
        // A line for each answer, one without rows too.
        CHECK(running.good({"query", "-d", name, road, "-q", "SET work_mem = '4MB'"}) ==
              "{\"query_string\":\"SET work_mem = '4MB'\",\"metadata\":{},\"data\":[]}\n");
        CHECK(running.good({"query", "-d", name, road, "-q", "-- none"}) ==
              "{\"query_string\":\"-- none\",\"metadata\":{},\"data\":[]}\n");
        const auto nothing =
            running.bit({"query", "-d", name, road, "--format", "csv", "-q", "", "-q", "SELECT 1"});
        CHECK(nothing.status == 0);
        CHECK(nothing.out == "?column?\n1\n");
        CHECK(nothing.err == "done\n(1 row)\n");
        const auto format = [&](const std::string& wanted) {
            return running.good({"query", "-d", name, road, "--format", wanted, "-q",
                                 "SELECT 1 AS n, E'a\\t\"b,' AS t, NULL AS no, '' AS empty, "
                                 "true AS yes"});
        };
        CHECK(format("csv") == "n,t,no,empty,yes\n1,\"a\t\"\"b,\",,\"\",t\n");
        CHECK(format("tsv") == "n\tt\tno\tempty\tyes\n1\ta\\t\"b,\t\\N\t\tt\n");
        CHECK(format("values") == "1\ta\t\"b,\t\t\tt\n");
        CHECK(format("jsonl") ==
              "{\"n\":1,\"t\":\"a\\t\\\"b,\",\"no\":null,\"empty\":\"\",\"yes\":true}\n");
        const json::value all = json::parse(format("json"));
        CHECK(json::serialize(all.at("data")) == R"([[1,"a\t\"b,",null,"",true]])");
        CHECK(all.at("metadata").at("no") == "text");
        const auto late = running.bit(
            {"query", "-d", name, road, "-q", "SELECT pg_sleep(120)", "--timeout", "300ms"});
        CHECK(late.status == 3);
        CHECK_MESSAGE(mentions(late.err, "took longer than 300 ms"), late.err);
    }
    CHECK(running.good({"query", "-d", name, "--direct", "--format", "csv", "-q",
                        "SELECT 1 AS n WHERE false"}) == "n\n");
}

TEST_CASE("a statement's file may have a byte order mark, and must be UTF-8") {
    service running;
    const std::string file = (running.directory.path() / "statement.sql").string();
    std::ofstream(file) << "\xef\xbb\xbfSELECT 'marked'";
    CHECK(mentions(running.good({"query", "-d", running.name, "-qf", file}), "marked"));
    std::ofstream(file) << "SELECT 'caf\xe9'";
    const auto foreign = running.bit({"query", "-d", running.name, "-qf", file});
    CHECK(foreign.status == 2);
    CHECK_MESSAGE(mentions(foreign.err, "statement.sql\" is not UTF-8 at byte 12"), foreign.err);
}

TEST_CASE("psql is reached with TLS verified, and other programs by what connection-string says") {
    service running;
    const auto asked = running.shell(
        "\"$bit\" psql -- -XAtc \"SELECT ssl FROM pg_stat_ssl WHERE "
        "pid = pg_backend_pid() UNION ALL SELECT NULL LIMIT 1\"");
    CHECK_MESSAGE(asked.status == 0, asked.err);
    const std::string key = running.server.key().reveal();
    for (const std::string format : {"uri", "keywords", "jdbc", "env"}) {
        CAPTURE(format);
        CHECK_FALSE(
            mentions(running.good({"connection-string", running.name, "--format", format}), key));
        CHECK(mentions(
            running.good({"connection-string", running.name, "--format", format, "--with-key"}),
            key));
    }
    for (const std::string way :
         {"psql -XAtc 'SELECT 42' \"$($bit connection-string --with-key)\"",
          "psql -XAtc 'SELECT 42' \"$($bit connection-string --with-key --format keywords)\"",
          "eval \"$($bit connection-string --with-key --format env)\"; psql -XAtc 'SELECT 42'"}) {
        const auto ended = running.shell(way);
        CHECK_MESSAGE(ended.out == "42\n", ended.err);
    }
}
