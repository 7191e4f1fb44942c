// Tables and queries become files that other programs can read, and their links open nothing else.
#include "server/formats/table_reader.hpp"
#include "support/child.hpp"
#include "support/job_calls.hpp"
#include "support/server_fixture.hpp"

#include <doctest/doctest.h>

#include <fstream>

using namespace bitdotio;
using namespace std::string_literals;
using test::check_failed;
namespace json = boost::json;

namespace {

struct fixture : test::server_fixture {
    using server_fixture::server_fixture;

    // Runs an export to its end.
    json::object of(const std::string& query, const std::string& format) {
        return calls.exported(name, {{"query_string", query}, {"export_format", format}});
    }
};

fixture& shared() {
    static fixture one;
    return one;
}

bool has_header(const test::http_answer& answer, const std::string& line) {
    CAPTURE(answer.head);
    return (answer.head + "\r\n").find("\r\n" + line + "\r\n") != std::string::npos;
}

constexpr const char* every_type =
    "SELECT 1::int2 AS small, 2::int4 AS four, 9007199254740993::int8 AS eight, "
    "0.1::float4 AS f, -1e300::float8 AS d, true AS b, 12345678901234567890.1::numeric AS n, "
    "E'a \"q\"\\n\\t\\\\ \\u00e4'::text AS t, '2024-02-29'::date AS day, "
    "'2024-05-06 07:08:09.123456'::timestamp AS ts, "
    "'2024-05-06 07:08:09.123456+02'::timestamptz AS tz, '{\"k\": [1]}'::jsonb AS j, "
    "'\\x00ff'::bytea AS raw "
    "UNION ALL SELECT NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, "
    "NULL";

}  // namespace

TEST_CASE("a table is exported as CSV, under the name and with the type it should have") {
    fixture& one = shared();
    one.calls.rows(one.name, "CREATE TABLE \"my table\" AS SELECT 1 AS a, 'x,\"y\"' AS \"B c\"");
    const json::object wish{
        {"table_name", "my table"}, {"file_name", "a/ä"}, {"export_format", "csv"}};
    const auto started = one.calls.export_(one.name, wish);
    const json::value received = json::parse(started.body);
    CHECK(received.at("state") == "RECEIVED");
    CHECK(received.at("export_format") == "csv");
    CHECK(received.at("download_url").is_null());
    const json::object job = one.calls.end(started);
    CHECK(job.at("state") == "DONE");
    CHECK(job.at("file_name") == "a_ä.csv");
    const auto file = one.calls.download(job);
    CHECK(file.status == 200);
    CHECK(file.body == "a,B c\n1,\"x,\"\"y\"\"\"\n");
    CHECK(has_header(file, "Content-Type: text/csv; charset=utf-8"));
    CHECK(has_header(file,
                     "Content-Disposition: attachment; filename=\"a___.csv\"; "
                     "filename*=UTF-8''a_%C3%A4.csv"));
    CHECK(has_header(file, "Accept-Ranges: bytes"));
}

TEST_CASE("JSON is a list of objects, whose values are what JSON has for them") {
    const json::object job = shared().of(every_type + ";\n"s, "json");
    CAPTURE(json::serialize(job));
    const auto file = shared().calls.download(job);
    CHECK(has_header(file, "Content-Type: application/json"));
    const json::value rows = json::parse(file.body);
    REQUIRE(rows.as_array().size() == 2);
    CHECK(rows.at(0) == json::parse(R"({"small": 1, "four": 2, "eight": 9007199254740993,
        "f": 0.1, "d": -1e300, "b": true, "n": "12345678901234567890.1",
        "t": "a \"q\"\n\t\\ ä", "day": "2024-02-29", "ts": "2024-05-06 07:08:09.123456",
        "tz": "2024-05-06 05:08:09.123456+00", "j": {"k": [1]}, "raw": "\\x00ff"})"));
    for (const auto& [name, value] : rows.at(1).as_object())
        CHECK(value.is_null());

    const auto empty = shared().of("SELECT 1 AS a WHERE false", "json");
    CHECK(shared().calls.download(empty).body == "[]\n");
    const auto odd = shared().of("SELECT 'NaN'::float8 AS a, 1 AS a -- two of a name", "json");
    CHECK(shared().calls.download(odd).body == "[\n{\"a\":\"NaN\",\"a_2\":1}\n]\n");
}

