// What a client of the API can make the server hold, and for how long: bodies, answers, statements.
#include "support/api_calls.hpp"
#include "support/raw_client.hpp"
#include "support/run.hpp"
#include "support/test_server.hpp"
#include "support/wire_client.hpp"

#include <boost/asio/this_coro.hpp>
#include <boost/json.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <thread>
#include <utility>

namespace {

namespace asio = boost::asio;
namespace json = boost::json;
using namespace std::chrono_literals;

bitdotio::local_server_options small_limits() {
    bitdotio::local_server_options options;
    options.calls_per_second = 0;
    options.request_memory = 64 * 1024;
    options.largest_answer = 1'000'000;
    return options;
}

struct house {
    test::test_server server{small_limits()};
    bitdotio::database_name name = server.create_database("my-db");
    const std::string key = server.key().reveal();
    const test::api_calls call{server, key};

    test::http_answer query(const std::string& sql, const std::string& rest = "") const {
        const json::object body{{"database_name", name.full()}, {"query_string", sql}};
        return call("POST", "/query" + rest, json::serialize(body));
    }
};

house& shared() {
    static house one;
    return one;
}

using test::raw_client;

std::string header(const std::string& line, const std::string& headers, const std::string& key) {
    return line + " HTTP/1.1\r\nHost: localhost\r\n" +
           (key.empty() ? "" : "Authorization: Bearer " + key + "\r\n") + headers + "\r\n";
}

std::string query_request(const std::string& sql) {
    const std::string body = json::serialize(
        json::object{{"database_name", shared().name.full()}, {"query_string", sql}});
    return header("POST /v2beta/query", "Content-Length: " + std::to_string(body.size()) + "\r\n",
                  shared().key) +
           body;
}

test::http_answer answer_to(const std::string& request) {
    return test::https(shared().server.api_port(), shared().server.ca_file(), request);
}

// The number of sessions that hold the advisory lock of the tests below, or wait for it.
std::int64_t lock_holders() {
    const auto answer = shared().query("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'");
    return test::body_of(answer).at("data").at(0).at(0).as_int64();
}

// A statement that would commit after two minutes if nobody stopped it, and that it has begun.
void begin_long_insert(raw_client& client) {
    shared().query("CREATE TABLE IF NOT EXISTS long (n int); TRUNCATE long");
    client.send(
        query_request("SELECT pg_advisory_lock(7); INSERT INTO long VALUES (1); "
                      "SELECT pg_sleep(120)"));
    const auto deadline = std::chrono::steady_clock::now() + 60s;
    while (lock_holders() == 0) {
        REQUIRE(std::chrono::steady_clock::now() < deadline);
        std::this_thread::sleep_for(20ms);
    }
}

// The lock is free when that session has ended: the statement waits for it.
void expect_rolled_back() {
    const auto begin = std::chrono::steady_clock::now();
    CHECK(shared().query("SELECT pg_advisory_lock(7)").status == 200);
    CHECK(std::chrono::steady_clock::now() - begin < 60s);
    CHECK(test::body_of(shared().query("TABLE long")).at("data") == json::array());
}

}  // namespace

TEST_CASE("a request is refused by its header, before its body has come") {
    const std::string large = "Content-Length: 8000000\r\n";
    const std::string key = shared().key;
    struct row {
        std::string request;
        unsigned status;
    };
    const row table[] = {
        {header("POST /v2beta/query", large, ""), 401},
        {header("POST /v2beta/query", large, "v2_000000000000_wrong"), 401},
        {header("POST /v2beta/query", "Transfer-Encoding: chunked\r\n", ""), 401},
        {header("POST /server/keys", large, ""), 401},
        {header("POST /v2beta/nothing", large, key), 404},
        {header("PATCH /v2beta/db/local/none", large, key), 404},
        {header("POST /v2beta/db/local/none/export/", large, key), 404},
        {header("POST /v2beta/db/local/none/import/", large, key), 404},
        {header("PUT /v2beta/query", large, key), 405},
        {header("POST /v2beta/query", "Content-Length: 65537\r\n", key), 413},
        {header("GET /healthz", "Content-Length: 1025\r\n", ""), 413},
        {header("POST /v2beta/db/local/my-db/import/",
                "Content-Type: multipart/form-data; boundary=x\r\n"
                "Content-Length: 99999999999999\r\n",
                key),
         413},
    };
    for (const row& one : table) {
        CAPTURE(one.request);
        const auto answer = answer_to(one.request);
        CHECK(answer.status == one.status);
        CHECK(answer.head.find("Connection: close") != std::string::npos);
    }
}

TEST_CASE("a client that still sends its body sees why it was refused") {
    // More than the buffers on the way hold: it is sent to its end only if it is taken in.
    const auto answer = answer_to(header("POST /v2beta/query", "Content-Length: 8000000\r\n", "") +
                                  std::string(8'000'000, 'x'));
    CHECK(answer.status == 401);
}

