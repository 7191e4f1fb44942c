// Hostile clients at both endpoints: bytes that are nearly right, half right, or misleading.
#include "support/api_calls.hpp"
#include "support/descriptors.hpp"
#include "support/environment.hpp"
#include "support/fuzz.hpp"
#include "support/job_calls.hpp"
#include "support/run.hpp"
#include "support/server_fixture.hpp"
#include "support/wire_sessions.hpp"

#include <doctest/doctest.h>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>

#include <chrono>
#include <deque>
#include <set>
#include <string>
#include <thread>
#include <vector>

namespace asio = boost::asio;
namespace json = boost::json;
using namespace std::chrono_literals;
using namespace std::string_literals;
using asio::awaitable;
using asio::redirect_error;
using asio::use_awaitable;
using asio::ip::tcp;
using test::wire_client;

namespace {

bitdotio::local_server_options without_rates() {
    bitdotio::local_server_options options;
    options.calls_per_second = 0;
    return options;
}

struct shared_server : test::server_fixture {
    shared_server() : server_fixture(without_rates(), "my-db") {}

    // Whether both endpoints serve a well-behaved client.
    void expect_well() {
        CHECK(query("SELECT 1").status == 200);
        CHECK(ask("SELECT 'well'") == "well");
    }

    const std::string key = server.key().reveal();
};

shared_server& shared() {
    static shared_server one;
    return one;
}

enum class road { clear, tls, tls_on_request };

// Sends bytes, ends its own side, and reads the answer until the other side has ended too.
awaitable<std::string> heard(std::uint16_t port, road by, std::string bytes) {
    asio::ssl::context context(asio::ssl::context::tls_client);
    asio::ssl::stream<tcp::socket> stream(co_await asio::this_coro::executor, context);
    tcp::socket& socket = stream.next_layer();
    const tcp::endpoint address(asio::ip::make_address("127.0.0.1"), port);
    co_await socket.async_connect(address, use_awaitable);
    boost::system::error_code ended;
    std::string answer;
    auto room = asio::dynamic_buffer(answer);
    const auto data = asio::buffer(std::as_const(bytes));
    if (by == road::clear) {
        co_await asio::async_write(socket, data, redirect_error(use_awaitable, ended));
        socket.shutdown(tcp::socket::shutdown_send, ended);
        co_await asio::async_read(socket, room, redirect_error(use_awaitable, ended));
        co_return answer;
    }
    if (by == road::tls_on_request) {
        const auto wish = asio::buffer(test::ssl_request);
        co_await asio::async_write(socket, wish, use_awaitable);
        char said = 0;
        const auto byte = asio::buffer(&said, 1);
        co_await asio::async_read(socket, byte, use_awaitable);
        REQUIRE(said == 'S');
    }
    co_await stream.async_handshake(asio::ssl::stream_base::client, use_awaitable);
    co_await asio::async_write(stream, data, redirect_error(use_awaitable, ended));
    socket.shutdown(tcp::socket::shutdown_send, ended);
    co_await asio::async_read(stream, room, redirect_error(use_awaitable, ended));
    co_return answer;
}

std::string hear(std::uint16_t port, road by, const std::string& bytes) {
    return test::run(heard(port, by, bytes), 30s);
}

// The SQLSTATE of the error in what was answered, if there is one.
std::string sqlstate_of(const std::string& answer) {
    const std::string before = "FATAL\0C"s;
    const std::size_t at = answer.find(before);
    return at == std::string::npos ? "" : answer.substr(at + before.size(), 5);
}

std::size_t count(const std::string& text, const std::string& part) {
    std::size_t found = 0;
    for (std::size_t at = 0; (at = text.find(part, at)) != std::string::npos; at += part.size())
        ++found;
    return found;
}

// Connections that sent half of something and are silent since.
class silent_clients {
public:
    silent_clients(std::uint16_t port, const std::vector<std::string>& halves) {
        for (const std::string& half : halves) {
            tcp::socket& socket = sockets_.emplace_back(io_);
            socket.connect({asio::ip::make_address("127.0.0.1"), port});
            asio::write(socket, asio::buffer(half));
        }
    }
    // Whether the server has hung up on all of them by then.
    bool are_cut(std::chrono::seconds limit) {
        const auto deadline = std::chrono::steady_clock::now() + limit;
        for (tcp::socket& each : sockets_) {
            boost::system::error_code ended;
            each.non_blocking(true);
            std::string unread(4096, '\0');
            while (!ended || ended == asio::error::would_block) {
                each.read_some(asio::buffer(unread), ended);
                if (std::chrono::steady_clock::now() > deadline) return false;
                std::this_thread::sleep_for(10ms);
            }
        }
        return true;
    }

private:
    asio::io_context io_;
    std::deque<tcp::socket> sockets_;
};

std::string request(const std::string& first_line, const std::string& headers,
                    const std::string& body = "") {
    return first_line + " HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer " + shared().key +
           "\r\n" + headers + "\r\n" + body;
}

std::string with_length(const std::string& first_line, const std::string& body,
                        const std::string& headers = "") {
    return request(first_line, headers + "Content-Length: " + std::to_string(body.size()) + "\r\n",
                   body);
}

}  // namespace

