// What users can make the server's disk hold: databases over their limit, logs, files and records.
#include "support/api_calls.hpp"
#include "support/child.hpp"
#include "support/job_calls.hpp"
#include "support/test_server.hpp"

#include <doctest/doctest.h>
#include <boost/json.hpp>

#include <signal.h>
#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <future>
#include <mutex>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

using namespace bitdotio;
using namespace std::chrono_literals;
using namespace std::string_literals;
namespace fs = std::filesystem;
namespace json = boost::json;

namespace {

constexpr std::int64_t mebibyte = 1 << 20;

struct full_database {
    explicit full_database(local_server_options options = {})
        : server(options),
          call(server, server.key().reveal()),
          name(server.create_database("full").full()) {}

    void run(const std::string& sql) {
        const test::http_answer answer = call.query(name, sql);
        CAPTURE(answer.body);
        REQUIRE(answer.status == 200);
    }
    std::int64_t used() const {
        return test::body_of(call("GET", "/db/" + name)).at("storage_usage_bytes").as_int64();
    }
    void limit(std::int64_t bytes) const {
        const json::object wish{{"storage_limit_bytes", bytes}};
        REQUIRE(call("PATCH", "/db/" + name, json::serialize(wish)).status == 200);
    }

    test::test_server server;
    test::api_calls call;
    std::string name;
};

// Tables, and a function that inserts so many rows of a kilobyte.
const char* const tables =
    "CREATE TABLE t (n int); INSERT INTO t SELECT generate_series(1, 1000); "
    "CREATE TABLE sink (x text); "
    "CREATE FUNCTION grow(rows int) RETURNS bool LANGUAGE plpgsql AS $$ BEGIN "
    "INSERT INTO sink SELECT repeat('x', 1000) FROM generate_series(1, rows); RETURN true; END $$";

std::string content_of(const fs::path& file) {
    std::stringstream text;
    text << std::ifstream(file, std::ios::binary).rdbuf();
    return text.str();
}

json::object csv_of(const std::string& query) {
    return {{"export_format", "csv"}, {"file_name", "x"}, {"query_string", query}};
}

pid_t postmaster_of(const fs::path& data) {
    for (const auto& each : fs::recursive_directory_iterator(data / "postgres")) {
        if (each.path().filename() == "postmaster.pid") return std::stoi(content_of(each.path()));
    }
    throw std::runtime_error("no PostgreSQL runs below " + data.string());
}

// A process that stands still.
class stopped {
public:
    explicit stopped(pid_t process) : process_(process) { ::kill(process_, SIGSTOP); }
    ~stopped() { ::kill(process_, SIGCONT); }
    stopped(const stopped&) = delete;
    stopped& operator=(const stopped&) = delete;

private:
    const pid_t process_;
};

std::string target_of(const json::object& job) {
    const std::string url(job.at("status_url").as_string());
    return url.substr(url.find("/v2beta/"));
}

}  // namespace

