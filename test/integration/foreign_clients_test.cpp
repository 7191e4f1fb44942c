// Clients written by others, at our endpoint and at a PostgreSQL: they see no difference.
#include "support/child.hpp"
#include "support/postgres.hpp"
#include "support/test_server.hpp"

#include "server/tls/tls_identity.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <deque>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

using namespace std::chrono_literals;
using namespace std::string_literals;

namespace {

struct client {
    std::string name;
    std::vector<std::string> words;
    std::string expected;  ///< the part that is the same for all
};

// What they all see, each in the form of its driver.
const std::string in_words =
    "query 42\n"
    "wrong key password authentication failed for user \"somebody\"\n"
    "unknown database database \"local/none\" does not exist\n"
    "no TLS TLS\n"
    "untrusted True\n";
const std::string in_codes =
    "query 42\n"
    "wrong key 28P01\n"
    "unknown database 3D000\n"
    "no TLS 28000\n";

std::vector<client> clients(const std::filesystem::path& modules) {
    const std::string data = TEST_DATA;
    return {
        {"psql",
         {"bash", data + "/use_postgres.sh"},
         in_words + "cancelled ERROR:  57014\nidle FATAL:  57P05: terminating connection due to "
                    "idle-session timeout"},
        {"psycopg2",
         {"/usr/bin/python3", data + "/use_postgres.py", "psycopg2"},
         in_words + "cancelled 57014 and well\nidle "},
        {"psycopg",
         {"/usr/bin/python3", data + "/use_postgres.py", "psycopg"},
         in_words + "cancelled 57014 and well\nanswers True\nidle "},
        {"asyncpg",
         {"/usr/bin/python3", data + "/use_postgres.py", "asyncpg"},
         in_codes + "untrusted verify\ncancelled and well\nidle "},
        {"node-postgres",
         {"node", (modules / "use_postgres.mjs").string()},
         in_codes + "untrusted true\ncancelled 57014 and well\nidle 57P05\n"},
    };
}

}  // namespace

TEST_CASE("psql, psycopg2, psycopg, asyncpg and node-postgres find a PostgreSQL like any other") {
    const test::temporary_directory directory;
    const auto installed =
        test::run_program({"npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix",
                           directory.path().string(), "pg@8.16.3"},
                          {{"npm_config_cache", (directory / "cache").string()},
                           {"npm_config_update_notifier", "false"}});
    REQUIRE_MESSAGE(installed.status == 0, "npm cannot install node-postgres: ", installed.err);
    std::filesystem::copy_file(TEST_DATA "/use_postgres.mjs", directory / "use_postgres.mjs");
    const std::string stranger =
        bitdotio::open_tls_identity(directory / "stranger", "127.0.0.1").ca_file.string();

    bitdotio::local_server_options options;
    options.idle_session_timeout = 2s;
    test::test_server server(options);
    test::private_postgres_options like_ours;
    like_ours.tls = true;
    like_ours.settings = "idle_session_timeout = 2s\npassword_encryption = 'scram-sha-256'\n";
    like_ours.hba = "hostssl all all all scram-sha-256\n";
    test::private_postgres postgres(like_ours);
    postgres.run("CREATE ROLE somebody LOGIN PASSWORD '" + server.key().reveal() + "'");

    // All at once: most of their time is the idle session's.
    struct run {
        client what;
        bitdotio::database_name database{"local/none"};
        std::map<std::string, std::string> environment;
    };
    std::vector<run> runs;
    std::deque<test::child> ours;
    std::deque<test::child> theirs;
    for (const client& each : clients(directory.path())) {
        run one;
        one.what = each;
        one.database = server.create_database(each.name);
        postgres.run("CREATE DATABASE \"" + one.database.full() + "\"");
        one.environment = {{"PGHOST", "127.0.0.1"},
                           {"PGPORT", std::to_string(server.postgres_port())},
                           {"PGDATABASE", one.database.full()},
                           {"PGUSER", "somebody"},
                           {"PGPASSWORD", server.key().reveal()},
                           {"PGSSLMODE", "verify-full"},
                           {"PGSSLROOTCERT", server.ca_file()},
                           {"STRANGER", stranger}};
        runs.push_back(one);
    }
    for (const run& one : runs) {
        ours.emplace_back(one.what.words, one.environment);
        auto there = one.environment;
        there["PGPORT"] = std::to_string(postgres.port());
        there["PGSSLROOTCERT"] = postgres.ca_file();
        theirs.emplace_back(one.what.words, there);
    }
    for (std::size_t i = 0; i < runs.size(); ++i) {
        const run& one = runs[i];
        CAPTURE(one.what.name);
        std::string said = ours[i].read_until("now sleep");
        CAPTURE(said);
        CHECK(said.starts_with(one.what.expected));
        server.sleep(one.database);
        CHECK(server.is_asleep(one.database));
        const test::ending here = ours[i].wait();
        CHECK(here.err == "");
        CHECK(here.status == 0);
        CHECK(here.out.ends_with("now sleep\nwoken 42\n"));
        const test::ending there = theirs[i].wait();
        CHECK(here.out == there.out);
        CHECK(here.err == there.err);
    }
}