TEST_CASE("an export as xls is an XLSX file") {
    const json::object job = shared().of(every_type, "xls");
    CHECK(job.at("file_name") == "export.xlsx");
    const test::temporary_directory directory;
    std::ofstream(directory / "x.xlsx", std::ios::binary) << shared().calls.download(job).body;
    const auto tables = open_tables(std::make_shared<const input_file>(directory / "x.xlsx"), "x",
                                    header_row::first_row);
    REQUIRE(tables.size() == 1);
    const auto reader = tables[0].open();
    cells row;
    REQUIRE(reader->next(row));
    CHECK(reader->names().at(12) == "raw");
    CHECK(row.at(2).text == "9007199254740993");
    CHECK(row.at(5).kind == cell_kind::boolean);
    CHECK(row.at(6).text == "12345678901234567890.1");
    CHECK(row.at(7).text == "a \"q\"\n\t\\ ä");
    CHECK(row.at(8).text == "2024-02-29");
    CHECK(row.at(10).text == "2024-05-06 05:08:09.123456+00");
    CHECK_FALSE(reader->next(row));
}

TEST_CASE("Parquet is read by two foreign readers, every value as it was") {
    const test::temporary_directory directory;
    const std::string npm_cache = (directory / "cache").string();
    const auto installed = test::run_program(
        {"npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix",
         directory.path().string(), "hyparquet@1.33.0", "@duckdb/node-api@1.4.4-r.1"},
        {{"npm_config_cache", npm_cache}, {"npm_config_update_notifier", "false"}});
    REQUIRE_MESSAGE(installed.status == 0, "npm cannot install the readers: ", installed.err);
    std::filesystem::copy_file(TEST_DATA "/read_parquet.mjs", directory / "read_parquet.mjs");
    const auto read = [&](const json::object& job) {
        CAPTURE(json::serialize(job));
        REQUIRE(job.at("state") == "DONE");
        const std::string file = (directory / "file.parquet").string();
        std::ofstream(file, std::ios::binary) << shared().calls.download(job).body;
        const auto said =
            test::run_program({"node", (directory / "read_parquet.mjs").string(), file}, {});
        REQUIRE_MESSAGE(said.status == 0, said.err);
        const std::size_t line = said.out.find('\n');
        return std::pair(json::parse(said.out.substr(0, line)),
                         json::parse(said.out.substr(line + 1)));
    };
    const auto [by_hyparquet, by_duckdb] = read(shared().of(every_type, "parquet"));
    CHECK(by_hyparquet.at("rows") == 2);
    CHECK(by_hyparquet.at("columns") == json::parse(R"(["small INT32", "four INT32",
        "eight INT64", "f FLOAT", "d DOUBLE", "b BOOLEAN", "n BYTE_ARRAY STRING",
        "t BYTE_ARRAY STRING", "day INT32 DATE", "ts INT64 TIMESTAMP", "tz INT64 TIMESTAMP",
        "j BYTE_ARRAY JSON", "raw BYTE_ARRAY"])"));
    CHECK(by_hyparquet.at("first").at(0).at(2) == "9007199254740993");
    CHECK(by_hyparquet.at("first").at(0).at(4) == -1e300);
    CHECK(by_hyparquet.at("first").at(0).at(7) == "a \"q\"\n\t\\ ä");
    CHECK(by_hyparquet.at("first").at(0).at(11) == json::parse(R"({"k": [1]})"));
    for (const json::value& each : by_hyparquet.at("first").at(1).as_array()) {
        CHECK(each.is_null());
    }
    CHECK(by_duckdb.at("rows") == 2);
    CHECK(by_duckdb.at("columns") == json::parse(R"(["small INTEGER", "four INTEGER",
        "eight BIGINT", "f FLOAT", "d DOUBLE", "b BOOLEAN", "n VARCHAR", "t VARCHAR",
        "day DATE", "ts TIMESTAMP", "tz TIMESTAMP WITH TIME ZONE", "j JSON", "raw BLOB"])"));
    CHECK(by_duckdb.at("first").at(0) ==
          json::parse(R"(["1", "2", "9007199254740993", "0.1", "-1e+300", "true",
        "12345678901234567890.1", "a \"q\"\n\t\\ ä", "2024-02-29", "2024-05-06 07:08:09.123456",
        "2024-05-06 05:08:09.123456+00", "{\"k\": [1]}", "\\x00\\xFF"])"));

    // Several row groups, some NULLs, and a result without rows.
    const auto [many, many_too] =
        read(shared().of("SELECT i, CASE WHEN i % 3 > 0 THEN i % 7 = 0 END AS b, 'x' || i AS t "
                         "FROM generate_series(1, 300000) i",
                         "parquet"));
    CHECK(many.at("rows") == 300'000);
    CHECK(many.at("groups").as_int64() > 1);
    CHECK(many.at("first").at(1) == json::parse(R"([2, false, "x2"])"));
    CHECK(many_too.at("rows") == 300'000);
    CHECK(many_too.at("most") == json::parse(R"(["300000", "true", "x99999"])"));
    const auto [none, none_too] = read(shared().of("SELECT 1 AS a WHERE false", "parquet"));
    CHECK(none.at("rows") == 0);
    CHECK(none_too.at("columns") == json::parse(R"(["a INTEGER"])"));
}

TEST_CASE("an export takes one statement, with the semicolons and comments that psql takes") {
    fixture& one = shared();
    for (const char* query :
         {"SELECT 1 AS a; -- a comment", "SELECT 1 AS a ;\n\n/* one; /* in another */ */ ; ",
          "-- first; of all\n;SELECT 1 AS a", "SELECT 1 AS a -- without its end",
          "SELECT/**/1 AS a;--", "VALUES (1); -- no names"}) {
        for (const char* format : {"csv", "json"}) {
            CAPTURE(query);
            const json::object job = one.of(query, format);
            CHECK(json::serialize(job.at("state")) == "\"DONE\"");
        }
    }
    const auto odd = one.of("SELECT 'a;--b' AS a, $$;/*$$ AS b, E'\\';' AS c;", "csv");
    CHECK(one.calls.download(odd).body == "a,b,c\na;--b,;/*,';\n");
    for (const char* query :
         {"SELECT 1; SELECT 2", "SELECT 1;;TABLE t; -- x", ";", " -- x", "/**/"}) {
        CAPTURE(query);
        const auto refused =
            one.calls.export_(one.name, {{"query_string", query}, {"export_format", "csv"}});
        CHECK(refused.status == 400);
        CHECK(refused.body.find("statement") != std::string::npos);
    }
}

TEST_CASE("an export that fails says why") {
    fixture& one = shared();
    check_failed(one.of("SELECT * FROM missing", "csv"), "database_error", "42P01");
    check_failed(one.of("CREATE TABLE x (a int)", "json"), "database_error", "42601");
    one.calls.rows(one.name, "CREATE SEQUENCE counter");
    check_failed(one.of("SELECT nextval('counter')", "csv"), "database_error", "25006");
    check_failed(one.of("SELECT 'infinity'::date AS d", "parquet"), "unrepresentable",
                 "row 1 has in \"d\" the value infinity");
    check_failed(one.of("SELECT repeat('x', 32768) AS t", "xls"), "unrepresentable", "32,767");
    check_failed(one.of("SELECT 1 / (10000 - i) FROM generate_series(1, 10000) i", "csv"),
                 "database_error", "22012");
    CHECK(one.calls.export_(one.name, {{"export_format", "csv"}}).status == 422);
    CHECK(one.calls
              .export_(one.name,
                       {{"table_name", "t"}, {"query_string", "q"}, {"export_format", "csv"}})
              .status == 422);
    const auto formless = one.calls.export_(one.name, {{"table_name", "t"}});
    CHECK(formless.status == 422);
    CHECK(json::parse(formless.body).at("detail").at(0).at("loc") ==
          json::parse(R"(["body", "export_format"])"));
    CHECK(one.calls.export_(one.name, {{"table_name", "t"}, {"export_format", "doc"}}).status ==
          422);
    CHECK(one.calls.export_({"local/other"}, {{"table_name", "t"}}).status == 404);
    CHECK(one.calls.call("DELETE", "/v2beta/export/1").status == 405);
    CHECK(one.calls.call("GET", "/v2beta/export/1").status == 404);
}

TEST_CASE("a sheet that cannot hold all rows is an export that fails") {
    check_failed(shared().of("SELECT FROM generate_series(1, 1048576)", "xls"), "unrepresentable",
                 "1,048,576 rows");
}

TEST_CASE("a download is had in parts, or only its head") {
    const json::object job =
        shared().of("SELECT repeat('x', 1000) AS t FROM generate_series(1, 1000)", "csv");
    const auto whole = shared().calls.download(job);
    REQUIRE(whole.body.size() == 1'001'002);
    const auto part = shared().calls.download(job, "GET", "Range: bytes=1-3\r\n");
    CHECK(part.status == 206);
    CHECK(part.body == whole.body.substr(1, 3));
    CHECK(has_header(part, "Content-Range: bytes 1-3/1001002"));
    CHECK(has_header(part, "Content-Length: 3"));
    const auto rest = shared().calls.download(job, "GET", "Range: bytes=500000-\r\n");
    CHECK(rest.body == whole.body.substr(500'000));
    const auto beyond = shared().calls.download(job, "GET", "Range: bytes=2000000-\r\n");
    CHECK(beyond.status == 416);
    CHECK(has_header(beyond, "Content-Range: bytes */1001002"));
    const auto head = shared().calls.download(job, "HEAD");
    CHECK(head.status == 200);
    CHECK(head.body.empty());
    CHECK(has_header(head, "Content-Length: 1001002"));
    const auto changed =
        shared().calls.download(job, "GET", "Range: bytes=1-3\r\nIf-Range: \"other\"\r\n");
    CHECK(changed.status == 200);
    CHECK(changed.body.size() == whole.body.size());
}

TEST_CASE("a link that is changed, or whose time is over, opens nothing") {
    local_server_options options;
    options.download_link_life = std::chrono::milliseconds(0);
    fixture one(options);
    json::object job = one.of("SELECT 1 AS a", "csv");
    // It may take up to a second: times in links are whole seconds.
    auto last = one.calls.download(job);
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    while (last.status == 200 && std::chrono::steady_clock::now() < deadline) {
        last = one.calls.download(job);
    }
    CHECK(last.status == 403);
    CHECK(json::parse(last.body).at("error").at("type") == "link_expired");

    std::string url(shared().of("SELECT 1 AS a", "csv").at("download_url").as_string());
    url.back() = url.back() == '0' ? '1' : '0';
    job["download_url"] = url;
    const auto forged = shared().calls.download(job);
    CHECK(forged.status == 403);
    CHECK(json::parse(forged.body).at("error").at("type") == "link_invalid");
}

TEST_CASE("an exported file outlives its server, with its record") {
    const test::temporary_directory directory;
    local_server_options options;
    options.data_directory = directory / "data";
    json::object job;
    {
        fixture before(options);
        job = before.of("SELECT 1 AS a", "csv");
    }
    {
        test::test_server after(options);
        test::job_calls calls(after);
        CHECK(calls.download(job).body == "a\n1\n");
    }
    options.jobs_kept = std::chrono::milliseconds(0);
    test::test_server later(options);
    test::job_calls calls(later);
    CHECK(calls.download(job).status == 404);
    CHECK(std::filesystem::is_empty(options.data_directory / "jobs"));
}
