// Files become tables: every format, every source, and nothing at all where something is wrong.
#include "server/formats/row_writer.hpp"
#include "server/jobs/job_record.hpp"
#include "support/child.hpp"
#include "support/job_calls.hpp"
#include "support/run.hpp"
#include "support/server_fixture.hpp"
#include "support/text.hpp"
#include "support/web_server.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>

#include <doctest/doctest.h>
#include <signal.h>
#include <sqlite3.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <future>
#include <iterator>
#include <mutex>
#include <set>
#include <sstream>
#include <thread>

using namespace bitdotio;
using namespace std::string_literals;
using test::check_failed;
using test::contents;
namespace json = boost::json;

namespace {

struct fixture : test::server_fixture {
    using server_fixture::server_fixture;

    std::string columns(const std::string& table) {
        return calls.rows(name,
                          "SELECT string_agg(column_name || ' ' || data_type, ', ' ORDER BY "
                          "ordinal_position) FROM information_schema.columns WHERE table_name = '" +
                              table + "'");
    }
};

// The processes of this program that read files.
std::set<int> readers() {
    std::set<int> found;
    for (const auto& each : std::filesystem::directory_iterator("/proc")) {
        const int pid = std::atoi(each.path().filename().c_str());
        if (pid == 0) continue;
        std::ifstream status(each.path() / "status");
        std::string text((std::istreambuf_iterator<char>(status)),
                         std::istreambuf_iterator<char>());
        if (text.find("Name:\timport-reader\n") != std::string::npos &&
            text.find("PPid:\t" + std::to_string(::getpid()) + "\n") != std::string::npos) {
            found.insert(pid);
        }
    }
    return found;
}

// A key of an account of its own.
std::string key_of(fixture& one, role what, const std::string& account) {
    const std::vector<database_name> databases{one.name};
    const auto made = test::run(one.server.server().create_account(account, what, databases));
    const auto answer = one.calls.call("POST", "/v2beta/service-account/" + made.id + "/api-key/");
    return json::value_to<std::string>(json::parse(answer.body).at("api_key"));
}

test::http_answer import_url(fixture& one, const std::string& url) {
    std::string escaped;
    for (const char c : url)
        escaped += c == ':' ? "%3A" : c == '/' ? "%2F" : std::string(1, c);
    return one.calls.call("POST", "/v2beta/db/" + one.name.full() + "/import",
                          "table_name=fetched&file_url=" + escaped,
                          "Content-Type: application/x-www-form-urlencoded\r\n");
}

}  // namespace

TEST_CASE("a CSV file becomes a table whose columns have the types of their values") {
    fixture one;
    const std::string content =
        "id,price,good,day,at,zoned,word,empty\n"
        "1,1.5,true,2024-05-06,2024-05-06 07:08:09,2024-05-06T07:08:09Z,\"a,\"\"b\"\"\n\\c\",\n"
        "2,,f,,2024-05-06,2024-05-06 07:08:09+02,,\n";
    const auto started = one.calls.import(one.name, "goods", "goods.csv", content);
    const json::value received = json::parse(started.body);
    CHECK(received.at("state") == "RECEIVED");
    CHECK(received.at("retries") == 0);
    for (const char* field : {"date_finished", "error_type", "error_id", "error_details"}) {
        CHECK(received.at(field).is_null());
    }
    const json::object job = one.calls.end(started);
    CAPTURE(json::serialize(job));
    CHECK(job.at("state") == "DONE");
    CHECK(job.at("id") == received.at("id"));
    CHECK(job.at("date_finished").is_string());
    CHECK(one.columns("goods") ==
          R"([["id bigint, price double precision, good boolean, day date, )"
          R"(at timestamp without time zone, zoned timestamp with time zone, word text, )"
          R"(empty text"]])");
    CHECK(one.calls.rows(one.name,
                         "SELECT word, zoned = '2024-05-06 05:08:09Z' FROM goods "
                         "ORDER BY id") == R"([["a,\"b\"\n\\c",false],[null,true]])");

    // The same file again adds rows; this key's user finds the status only by its id.
    CHECK(one.calls.imported(one.name, "goods", "goods.csv", content).at("state") == "DONE");
    CHECK(one.calls.rows(one.name, "SELECT count(*) FROM goods") == "[[4]]");
    CHECK(one.calls.call("GET", "/v2beta/import/unknown/").status == 404);
}