TEST_CASE("what frees space and writes instead is undone, and what frees space goes on") {
    full_database one;
    one.run(tables);
    one.limit(1);
    const std::int64_t before = one.used();
    for (int i = 0; i < 3; ++i) {
        const auto refused = one.call.query(one.name, "DELETE FROM t WHERE n = 1 AND grow(40000)");
        CAPTURE(refused.body);
        CHECK(refused.status == 403);
        CHECK(test::body_of(refused).at("error").at("type") == "storage_limit_exceeded");
        CHECK(test::field_of(refused, "help").find("undone") != std::string::npos);
        // It was vacuumed at once.
        CHECK(one.used() <= before + mebibyte);
    }
    CHECK(one.call.query(one.name, "SELECT count(*) FROM t").body.find("1000") !=
          std::string::npos);
    one.run("DELETE FROM t WHERE n = 1");
    one.run("VACUUM FULL t");
    one.run("DROP FUNCTION grow");
    one.run("TRUNCATE t");
    one.limit(1'000'000'000);
    one.run("INSERT INTO t VALUES (1)");
}

TEST_CASE("what wrote too much is undone even if it ends before its session is ended") {
    const test::temporary_directory directory;
    local_server_options options;
    options.data_directory = directory / "data";
    full_database one(options);
    one.run(tables);
    one.run(
        "CREATE FUNCTION grow_later() RETURNS bool LANGUAGE plpgsql AS $$ BEGIN "
        "PERFORM pg_advisory_xact_lock(7); PERFORM pg_sleep(0.5); PERFORM grow(40000); "
        "PERFORM pg_sleep(1); RETURN true; END $$");
    one.limit(1);
    const std::int64_t before = one.used();
    auto statement = std::async(std::launch::async, [&] {
        return one.call.query(one.name, "DELETE FROM t WHERE n = 1 AND grow_later()");
    });
    const std::string has_begun =
        "SELECT pg_sleep(0.01) FROM pg_locks WHERE locktype = 'advisory' AND granted";
    while (statement.wait_for(0s) == std::future_status::timeout &&
           one.call.query(one.name, has_begun).body.find("[[") == std::string::npos) {
    }
    // Whoever is to end the session can open none of its own meanwhile.
    {
        const stopped postgres(postmaster_of(options.data_directory));
        statement.wait_for(3s);
    }
    const test::http_answer refused = statement.get();
    CAPTURE(refused.body);
    CHECK(refused.status == 403);
    CHECK(test::field_of(refused, "help").find("undone") != std::string::npos);
    CHECK(one.used() <= before + mebibyte);
    one.run("DELETE FROM t WHERE n = 1");
}

TEST_CASE("a deferred trigger that writes is measured before the commit") {
    full_database one;
    one.run(tables);
    one.run(
        "CREATE FUNCTION late() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "PERFORM grow(40000); RETURN NULL; END $$; "
        "CREATE CONSTRAINT TRIGGER late AFTER DELETE ON t DEFERRABLE INITIALLY DEFERRED "
        "FOR EACH ROW EXECUTE FUNCTION late()");
    one.limit(1);
    const std::int64_t before = one.used();
    CHECK(one.call.query(one.name, "DELETE FROM t WHERE n = 2").status == 403);
    CHECK(one.used() <= before + mebibyte);
    CHECK(one.call.query(one.name, "SELECT n FROM t WHERE n = 2").body.find("[[2]]") !=
          std::string::npos);
}

TEST_CASE("many statements that each write a little come to a bound together, and DROP is left") {
    full_database one;
    one.run(tables);
    one.limit(1);
    const std::int64_t before = one.used();
    int taken = 0;
    test::http_answer last;
    for (int i = 0; i < 60; ++i) {
        last = one.call.query(
            one.name, "DELETE FROM t WHERE n = " + std::to_string(i + 1) + " AND grow(1500)");
        if (last.status != 200) break;
        ++taken;
    }
    CAPTURE(last.body);
    CHECK(last.status == 403);
    CHECK(taken > 5);
    CHECK(one.used() <= before + 34 * mebibyte);
    one.run("DROP TABLE sink");
    one.run("DELETE FROM t WHERE n = 100");
}

TEST_CASE("a log that a session floods stays within its bound, and temporary files do too") {
    const test::temporary_directory directory;
    local_server_options options;
    options.data_directory = directory / "data";
    options.largest_temporary_files = mebibyte;
    full_database one(options);
    one.run(
        "DO $$ BEGIN FOR i IN 1..20000 LOOP RAISE LOG '%', repeat('x', 1000); END LOOP; END $$");
    std::uintmax_t sum = 0;
    int files = 0;
    for (const auto& each : fs::recursive_directory_iterator(options.data_directory / "postgres")) {
        if (each.path().filename().string().starts_with("postgres.log")) {
            ++files;
            sum += each.file_size();
        }
    }
    CHECK(files > 0);
    CHECK(sum > 0);
    CHECK(sum <= 2 * mebibyte);

    const auto sorted = one.call.query(one.name,
                                       "SELECT count(*) FROM (SELECT repeat(md5(i::text), 10) AS x "
                                       "FROM generate_series(1, 50000) i ORDER BY 1) s");
    CAPTURE(sorted.body);
    CHECK(test::body_of(sorted).at("error").at("type") == "53400");
    CHECK(one.call.query(one.name, "SET temp_file_limit TO -1").body.find("42501") !=
          std::string::npos);
}

TEST_CASE("exported files and the jobs of an account have their limits, the oldest go first") {
    const test::temporary_directory directory;
    local_server_options options;
    options.data_directory = directory / "data";
    options.largest_export = 3'000;
    options.exports_of_account = 5'000;
    options.uploads_of_account = 1'000;
    test::test_server server(options);
    test::job_calls calls(server);
    const database_name name = server.create_database("db");
    const std::string rows = "SELECT repeat('x', 99) FROM generate_series(1, ";

    const json::object long_one = calls.exported(name, csv_of(rows + "100)"));
    CAPTURE(json::serialize(long_one));
    CHECK(long_one.at("state") == "FAILED");
    CHECK(long_one.at("error_type") == "too_large");

    std::vector<json::object> kept;
    for (int i = 0; i < 3; ++i) {
        kept.push_back(calls.exported(name, csv_of(rows + "20) -- a secret of mine")));
        CHECK(kept.back().at("state") == "DONE");
    }
    CHECK(calls.call("GET", target_of(kept[0])).status == 404);
    CHECK(calls.download(kept[1]).status == 200);
    CHECK(calls.download(kept[2]).status == 200);
    int records = 0;
    std::uintmax_t bytes = 0;
    for (const auto& each : fs::directory_iterator(options.data_directory / "jobs")) {
        if (each.path().extension() == ".json") {
            ++records;
            CHECK(content_of(each.path()).find("secret") == std::string::npos);
        } else {
            bytes += each.file_size();
        }
    }
    CHECK(records == 3);
    CHECK(bytes <= 5'000);

    const auto upload = calls.import(name, "t", "t.csv", "a\n" + std::string(3'000, '1'));
    CHECK(upload.status == 507);
    CHECK(upload.body.find("1000 bytes together") != std::string::npos);
    CHECK(calls.imported(name, "t", "t.csv", "a\n1\n").at("state") == "DONE");
    CHECK(calls.imported(name, "t", "t.csv", "a\n2\n").at("state") == "DONE");
}

TEST_CASE("an account's oldest job gives way to a further one") {
    local_server_options options;
    options.jobs_of_account = 2;
    test::test_server server(options);
    test::job_calls calls(server);
    const database_name name = server.create_database("db");
    std::vector<json::object> jobs;
    for (int i = 0; i < 3; ++i) {
        jobs.push_back(calls.exported(name, csv_of("SELECT 1")));
    }
    CHECK(calls.call("GET", target_of(jobs[0])).status == 404);
    CHECK(calls.call("GET", target_of(jobs[1])).status == 200);
    CHECK(calls.call("GET", target_of(jobs[2])).status == 200);
}

TEST_CASE("a disk with less free than its reserve takes no new work, and databases go on") {
    const test::temporary_directory directory;
    local_server_options options;
    options.data_directory = directory / "data";
    {
        full_database before(options);
        before.server.stop();
    }
    options.disk_reserve = std::uint64_t{1} << 62;
    test::test_server server(options);
    test::job_calls calls(server);
    const database_name name("local/full");
    CHECK(calls.rows(name, "SELECT 1") == "[[1]]");
    CHECK(calls.import(name, "t", "t.csv", "a\n1\n").status == 507);
    CHECK(calls.export_(name, csv_of("SELECT 1")).status == 507);
    const auto made = calls.call("POST", "/v2beta/db/", R"({"name": "more"})");
    CHECK(made.status == 507);
    CHECK(made.body.find("nearly full") != std::string::npos);
    CHECK(calls.call("GET", "/metrics")
              .body.find("bitdotio_disk_reserve_bytes 4611686018427387904") != std::string::npos);
    CHECK(calls.call("GET", "/server/status").body.find("\"reserve_bytes\":4611686018427387904") !=
          std::string::npos);
}

TEST_CASE("a failure of the server's own tells its caller an id, and its log the details") {
    const test::temporary_directory directory;
    std::mutex guard;
    std::string logged;
    local_server_options options;
    options.data_directory = directory / "data";
    options.log = [&](const server_event& event) {
        const std::lock_guard held(guard);
        logged += event.json() + "\n";
    };
    test::test_server server(options);
    test::job_calls calls(server);
    const database_name name = server.create_database("db");
    fs::rename(options.data_directory / "jobs", options.data_directory / "elsewhere");
    const auto failed = calls.export_(name, csv_of("SELECT 1"));
    fs::rename(options.data_directory / "elsewhere", options.data_directory / "jobs");
    CAPTURE(failed.body);
    CHECK(failed.status == 500);
    CHECK(failed.body.find(directory.path().string()) == std::string::npos);
    const std::string id(json::parse(failed.body).at("error_id").as_string());
    CHECK(failed.body.find("beside the id " + id) != std::string::npos);
    const std::lock_guard held(guard);
    const std::size_t line = logged.find("\"error_id\":\"" + id);
    REQUIRE(line != std::string::npos);
    const std::string about = logged.substr(logged.rfind('\n', line) + 1);
    CHECK(about.find((options.data_directory / "jobs").string()) < about.find('\n'));
}