TEST_CASE("a refused request without a body leaves the connection as it is") {
    raw_client client(shared().server.api_port());
    for (int i = 0; i < 2; ++i) {
        client.send(header("GET /v2beta/db/", "", ""));
        CHECK(client.read("\"}").starts_with("HTTP/1.1 401 "));
    }
}

TEST_CASE("100 Continue is for requests that are admitted") {
    const std::string headers =
        "Expect: 100-continue\r\nConnection: close\r\nContent-Length: 2\r\n";
    const auto refused = answer_to(header("POST /v2beta/db/", headers, "") + "{}");
    CHECK(refused.status == 401);
    const auto invited = answer_to(header("POST /v2beta/db/", headers, shared().key) + "{}");
    CHECK(invited.status == 100);
    CHECK(invited.body.find("HTTP/1.1 422") != std::string::npos);
}

TEST_CASE("what is around a body is bounded") {
    const std::string chunked =
        header("POST /v2beta/query", "Transfer-Encoding: chunked\r\n", shared().key);
    std::string extended;  // each of them short
    for (int i = 0; i < 20; ++i)
        extended += "1;" + std::string(1'000, 'a') + "\r\nx\r\n";
    std::string fields;
    for (int i = 0; i < 101; ++i)
        fields += "X: y\r\n";
    struct row {
        std::string name;
        std::string request;
        unsigned status;
    };
    const row table[] = {
        {"an extension without an end", chunked + "1;" + std::string(100'000, 'a'), 400},
        {"a size without an end", chunked + std::string(100'000, '0'), 400},
        {"many extensions", chunked + extended, 400},
        {"long trailers", chunked + "0\r\nX: " + std::string(100'000, 'a'), 400},
        {"many fields", header("GET /healthz", fields, ""), 431},
    };
    for (const row& one : table) {
        CAPTURE(one.name);
        CHECK(answer_to(one.request).status == one.status);
    }
}

TEST_CASE("bodies take turns when they would not all fit into memory, small ones first") {
    const std::string large = header("POST /v2beta/db/",
                                     "Connection: close\r\nExpect: 100-continue\r\n"
                                     "Content-Length: 60000\r\n",
                                     shared().key);
    const std::string body(60'000, ' ');
    raw_client first(shared().server.api_port());
    first.send(large);
    CHECK(first.read("\r\n\r\n").starts_with("HTTP/1.1 100"));
    raw_client second(shared().server.api_port());
    second.send(large);
    CHECK(shared().query("SELECT 1").status == 200);
    first.send(body);
    CHECK(first.read().starts_with("HTTP/1.1 422"));
    CHECK(second.read("\r\n\r\n").starts_with("HTTP/1.1 100"));
    second.send(body);
    CHECK(second.read().starts_with("HTTP/1.1 422"));
}

TEST_CASE("an answer beyond the memory for it comes whole, with its length") {
    const auto answer = shared().query(
        "SELECT repeat('z', 500000); SELECT i AS n, repeat('\"', 100) AS t "
        "FROM generate_series(1, 3000) AS i");
    CHECK(answer.status == 200);
    CHECK(answer.head.find("Content-Length: " + std::to_string(answer.body.size())) !=
          std::string::npos);
    const json::value body = test::body_of(answer);
    CHECK(body.at("metadata") == json::parse(R"({"n": "integer", "t": "text"})"));
    REQUIRE(body.at("data").as_array().size() == 3'000);
    CHECK(body.at("data").at(0).at(0) == 1);
    CHECK(body.at("data").at(2'999).at(0) == 3'000);
    CHECK(body.at("data").at(2'999).at(1) == json::string(std::string(100, '"')));
    // The last statement counts, however large those before it were.
    const auto last = shared().query("SELECT repeat('z', 500000); SELECT 1 AS n");
    CHECK(test::body_of(last).at("data") == json::parse("[[1]]"));
    const auto none = shared().query("SELECT repeat('z', 500000); SELECT 1 AS n WHERE false");
    CHECK(test::body_of(none).at("metadata") == json::parse(R"({"n": "integer"})"));
    CHECK(test::body_of(none).at("data") == json::array());
}

TEST_CASE("an answer beyond its limit is an error that says what to do") {
    const auto refused = shared().query("SELECT repeat('x', 1000) FROM generate_series(1, 20000)");
    CHECK(refused.status == 400);
    const json::value body = test::body_of(refused);
    CHECK(body.at("error").at("type") == "result_too_large");
    CHECK(std::string(body.at("message").as_string()) ==
          "the answer is longer than 1000000 bytes: use LIMIT, an export, or a connection to the "
          "Postgres endpoint");
    CHECK(shared().query("SELECT 1").status == 200);
}

TEST_CASE("a COMMIT that fails after the rows have come is an error like any other") {
    shared().query(
        "CREATE TABLE IF NOT EXISTS parent (n int PRIMARY KEY);"
        "CREATE TABLE IF NOT EXISTS child (n int REFERENCES parent DEFERRABLE INITIALLY DEFERRED,"
        " t text)");
    const auto refused = shared().query(
        "INSERT INTO child SELECT 1, repeat('x', 1000) FROM generate_series(1, 300) RETURNING t");
    CHECK(refused.status == 400);
    CHECK(test::body_of(refused).at("error").at("type") == "23503");
    CHECK(test::body_of(shared().query("TABLE child")).at("data") == json::array());
}

TEST_CASE("a client that goes takes its statement with it") {
    SUBCASE("by closing the connection") {
        raw_client client(shared().server.api_port());
        begin_long_insert(client);
        client.close();
        expect_rolled_back();
    }
    SUBCASE("by closing it after it has sent ahead") {
        raw_client client(shared().server.api_port());
        begin_long_insert(client);
        client.send(header("GET /healthz", "", ""));
        client.close();
        expect_rolled_back();
    }
    SUBCASE("by ending TLS alone") {
        raw_client client(shared().server.api_port());
        begin_long_insert(client);
        client.end_tls();
        expect_rolled_back();
    }
}

TEST_CASE("a client that sends ahead while it waits gets both answers") {
    raw_client client(shared().server.api_port());
    client.send(query_request("SELECT pg_sleep(2.5), 'slept'"));
    client.send(header("GET /healthz", "Connection: close\r\n", ""));
    const std::string answers = client.read();
    CHECK(answers.find("\"slept\"") != std::string::npos);
    CHECK(answers.find(R"({"status":"ok"})") != std::string::npos);
}

TEST_CASE("a full server refuses newcomers in words, strangers make room for others") {
    bitdotio::local_server_options options = small_limits();
    options.max_clients = 2;
    test::test_server server(options);
    const std::string list = header("GET /v2beta/db/", "", server.key().reveal());
    const auto is_served = [&](raw_client& client) {
        client.send(list);
        return client.read("\"databases\"").starts_with("HTTP/1.1 200");
    };
    raw_client stranger(server.api_port());
    raw_client one(server.api_port());
    CHECK(is_served(one));
    raw_client two(server.api_port());  // in the place of the stranger
    CHECK(is_served(two));
    CHECK_FALSE(is_served(stranger));
    raw_client three(server.api_port());
    three.send(list);
    const std::string refusal = three.read();
    CHECK(refusal.starts_with("HTTP/1.1 503"));
    CHECK(refusal.find("the server has 2 connections already") != std::string::npos);
}

TEST_CASE("clients on the server's own machine share all places, not those of one address") {
    bitdotio::local_server_options options = small_limits();
    options.max_clients_per_address = 1;
    test::test_server server(options);
    const std::string list = header("GET /v2beta/db/", "", server.key().reveal());
    raw_client one(server.api_port());
    raw_client two(server.api_port());
    for (raw_client* client : {&one, &two}) {
        client->send(list);
        CHECK(client->read("\"databases\"").starts_with("HTTP/1.1 200"));
    }
}

TEST_CASE("an address that shows wrong keys is slowed down, and no other one is") {
    test::test_server server;
    const std::string wrong =
        header("GET /v2beta/db/", "Connection: close\r\n", "v2_" + std::string(40, 'x'));
    const auto answer = [&](const char* from) {
        raw_client client(server.api_port(), from);
        client.send(wrong);
        return client.read().substr(0, 12);
    };
    std::string last;
    for (int i = 0; i < 60 && last != "HTTP/1.1 429"; ++i)
        last = answer("127.0.0.2");
    CHECK(last == "HTTP/1.1 429");
    CHECK(answer("127.0.0.1") == "HTTP/1.1 401");
}

TEST_CASE("a full Postgres endpoint refuses newcomers with 53300") {
    bitdotio::local_server_options options;
    options.max_clients = 2;
    test::test_server server(options);
    const std::string name = server.create_database("my-db").full();
    const auto work = [&]() -> asio::awaitable<void> {
        const auto executor = co_await asio::this_coro::executor;
        const std::string key = server.key().reveal();
        test::wire_client first(executor);
        test::wire_client second(executor);
        test::wire_client third(executor);
        const auto port = server.postgres_port();
        const bool first_in = co_await first.log_in(port, name, key);
        CHECK(first_in);
        const bool second_in = co_await second.log_in(port, name, key);
        CHECK(second_in);
        const bool third_in = co_await third.log_in(port, name, key);
        CHECK_FALSE(third_in);
        CHECK(third.last.field('C') == "53300");
    };
    test::run(work());
}