TEST_CASE("JSON, XLSX, XLS and SQLite files become tables") {
    fixture one;
    CHECK(one.calls
              .imported(one.name, "j", "j.json",
                        R"([{"n": 1, "o": {"k": [1, 2]}}, {"o": "x", "s": "2024-01-01"}])")
              .at("state") == "DONE");
    CHECK(one.columns("j") == R"([["n bigint, o jsonb, s date"]])");
    CHECK(one.calls.rows(one.name, "SELECT n, o, s FROM j ORDER BY n") ==
          R"([[1,{"k":[1,2]},null],[null,"x","2024-01-01"]])");

    const test::temporary_directory directory;
    const auto writer =
        make_xlsx_writer(directory / "x.xlsx", {{"n", oids::int4}, {"d", oids::date}});
    writer->write({"7", "2024-02-29"});
    writer->finish();
    const std::string book = contents(directory / "x.xlsx");
    CHECK(one.calls.imported(one.name, "x", "x", book).at("state") == "DONE");
    CHECK(one.calls.rows(one.name, "SELECT * FROM x") == R"([[7,"2024-02-29"]])");

    const std::string old_book = contents(TEST_DATA "/people.xls");
    CHECK(one.calls.imported(one.name, "people", "people", old_book).at("state") == "DONE");
    CHECK(one.calls.rows(one.name, "SELECT name, age, born FROM people WHERE height > 1") ==
          R"([["Alice",45,"1979-03-14"]])");

    sqlite3* made = nullptr;
    REQUIRE(sqlite3_open((directory / "s.db").c_str(), &made) == SQLITE_OK);
    REQUIRE(sqlite3_exec(made,
                         "CREATE TABLE a(i, t); INSERT INTO a VALUES (1, 'x'), (2, NULL);"
                         "CREATE TABLE b(f); INSERT INTO b VALUES (1.5)",
                         nullptr, nullptr, nullptr) == SQLITE_OK);
    sqlite3_close(made);
    const std::string file = contents(directory / "s.db");
    CHECK(one.calls.imported(one.name, "s", "s.db", file).at("state") == "DONE");
    CHECK(one.calls.rows(one.name, "SELECT i, t, f FROM s_a, s_b ORDER BY i") ==
          R"([[1,"x",1.5E0],[2,null,1.5E0]])");
}

