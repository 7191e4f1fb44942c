// One HTTPS session and handwritten answers: what is sent, what is kept, what is refused.
#include "support/child.hpp"
#include "support/https_use.hpp"
#include "support/run.hpp"
#include "support/test_server.hpp"
#include "support/text.hpp"

#include "service/https_session.hpp"

#include <bitdotio/client.hpp>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <utility>

namespace {

namespace asio = boost::asio;
using namespace bitdotio;
using namespace std::chrono_literals;
using asio::awaitable;
using asio::ip::tcp;
using test::address_of;
using test::check_failure;
using test::failure_of;
using test::in;
using test::mentions;

// A server whose certificate is used; it is in its directory.
struct world {
    test::temporary_directory directory;
    test::test_server server{options(directory.path())};

    static local_server_options options(const std::filesystem::path& directory) {
        local_server_options all;
        all.data_directory = directory / "data";
        return all;
    }
};

world& shared() {
    static world one;
    return one;
}

https_session session_to(const asio::any_io_executor& executor, const https_address& address) {
    return https_session(executor, address, make_client_tls(shared().server.ca_file()));
}

https_request list_request() {
    return test::list_request(shared().server);
}

// ---- a server that answers every request with the same text

struct script {
    std::string answer;
    bool hangs_up = false;  // after the answer
    std::string request;    // the head of the last request seen
};

awaitable<void> answer_by_hand(std::shared_ptr<script> what, std::shared_ptr<tcp::acceptor> from,
                               std::shared_ptr<asio::ssl::context> tls) {
    const auto executor = co_await asio::this_coro::executor;
    asio::ssl::stream<tcp::socket> stream(executor, *tls);
    co_await from->async_accept(stream.next_layer(), asio::use_awaitable);
    co_await stream.async_handshake(asio::ssl::stream_base::server, asio::use_awaitable);
    std::string seen;
    do {
        const std::size_t size = co_await asio::async_read_until(stream, asio::dynamic_buffer(seen),
                                                                 "\r\n\r\n", asio::use_awaitable);
        what->request = seen.substr(0, size);
        seen.erase(0, size);
        co_await asio::async_write(stream, asio::buffer(what->answer), asio::use_awaitable);
    } while (!what->hangs_up);
}

// The port of a server that answers one connection by a script.
std::uint16_t start_script(const asio::any_io_executor& executor, std::shared_ptr<script> what) {
    auto tls = std::make_shared<asio::ssl::context>(asio::ssl::context::tls_server);
    const std::filesystem::path ca_file = shared().server.ca_file();
    tls->use_certificate_chain_file((ca_file.parent_path() / "server.pem").string());
    tls->use_private_key_file((ca_file.parent_path() / "server.key").string(),
                              asio::ssl::context::pem);
    auto acceptor = std::make_shared<tcp::acceptor>(
        executor, tcp::endpoint(asio::ip::address_v4::loopback(), 0));
    const std::uint16_t port = acceptor->local_endpoint().port();
    asio::co_spawn(executor, answer_by_hand(std::move(what), acceptor, tls), asio::detached);
    return port;
}

std::string answer_text(const std::string& body, const std::string& headers = "",
                        const std::string& status = "200 OK") {
    return "HTTP/1.1 " + status + "\r\n" + headers +
           "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}

awaitable<void> what_is_sent() {
    const auto executor = co_await asio::this_coro::executor;
    const auto what = std::make_shared<script>();
    what->answer = answer_text("{}");
    https_address address = address_of(start_script(executor, what));
    address.path = "/prefix";
    https_session session = session_to(executor, address);
    https_request request;
    request.target = "/db/?a=b";
    request.authorization = "Bearer v2_key";
    request.user_agent = "agent/1";
    CHECK((co_await session.request(request, in(30s))).body == "{}");
    CHECK(what->request.starts_with("GET /prefix/db/?a=b HTTP/1.1\r\n"));
    CHECK(mentions(what->request, "\r\nHost: 127.0.0.1:" + std::to_string(address.port) + "\r\n"));
    CHECK(mentions(what->request, "\r\nAccept: application/json\r\n"));
    CHECK(mentions(what->request, "\r\nAuthorization: Bearer v2_key\r\n"));
    CHECK(mentions(what->request, "\r\nUser-Agent: agent/1\r\n"));
    CHECK_FALSE(mentions(what->request, "Content-"));
    request.method = "POST";
    co_await session.request(request, in(30s));
    CHECK(what->request.starts_with("POST /prefix/db/?a=b HTTP/1.1\r\n"));
    CHECK(mentions(what->request, "\r\nContent-Length: 0\r\n"));
    request.body = "[]";
    co_await session.request(request, in(30s));
    CHECK(mentions(what->request, "\r\nContent-Type: application/json\r\n"));
    CHECK(mentions(what->request, "\r\nContent-Length: 2\r\n"));
}

TEST_CASE("a request carries its method, path, headers and length") {
    test::run(what_is_sent());
}

awaitable<void> answered_by_hand(std::shared_ptr<script> what, std::optional<https_response>& got,
                                 bool& reusable) {
    const auto executor = co_await asio::this_coro::executor;
    https_session session = session_to(executor, address_of(start_script(executor, what)));
    got = co_await session.request(list_request(), in(30s));
    reusable = session.reusable();
}

TEST_CASE("what the server says of waiting and of the connection is kept") {
    struct row {
        std::string headers;
        std::optional<std::chrono::seconds> wait;
        bool reusable;
    };
    const row table[] = {
        {"", std::nullopt, true},
        {"Retry-After: 7\r\n", 7s, true},
        {"Retry-After: 0\r\n", 0s, true},
        {"Retry-After: -1\r\n", std::nullopt, true},
        {"Retry-After: soon\r\n", std::nullopt, true},
        {"Connection: close\r\n", std::nullopt, false},
        {"Connection: close\r\nRetry-After: 3\r\n", 3s, false},
    };
    for (const row& one : table) {
        CAPTURE(one.headers);
        const auto what = std::make_shared<script>();
        what->answer = answer_text("words", one.headers, "429 Too Many Requests");
        std::optional<https_response> got;
        bool reusable = false;
        test::run(answered_by_hand(what, got, reusable));
        REQUIRE(got);
        CHECK(got->status == 429);
        CHECK(got->body == "words");
        CHECK(got->retry_after == one.wait);
        CHECK(reusable == one.reusable);
    }
}

awaitable<void> failed_by_hand(std::shared_ptr<script> what, std::optional<error>& failure) {
    const auto executor = co_await asio::this_coro::executor;
    https_session session = session_to(executor, address_of(start_script(executor, what)));
    failure = co_await failure_of(session, list_request(), in(30s));
    CHECK_FALSE(session.reusable());
}

TEST_CASE("an answer that breaks off is a loss, one that is not HTTP a violation") {
    struct row {
        std::string answer;
        errc code;
    };
    const row table[] = {
        {"", errc::connection_lost},
        {"HTTP/1.1 200 OK\r\nContent-Le", errc::connection_lost},
        {"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nwords", errc::connection_lost},
        {"SSH-2.0-OpenSSH_9.2\r\n\r\n", errc::protocol_violated},
        {"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", errc::protocol_violated},
        {"HTTP/1.1 200 OK\r\nContent-Length: 67108865\r\n\r\n", errc::result_too_large},
    };
    for (const row& one : table) {
        CAPTURE(one.answer);
        const auto what = std::make_shared<script>();
        what->answer = one.answer;
        what->hangs_up = true;
        std::optional<error> failure;
        test::run(failed_by_hand(what, failure));
        REQUIRE(failure);
        check_failure(*failure, one.code, phase::awaiting_reply, outcome::unknown);
    }
}

TEST_CASE("what is around the body of an answer is bounded, and said to be") {
    const std::string chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    const std::string announced = "HTTP/1.1 100 Continue\r\n\r\n";
    std::string extended;  // each of them short
    for (int i = 0; i < 20; ++i)
        extended += "1;" + std::string(1'000, 'a') + "\r\nx\r\n";
    std::string often;
    for (int i = 0; i < 9; ++i)
        often += announced;
    struct row {
        std::string answer;
        std::string words;
    };
    const row table[] = {
        {"HTTP/1.1 200 " + std::string(100'000, 'a'), "its header is longer than 16384 bytes"},
        {"HTTP/1.1 200 OK\r\nX: " + std::string(100'000, 'a'), "its header is longer"},
        {often + answer_text("{}"), "announced more than 8 times"},
        {chunked + "1;" + std::string(100'000, 'a'), "the line before a chunk"},
        {chunked + extended, "the extensions of its chunks"},
        {chunked + "0\r\nX: " + std::string(100'000, 'a'), "the trailers"},
    };
    for (const row& one : table) {
        CAPTURE(one.words);
        const auto what = std::make_shared<script>();
        what->answer = one.answer;
        std::optional<error> failure;
        test::run(failed_by_hand(what, failure));
        REQUIRE(failure);
        check_failure(*failure, errc::protocol_violated, phase::awaiting_reply, outcome::unknown);
        CHECK(mentions(failure->what(), one.words));
    }
}

TEST_CASE("an answer is read after those that only announce it") {
    const auto what = std::make_shared<script>();
    what->answer = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" +
                   answer_text("{}");
    std::optional<https_response> got;
    bool reusable = false;
    test::run(answered_by_hand(what, got, reusable));
    REQUIRE(got);
    CHECK(got->status == 200);
    CHECK(got->body == "{}");
    CHECK(reusable);
}

// What a call of the client fails with when it is answered like this.
awaitable<void> call_by_hand(std::shared_ptr<script> what, std::optional<error>& failure) {
    const auto executor = co_await asio::this_coro::executor;
    client_options options = shared().server.client_options();
    options.api_url = "https://127.0.0.1:" + std::to_string(start_script(executor, what));
    client service(executor, options);
    try {
        co_await service.delete_database(database_name("local/my-db"));
    } catch (const error& thrown) {
        failure = thrown;
    }
    co_await service.close();
}

TEST_CASE("a redirection is an error that says where it leads, but no secrets") {
    const auto what = std::make_shared<script>();
    what->answer =
        answer_text("", "Location: https://me:hunter2@elsewhere/db?api_key=v2_x\r\n", "302 Found");
    std::optional<error> failure;
    test::run(call_by_hand(what, failure));
    REQUIRE(failure);
    CHECK(failure->code() == errc::api_failed);
    CHECK(failure->http_status() == 302);
    CHECK(failure->outcome() == outcome::not_executed);
    CHECK(mentions(failure->what(), "HTTP 302, a redirection to https://elsewhere/db,"));
    CHECK_FALSE(mentions(failure->what(), "hunter2"));
    CHECK_FALSE(mentions(failure->what(), "v2_x"));
}

TEST_CASE("an answer that the server finds too large says so by its code") {
    const auto what = std::make_shared<script>();
    what->answer = answer_text(R"({"message":"too long","error":{"type":"result_too_large"}})", "",
                               "400 Bad Request");
    std::optional<error> failure;
    test::run(call_by_hand(what, failure));
    REQUIRE(failure);
    CHECK(failure->code() == errc::result_too_large);
    CHECK(failure->outcome() == outcome::unknown);
}

}  // namespace