TEST_CASE("the Postgres endpoint outlives whatever it is sent, and serves the next as ever") {
    shared_server& here = shared();
    here.expect_well();
    const auto before = test::settled_descriptors();
    test::fuzzer chance;
    CAPTURE(chance.seed());
    const std::uint16_t port = here.server.postgres_port();
    const std::string wish =
        test::startup({{"user", "a"}, {"database", here.name.full()}, {"options", "-c a.b=c"}});
    const std::string cancel =
        test::packet(test::number(80877102) + chance.bytes(4) + chance.bytes(4));
    const std::string hello = "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"s + chance.bytes(500);
    {
        // They stay connected while all others come and go.
        silent_clients silent(
            port, {"", "\0"s, "\0\0\0"s, test::ssl_request.substr(0, 6), test::ssl_request,
                   test::gss_request, wish.substr(0, 20), hello.substr(0, 1), hello.substr(0, 200),
                   test::number(10'000) + "x", test::ssl_request + hello});
        const std::vector<std::string> in_clear = {
            test::ssl_request,
            test::gss_request,
            wish,
            cancel,
            hello,
            test::gss_request + test::gss_request + test::gss_request,
            test::ssl_request + wish,
            test::gss_request + wish,
        };
        const std::set<std::string> plain = {"", "08P01", "28000", "0A000"};
        for (std::size_t i = test::fuzzer::cases(300); i > 0; --i) {
            const std::string bytes = chance.changed(chance.any_of(in_clear));
            CAPTURE(i);
            CHECK(plain.contains(sqlstate_of(hear(port, road::clear, bytes))));
        }
        const std::set<std::string> secured = {"", "08P01", "28000", "28P01", "3D000", "0A000"};
        const std::string wrong = test::message('p', "v2_wrong\0"s);
        const std::string right = test::message('p', here.key + '\0');
        const std::string scram =
            test::message('p', "SCRAM-SHA-256\0"s + test::number(12) + "n,,n=,r=abcd") +
            test::message('p', "c=biws,r=abcd,p=AAAA");
        const std::vector<std::string> in_tls = {
            wish + wrong,      wish + scram, wish, test::ssl_request + wish,
            test::gss_request, cancel,       hello};
        for (std::size_t i = test::fuzzer::cases(150); i > 0; --i) {
            const std::string bytes = chance.changed(chance.any_of(in_tls));
            CAPTURE(i);
            CHECK(secured.contains(sqlstate_of(hear(port, road::tls_on_request, bytes))));
            // The right key, but not in the way that was asked for.
            if (i % 5 == 0) hear(port, road::tls_on_request, chance.changed(wish + right));
        }
        here.expect_well();
        if (test::soaking()) CHECK(silent.are_cut(60s));
    }
    CHECK(test::descriptors_fall_to(before));
}

TEST_CASE("a flood of cancel requests that guess hits no session") {
    shared_server& here = shared();
    here.expect_well();
    const auto before = test::settled_descriptors();
    test::fuzzer chance;
    const auto port = here.server.postgres_port();
    test::with_wire_client(here.server, here.name, [&](wire_client& client) -> awaitable<void> {
        co_await client.send(test::message('Q', "SELECT pg_sleep(1)\0"s));
        for (std::size_t i = 0; i < 300; ++i) {
            // Sometimes the right number with a wrong secret.
            const std::string pid = i % 3 ? chance.bytes(4) : test::number(client.pid);
            const std::string guess = test::packet(test::number(80877102) + pid + chance.bytes(4));
            const std::string answer = co_await heard(port, road::clear, guess);
            CHECK(answer == "");
        }
        client.last = test::reply();
        co_await client.receive_until('Z');
        CHECK(client.last.type != 'E');
        const std::string well = co_await client.query("SELECT 'well'");
        CHECK(well == "well");
    });
    CHECK(test::descriptors_fall_to(before));
}

TEST_CASE("a request of which one could say that it ends elsewhere is refused, and nothing more") {
    shared_server& here = shared();
    const std::uint16_t port = here.server.api_port();
    const std::string evil = with_length("POST /v2beta/db/", R"({"name": "evil"})");
    const std::string size = std::to_string(evil.size());
    const std::string query = "POST /v2beta/query";
    struct trick {
        std::string name;
        std::string bytes;
    };
    const std::vector<trick> tricks = {
        {"two lengths",
         request(query, "Content-Length: 0\r\nContent-Length: " + size + "\r\n") + evil},
        {"two lengths, the other way",
         request(query, "Content-Length: " + size + "\r\nContent-Length: 0\r\n") + evil},
        {"a list of lengths", request(query, "Content-Length: 0, " + size + "\r\n") + evil},
        {"length and chunks",
         request(query, "Content-Length: " + size + "\r\nTransfer-Encoding: chunked\r\n") +
             "0\r\n\r\n" + evil},
        {"chunks and length",
         request(query, "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n") + "0\r\n\r\n" +
             evil},
        {"a length with a sign", request(query, "Content-Length: +0\r\n") + evil},
        {"a negative length", request(query, "Content-Length: -1\r\n") + evil},
        {"a hexadecimal length", request(query, "Content-Length: 0x0\r\n") + evil},
        {"a length beyond all", request(query, "Content-Length: 18446744073709551616\r\n") + evil},
        {"no length", request(query, "Content-Length: \r\n") + evil},
        {"a space before the colon", request(query, "Content-Length : " + size + "\r\n") + evil},
        {"a folded length", request(query, "Content-Length:\r\n " + size + "\r\n") + evil},
        {"a bare CR", request(query, "X: a\rContent-Length: " + size + "\r\n") + evil},
        {"a zero byte in a header", request(query, "X: a\0b\r\n"s) + evil},
        {"a zero byte in the target", request("GET /healthz\0"s, "") + evil},
        {"an unknown coding", request(query, "Transfer-Encoding: xchunked\r\n") + evil},
        {"two codings",
         request(query, "Transfer-Encoding: chunked, identity\r\n") + "0\r\n\r\n" + evil},
        {"two codings in two headers",
         request(query, "Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n") + "0\r\n\r\n" +
             evil},
        {"chunks in an old protocol",
         "POST /v2beta/query HTTP/1.0\r\nTransfer-Encoding: chunked\r\nConnection: keep-alive"
         "\r\n\r\n0\r\n\r\n" +
             evil},
        {"a chunk that is too long",
         request(query, "Transfer-Encoding: chunked\r\n") + "ffffffffffffffff1\r\n" + evil},
        {"a chunk without a number",
         request(query, "Transfer-Encoding: chunked\r\n") + "\r\n" + evil},
        {"a chunk that does not end",
         request(query, "Transfer-Encoding: chunked\r\n") + "1\r\nxy0\r\n\r\n" + evil},
        {"a header without an end", request(query, std::string(20'000, 'x')) + evil},
        {"very many headers",
         [&] {
             std::string many;
             for (int i = 0; i < 4'000; ++i)
                 many += "X: y\r\n";
             return request(query, many) + evil;
         }()},
        {"another protocol", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + evil},
        {"an old protocol", "GET /healthz\r\n" + evil},
        {"no host", "GET /healthz HTTP/1.1\r\n\r\n" + evil},
        {"two hosts", request("GET /healthz", "Host: evil\r\n") + evil},
        {"a host that is none", "GET /healthz HTTP/1.1\r\nHost: a\xff/\r\n\r\n" + evil},
        {"a method of none", "GE\x01T /healthz HTTP/1.1\r\n\r\n" + evil},
        {"bytes before it", "\0\0"s + evil},
    };
    for (const trick& each : tricks) {
        const std::string answer = hear(port, road::tls, each.bytes);
        INFO(each.name, ": ", answer);
        // One answer, an error: the following bytes were not taken for a request.
        CHECK(count(answer, "\r\nServer: ") == 1);
        // A folded length is read as one line, so that what followed was the body.
        const std::set<std::string> refusals = {"400", "413", "422", "431", "501"};
        CHECK(refusals.contains(answer.substr(9, 3)));
    }
    const std::string all = here.api("GET", "/db/").body;
    CHECK(all.find("evil") == std::string::npos);
    here.expect_well();
}

TEST_CASE("bodies that are no text, or nested without end, are 422") {
    const test::api_calls& call = shared().api;
    for (const std::string& body :
         {"\xff"s, "{\"name\": \"\xc0\x80\"}"s, "{\"name\": \"\xed\xa0\x80\"}"s, "\0"s,
          "{\"a\":"s + std::string(100'000, '['), std::string(1'000'000, '['),
          "{\"query_string\": \"" + std::string(1'001, '\\') + "u\"}", "\xef\xbb\xbf"s,
          "1e999999"s}) {
        for (const char* path : {"/db/", "/query", "/db/local/my-db/export/"}) {
            CAPTURE(body.substr(0, 20));
            CHECK(call("POST", path, body).status == 422);
        }
    }
}

TEST_CASE("the API outlives whatever it is sent, answers in JSON or not at all") {
    shared_server& here = shared();
    here.expect_well();
    const auto before = test::settled_descriptors();
    test::fuzzer chance;
    CAPTURE(chance.seed());
    const std::uint16_t port = here.server.api_port();
    const std::string query =
        R"({"database_name": "local/my-db", "query_string": "SELECT 1", "data_format": "objects"})";
    const std::vector<std::string> valid = {
        "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n",
        request("GET /v2beta/db/local%2Fmy-db", "Range: bytes=0-1\r\n"),
        with_length("POST /v2beta/query?data_format=objects", query),
        request("POST /v2beta/query", "Transfer-Encoding: chunked\r\n",
                "8\r\n{\"datab\r\n1;a=b\r\na\r\n0\r\nX: y\r\n\r\n"),
        with_length("POST /v2beta/db/local/my-db/import/",
                    test::job_calls::form("t", "t.csv", "a,b\n1,2\n"),
                    test::job_calls::form_headers),
        with_length("POST /v2beta/db/local/my-db/export/",
                    R"({"query_string": "SELECT 1", "export_format": "csv"})"),
        request("GET /v2beta/export/00000000-0000-4000-8000-000000000000/download?a=b&c", ""),
    };
    {
        silent_clients silent(port, {"", "\x16\x03\x01"s, "GET / HTTP/1.1\r\n"});
        for (std::size_t i = test::fuzzer::cases(400); i > 0; --i) {
            std::string bytes = chance.changed(chance.any_of(valid));
            if (chance.once_in(8)) bytes += chance.changed(chance.any_of(valid));
            const std::string answer = hear(port, road::tls, bytes);
            INFO(i, ": ", bytes, "\n", answer);
            if (answer.empty()) continue;
            // Only a request that was changed to HTTP/1.0 is answered in that version.
            const bool is_old = bytes.find("HTTP/1.0") != std::string::npos;
            CHECK((answer.starts_with("HTTP/1.1 ") || (is_old && answer.starts_with("HTTP/1.0 "))));
            CHECK((answer.substr(9, 1) != "5" || answer.substr(9, 3) == "501"));
            const std::size_t length = answer.find("Content-Length: ");
            const std::size_t end = answer.find("\r\n\r\n");
            if (length >= end || bytes.starts_with("HEAD")) continue;
            const std::string body = answer.substr(end + 4, std::stoul(answer.substr(length + 16)));
            boost::system::error_code malformed;
            json::parse(body, malformed);
            CHECK_FALSE(malformed);
        }
        here.expect_well();
        if (test::soaking()) CHECK(silent.are_cut(120s));
    }
    CHECK(test::descriptors_fall_to(before));
}