TEST_CASE("a value that does not fit its column late in the file widens the column") {
    fixture one;
    std::string content = "n\n";
    for (int i = 0; i < 2'000; ++i)
        content += std::to_string(i) + "\n";
    const json::object job = one.calls.imported(one.name, "wide", "n.csv", content + "x\n");
    CHECK(job.at("state") == "DONE");
    CHECK(job.at("retries") == 1);
    CHECK(one.columns("wide") == R"([["n text"]])");
    CHECK(one.calls.rows(one.name, "SELECT count(*) FROM wide") == "[[2001]]");
}

TEST_CASE("an import that fails says why and leaves nothing behind") {
    fixture one;
    one.calls.rows(one.name, "CREATE TABLE t (a integer PRIMARY KEY, b text)");
    check_failed(one.calls.imported(one.name, "t", "t.csv", "a,b\n1,x\n1,y\n"), "database_error",
                 "23505");
    check_failed(one.calls.imported(one.name, "t", "t.csv", "a,b\n1,x\nz,y\n"), "database_error",
                 "COPY t, line 2, column a");
    check_failed(one.calls.imported(one.name, "t", "t.csv", "a,c\n1,x\n"), "column_mismatch",
                 "no column \"c\"");
    check_failed(one.calls.imported(one.name, "t", "t.csv", "1\n", {{"infer_header", "no_header"}}),
                 "column_mismatch", "1 columns");
    CHECK(one.calls.rows(one.name, "SELECT count(*) FROM t") == "[[0]]");

    std::string late = "a,b\n";
    for (int i = 0; i < 50'000; ++i)
        late += std::to_string(i) + ",x\n";
    check_failed(one.calls.imported(one.name, "new", "t.csv", late + "1,2,3\n"), "invalid_file",
                 "line 50002 has 3 fields");
    check_failed(one.calls.imported(one.name, "new", "t.csv", "a\n\xff\n"), "invalid_file",
                 "line 2 is not UTF-8");
    check_failed(one.calls.imported(one.name, "new", "t.json", "[{]"), "invalid_file", "object 1");
    check_failed(one.calls.imported(one.name, "new", "t.csv", ""), "invalid_file", "empty");
    check_failed(one.calls.imported(one.name, "new", "t.csv", "a\n1\n", {{"schema_name", "none"}}),
                 "database_error", "3F000");
    CHECK(one.columns("new") == "[[null]]");
}

TEST_CASE("a request that is no import is refused before its file is read") {
    local_server_options options;
    options.largest_import = 1'000;
    fixture one(options);
    const std::string target = "/v2beta/db/" + one.name.full() + "/import/";
    const std::string type = "Content-Type: multipart/form-data; boundary=B\r\n";
    CHECK(test::https(one.server.api_port(), one.server.ca_file(),
                      "POST " + target + " HTTP/1.1\r\nHost: x\r\n" + type +
                          "Content-Length: 1000000000\r\n\r\n")
              .status == 401);
    CHECK(one.calls.import({"local/other"}, "t", "t.csv", "a\n").status == 404);
    CHECK(one.calls.call("PUT", target).status == 405);
    CHECK(one.calls.call("POST", target, "{}", "Content-Type: application/json\r\n").status == 400);
    CHECK(one.calls.call("POST", target, "--B\r\n", type).status == 400);
    CHECK(one.calls.import(one.name, "", "t.csv", "a\n").status == 422);
    CHECK(one.calls.import(one.name, "t", "t.csv", "a\n", {{"infer_header", "x"}}).status == 422);
    CHECK(one.calls.import(one.name, "t", "t.csv", "a\n", {{"file_url", "http://x"}}).status ==
          422);
    for (const char* address : {"ftp://host/t.csv", "file:///etc/passwd", "http://", "host/t.csv",
                                "http://joe:secret@host/t.csv", "http://host:0/"}) {
        CAPTURE(address);
        const auto refused = import_url(one, address);
        CHECK(refused.status == 422);
        CHECK(refused.body.find("secret") == std::string::npos);
        CHECK(json::parse(refused.body).at("detail").at(0).at("loc") ==
              json::parse(R"(["body", "file_url"])"));
    }
    const auto large = one.calls.import(one.name, "t", "t.csv", std::string(300'000, 'x'));
    CHECK(large.status == 413);
    CHECK(json::parse(large.body).at("message").as_string().starts_with("the file is longer"));
    CHECK(one.calls.import(one.name, "t", "t.csv", std::string(500, 'x')).status == 201);
}

TEST_CASE("a server that stops in the middle of an upload leaves nothing of it") {
    const test::temporary_directory place;
    local_server_options options;
    options.data_directory = place.path();
    options.stop_grace = std::chrono::milliseconds(10);
    fixture one(options);
    const auto uploads = [&] {
        std::size_t found = 0;
        for (const auto& each : std::filesystem::directory_iterator(place.path() / "jobs")) {
            found += each.path().extension() == ".data";
        }
        return found;
    };
    std::string begun = test::job_calls::form("t", "t.csv", std::string(1'000'000, 'x'));
    begun.resize(600'000);
    auto upload = std::async(std::launch::async, [&] {
        // It is cut off, and never answered.
        CHECK_THROWS(test::https(
            one.server.api_port(), one.server.ca_file(),
            "POST /v2beta/db/" + one.name.full() + "/import/ HTTP/1.1\r\nHost: x\r\n" +
                test::job_calls::form_headers + "Authorization: Bearer " +
                one.server.key().reveal() + "\r\nContent-Length: 1000000\r\n\r\n" + begun));
    });
    const auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(30);
    while (uploads() == 0 && std::chrono::steady_clock::now() < limit) {
        std::this_thread::yield();
    }
    CHECK(uploads() == 1);
    one.server.stop();
    CHECK(uploads() == 0);
    upload.get();
}

TEST_CASE("a file is fetched from an address, through redirects, within limits") {
    std::string base;
    const test::web_server web([&](const std::string& line) {
        const auto asks = [&](const char* path) { return line.starts_with("GET "s + path + " "); };
        if (asks("/first")) return test::web_redirect("sub/second");
        if (asks("/sub/second")) return test::web_redirect("/people.csv?x=y");
        if (asks("/people.csv?x=y")) return test::web_file("name,age\nAlice,45\n");
        if (asks("/round")) return test::web_redirect("/round");
        if (asks("/file")) return test::web_redirect("file:///etc/passwd");
        if (asks("/cut")) return "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\na\n1\n"s;
        if (asks("/large")) return test::web_file(std::string(2'000, 'x'));
        if (asks("/endless")) return "HTTP/1.1 200 OK\r\n\r\n" + std::string(300'000, 'x');
        return "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"s;
    });
    local_server_options options;
    options.allow_private_urls = true;
    options.largest_import = 1'000;
    fixture one(options);
    const auto fetched = [&](const std::string& url) {
        return one.calls.end(import_url(one, url));
    };
    CHECK(fetched(web.url("/first")).at("state") == "DONE");
    CHECK(one.calls.rows(one.name, "SELECT * FROM fetched") == R"([["Alice",45]])");
    check_failed(fetched(web.url("/missing")), "download_failed", "status 404");
    check_failed(fetched(web.url("/round")), "download_failed", "more than 5 times");
    check_failed(fetched(web.url("/file")), "download_failed", "http://");
    check_failed(fetched(web.url("/cut")), "download_failed", "breaks off");
    check_failed(fetched(web.url("/large")), "too_large", "1000 bytes");
    check_failed(fetched(web.url("/endless")), "too_large", "1000 bytes");
    CHECK(import_url(one, "gopher://x").status == 422);
}

TEST_CASE("a private address is not fetched from, and told from an unknown name in the log only") {
    int asked = 0;
    std::mutex guard;
    std::string logged;
    const test::web_server web([&](const std::string&) {
        ++asked;
        return test::web_file("a\n1\n");
    });
    local_server_options options;
    options.log = [&](const server_event& event) {
        const std::lock_guard held(guard);
        logged += event.json() + "\n";
    };
    fixture one(options);
    std::string localhost = web.url("/");
    localhost.replace(localhost.find("127.0.0.1"), 9, "localhost");
    std::string number = web.url("/");
    number.replace(number.find("127.0.0.1"), 9, "2130706433");
    std::string mapped = web.url("/");
    mapped.replace(mapped.find("127.0.0.1"), 9, "[::ffff:127.0.0.1]");
    const auto words_for = [&](const std::string& url, const std::string& host) {
        const json::object ended = one.calls.end(import_url(one, url));
        check_failed(ended, "download_failed", "addresses of the public internet");
        std::string words(ended.at("error_details").at("message").as_string());
        const std::size_t named = words.find(host);
        REQUIRE(named != std::string::npos);
        return words.erase(named, host.size());
    };
    const std::string unknown = words_for("http://nowhere.invalid/x.csv", "nowhere.invalid");
    CHECK(words_for(web.url("/"), "127.0.0.1") == unknown);
    CHECK(words_for(localhost, "localhost") == unknown);
    CHECK(words_for(number, "2130706433") == unknown);
    CHECK(words_for(mapped, "::ffff:127.0.0.1") == unknown);
    CHECK(asked == 0);
    const std::lock_guard held(guard);
    CHECK(logged.find("\"job_refused\"") != std::string::npos);
    CHECK(logged.find("2130706433: it is 127.0.0.1") != std::string::npos);
}

TEST_CASE("after a crash jobs under way have failed, and those that waited are done") {
    const test::temporary_directory directory;
    local_server_options options;
    options.data_directory = directory / "data";
    const std::filesystem::path place = options.data_directory / "jobs";
    job_record record;
    std::string database;
    {
        fixture before(options);
        database = before.name.full();
        const json::object job = before.calls.imported(before.name, "t", "t.csv", "a\n1\n");
        record = job_record::from_json(
            contents(place / (std::string(job.at("id").as_string()) + ".json")));
    }
    // A crash would have left the record like this.
    record.date_finished.reset();
    record.state = job_state::processing;
    std::ofstream(place / (record.id + ".json")) << record.to_json();
    const std::string under_way = record.id;
    record.id = "11111111-1111-4111-8111-111111111111";
    record.state = job_state::received;
    std::ofstream(place / (record.id + ".json")) << record.to_json();
    std::ofstream(place / (record.id + ".data")) << "a\n2\n";
    std::ofstream(place / "22222222-2222-4222-8222-222222222222.data") << "half an upload";

    test::test_server after(options);
    test::job_calls calls(after);
    const auto state = [&](const std::string& id) {
        test::http_answer started;
        started.status = 201;
        started.body = R"({"status_url": "https://x/v2beta/import/)" + id + "\"}";
        return calls.end(started);
    };
    check_failed(state(under_way), "interrupted", "start it again");
    CHECK(state(record.id).at("state") == "DONE");
    CHECK(calls.rows({database}, "SELECT a FROM t ORDER BY a") == "[[1],[2]]");
    std::size_t files = 0;
    for (const auto& each : std::filesystem::directory_iterator(place)) {
        files += each.path().extension() == ".data";
    }
    CHECK(files == 0);
}

TEST_CASE("a job may what its account may: readers export, writers fill tables that are there") {
    fixture one;
    one.calls.rows(one.name, "CREATE TABLE t (a integer)");
    const auto calls_as = [&](role what, const std::string& account) {
        return test::job_calls(one.server, key_of(one, what, account));
    };
    auto reader = calls_as(role::reader, "reads");
    auto writer = calls_as(role::writer, "writes");
    auto admin = calls_as(role::admin, "rules");
    const json::object table{{"table_name", "t"}, {"export_format", "csv"}};

    const auto refused = reader.import(one.name, "t", "t.csv", "a\n1\n");
    CHECK(refused.status == 403);
    CHECK(refused.body.find("a READER may not import") != std::string::npos);
    CHECK(reader.exported(one.name, table).at("state") == "DONE");

    const auto filled = writer.import(one.name, "t", "t.csv", "a\n1\n");
    CHECK(writer.end(filled).at("state") == "DONE");
    check_failed(writer.imported(one.name, "new", "t.csv", "a\n1\n"), "database_error", "42501");
    CHECK(writer.exported(one.name, table).at("state") == "DONE");
    CHECK(admin.imported(one.name, "new", "t.csv", "a\n1\n").at("state") == "DONE");
    CHECK(one.calls.rows(one.name, "SELECT tableowner FROM pg_tables WHERE tablename = 'new'") ==
          R"([["owner"]])");
    CHECK(one.calls.rows(one.name, "SELECT a FROM t") == "[[1]]");

    // Only the account that started a job can see it; the owner of the database cannot.
    const std::string path =
        "/v2beta/import/" + json::value_to<std::string>(json::parse(filled.body).at("id"));
    CHECK(writer.call("GET", path).status == 200);
    for (test::job_calls* other : {&reader, &admin, &one.calls}) {
        CHECK(other->call("GET", path).status == 404);
    }
}

TEST_CASE("an import fails where the storage limit is, before it or on the way") {
    fixture one;
    const auto limit = [&](std::int64_t more) {
        const std::string path = "/v2beta/db/" + one.name.full();
        const std::int64_t used = json::parse(one.calls.call("GET", path).body)
                                      .at("storage_usage_bytes")
                                      .to_number<std::int64_t>();
        const json::object wish{{"storage_limit_bytes", used + more}};
        CHECK(one.calls.call("PATCH", path, json::serialize(wish)).status == 200);
    };
    std::string rows = "a\n";
    for (int i = 0; i < 3'000; ++i)
        rows += std::string(1'000, 'x') + "\n";
    one.calls.rows(one.name, "CREATE TABLE old (a text)");
    // Measured while there was room, not again while so short a job runs, but at its end.
    limit(1'000'000);
    check_failed(one.calls.imported(one.name, "new", "t.csv", rows), "storage_limit_exceeded",
                 "read-only");
    check_failed(one.calls.imported(one.name, "old", "t.csv", rows), "storage_limit_exceeded",
                 "read-only");
    CHECK(one.columns("new") == "[[null]]");
    CHECK(one.calls.rows(one.name, "SELECT count(*) FROM old") == "[[0]]");
    limit(100'000'000);
    CHECK(one.calls.imported(one.name, "new", "t.csv", rows).at("state") == "DONE");
    limit(-1);
    check_failed(one.calls.imported(one.name, "new", "t.csv", "a\n1\n"), "storage_limit_exceeded",
                 "read-only");
    CHECK(one.calls.rows(one.name, "SELECT count(*) FROM new") == "[[3000]]");
    // An export, which only reads, works nevertheless.
    const json::object whole{{"table_name", "new"}, {"export_format", "csv"}};
    CHECK(one.calls.exported(one.name, whole).at("state") == "DONE");
}

TEST_CASE("a session that grows past the limit ends an import that is under way") {
    local_server_options options;
    options.storage_check_interval = std::chrono::milliseconds(20);
    fixture one(options);
    const std::string path = "/v2beta/db/" + one.name.full();
    const std::int64_t used = json::parse(one.calls.call("GET", path).body)
                                  .at("storage_usage_bytes")
                                  .to_number<std::int64_t>();
    const json::object wish{{"storage_limit_bytes", used + 1'000'000}};
    CHECK(one.calls.call("PATCH", path, json::serialize(wish)).status == 200);
    std::string rows = "a\n";
    for (int i = 0; i < 60'000; ++i)
        rows += std::string(1'000, 'x') + "\n";
    check_failed(one.calls.imported(one.name, "new", "t.csv", rows), "storage_limit_exceeded",
                 "read-only");
    CHECK(one.columns("new") == "[[null]]");
}

TEST_CASE("a file that ends its reader, or would fill the memory, ends its own import alone") {
    fixture one;
    check_failed(one.calls.imported(one.name, "d", "d.xls", contents(TEST_DATA "/damaged-1.xls")),
                 "invalid_file", "");
    const std::string wide = contents(TEST_DATA "/wide-row.sqlite");
    CHECK(one.calls.imported(one.name, "w", "w.db", wide).at("state") == "DONE");
    CHECK(one.columns("w") == R"([["a bigint"]])");
    const std::string half(33 * 1024 * 1024, 'x');
    check_failed(one.calls.imported(one.name, "r", "r.csv", half + "," + half + "\n"),
                 "invalid_file", "line 1 begins a row of more than 64 MiB");
    CHECK(one.calls.imported(one.name, "t", "t.csv", "a\n1\n").at("state") == "DONE");
    CHECK(readers().empty());
}

TEST_CASE("readers that hang leave a place to other accounts, and do not keep the server running") {
    fixture one;
    std::string rows = "n,t\n";
    for (int i = 0; i < 1'000'000; ++i)
        rows += std::to_string(i) + ",x\n";
    std::set<int> halted;
    for (const char* table : {"first", "second"}) {
        CHECK(one.calls.import(one.name, table, "n.csv", rows).status == 201);
        const std::size_t before = halted.size();
        const auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(30);
        while (halted.size() == before && std::chrono::steady_clock::now() < limit) {
            for (const int pid : readers()) {
                if (halted.insert(pid).second) ::kill(pid, SIGSTOP);
            }
        }
    }
    REQUIRE(halted.size() == 2);
    // The third place is not for this account, and for any other.
    const auto third = one.calls.import(one.name, "third", "t.csv", "a\n1\n");
    test::job_calls other(one.server, key_of(one, role::admin, "other"));
    CHECK(other.imported(one.name, "others", "t.csv", "a\n1\n").at("state") == "DONE");
    const std::string path =
        "/v2beta/import/" + json::value_to<std::string>(json::parse(third.body).at("id"));
    CHECK(json::parse(one.calls.call("GET", path).body).at("state") == "RECEIVED");
    const auto begin = std::chrono::steady_clock::now();
    one.server.stop();
    CHECK(std::chrono::steady_clock::now() - begin < std::chrono::seconds(30));
    CHECK(readers().empty());
}

TEST_CASE("an address that never answers keeps no other job waiting; too many jobs are refused") {
    namespace asio = boost::asio;
    asio::io_context io;
    // Connections are made, and nobody takes them.
    asio::ip::tcp::acceptor silent(io, {asio::ip::make_address("127.0.0.1"), 0});
    const std::string url =
        "http://127.0.0.1:" + std::to_string(silent.local_endpoint().port()) + "/x.csv";
    local_server_options options;
    options.allow_private_urls = true;
    options.calls_per_second = 0;
    fixture one(options);
    for (int i = 0; i < 5; ++i)
        CHECK(import_url(one, url).status == 201);
    CHECK(one.calls.imported(one.name, "t", "t.csv", "a\n1\n").at("state") == "DONE");
    for (int i = 5; i < 50; ++i)
        CHECK(import_url(one, url).status == 201);
    const auto refused = import_url(one, url);
    CHECK(refused.status == 429);
    CHECK(refused.body.find("50 imports and exports of this account") != std::string::npos);
    CHECK(one.calls.export_(one.name, {{"table_name", "t"}, {"export_format", "csv"}}).status ==
          429);
    test::job_calls other(one.server, key_of(one, role::admin, "other"));
    CHECK(other.imported(one.name, "u", "t.csv", "a\n1\n").at("state") == "DONE");
}

TEST_CASE("what came in under odd names goes out as CSV, and comes in again the same") {
    fixture one;
    const std::string content =
        ",xmin,2020,x,x,d\n0,1,1.5,a,b,12345678901234567.89\n1,2,2,c,d,0.5\n";
    CHECK(one.calls.imported(one.name, "t", "t.csv", content).at("state") == "DONE");
    const std::string columns =
        R"([["column_1 bigint, xmin_1 bigint, 2020 double precision, x text, x_2 text, )"
        R"(d numeric"]])";
    CHECK(one.columns("t") == columns);
    const json::object job =
        one.calls.exported(one.name, {{"table_name", "t"}, {"export_format", "csv"}});
    const std::string exported = one.calls.download(job).body;
    CHECK(exported ==
          "column_1,xmin_1,2020,x,x_2,d\n0,1,1.5,a,b,12345678901234567.89\n"
          "1,2,2,c,d,0.5\n");
    CHECK(one.calls.imported(one.name, "u", "u.csv", exported).at("state") == "DONE");
    CHECK(one.columns("u") == columns);
    CHECK(one.calls.rows(one.name, "SELECT d::text FROM u ORDER BY column_1") ==
          R"([["12345678901234567.89"],["0.5"]])");
}

TEST_CASE("tables of a file whose long names begin alike do not become one") {
    fixture one;
    const test::temporary_directory directory;
    const std::string name(70, 'x');
    sqlite3* made = nullptr;
    REQUIRE(sqlite3_open((directory / "s.db").c_str(), &made) == SQLITE_OK);
    const std::string sql = "CREATE TABLE " + name + "a(i); CREATE TABLE " + name +
                            "b(i); INSERT INTO " + name + "b VALUES (1)";
    REQUIRE(sqlite3_exec(made, sql.c_str(), nullptr, nullptr, nullptr) == SQLITE_OK);
    sqlite3_close(made);
    const std::string file = contents(directory / "s.db");
    CHECK(one.calls.imported(one.name, "l", "s.db", file).at("state") == "DONE");
    CHECK(one.calls.rows(one.name,
                         "SELECT length(tablename) FROM pg_tables WHERE tablename LIKE 'l_xxx%' "
                         "ORDER BY tablename LIKE '%_2'") == "[[63],[63]]");
}
