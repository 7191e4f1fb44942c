// Clients that send, or read, a byte now and then: each is cut at the end of its time.
#include "server/api/body_budget.hpp"
#include "server/api/http_listener.hpp"
#include "server/tls/tls_identity.hpp"
#include "support/child.hpp"
#include "support/raw_client.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/use_future.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>

namespace {

namespace asio = boost::asio;
using namespace bitdotio;
using namespace std::chrono_literals;
using test::raw_client;

// Answers every request; a path that begins with "/stream" takes its body in pieces.
class plain_service final : public http_service {
public:
    asio::awaitable<std::optional<http_response>> admit(http_request& request) const override {
        request.to.call = api_call::health;
        request.to.streams = request.target.starts_with("/stream");
        request.who.emplace();
        co_return std::nullopt;
    }
    asio::awaitable<http_response> answer(http_request request) const override {
        std::size_t size = request.body.size();
        while (request.stream) {
            const std::string piece = co_await request.stream->next();
            size += piece.size();
            if (piece.empty()) break;
        }
        if (request.target == "/large") co_return http_response(200, std::string(32 << 20, 'x'));
        co_return http_response(200, std::to_string(size));
    }
};

http_times short_times() {
    http_times times;
    times.exchange = 600ms;
    times.idle = 600ms;
    times.piece = 600ms;
    times.refused = 600ms;
    return times;
}

struct house {
    house() {
        const tls_identity identity = open_tls_identity(directory.path(), "127.0.0.1");
        tls.use_certificate_chain_file(identity.certificate_file);
        tls.use_private_key_file(identity.key_file, asio::ssl::context::pem);
        entrance = make_http_server(io.get_executor(), tls, std::make_shared<plain_service>(),
                                    std::make_shared<body_budget>(io.get_executor(), 1 << 20),
                                    short_times());
        entrance->listen("127.0.0.1", 0);
        entrance->open();
        thread = std::thread([this] { io.run(); });
    }
    ~house() {
        asio::co_spawn(io, entrance->close(0ms), asio::use_future).wait();
        thread.join();
    }

    const test::temporary_directory directory;
    asio::io_context io{1};
    asio::ssl::context tls{asio::ssl::context::tls_server};
    std::shared_ptr<tcp_server> entrance;
    std::thread thread;
};

// Sends it byte by byte, each long before the end of a wait for one byte; returns how long the
// server took that.
std::chrono::milliseconds drip(raw_client& client, const std::string& text) {
    const auto begin = std::chrono::steady_clock::now();
    for (const char byte : text) {
        if (client.has_ended() || std::chrono::steady_clock::now() - begin > 20s) break;
        client.send(std::string(1, byte));
        std::this_thread::sleep_for(50ms);
    }
    client.read();
    return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() -
                                                                 begin);
}

const std::string without_end(2'000, 'a');

}  // namespace

TEST_CASE("a client that drips is cut at the end of its time, wherever in a request it is") {
    house one;
    const struct {
        const char* what;
        std::string at_once;
    } cases[] = {
        {"a header", "GET /x HTTP/1.1\r\nHost: localhost\r\nX-Slow: "},
        {"a body in memory", "POST /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9000\r\n\r\n"},
        {"a body in pieces",
         "POST /stream HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9000\r\n\r\n"},
        {"a chunk",
         "POST /x HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n2000\r\n"},
    };
    for (const auto& each : cases) {
        CAPTURE(each.what);
        raw_client client(one.entrance->port());
        client.send(each.at_once);
        CHECK(drip(client, without_end) < 10s);
        CHECK(client.has_ended());
    }
}

TEST_CASE("a client that says nothing is cut, one in time is served") {
    house one;
    raw_client silent(one.entrance->port());
    raw_client client(one.entrance->port());
    client.send("POST /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc");
    CHECK(client.read("\r\n\r\n3").starts_with("HTTP/1.1 200"));
    silent.read();
    CHECK(silent.has_ended());
    client.read();  // idle too long
    CHECK(client.has_ended());
}

TEST_CASE("a client that does not read its answer is cut at the end of its time") {
    house one;
    raw_client client(one.entrance->port());
    client.send("GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n");
    std::this_thread::sleep_for(2s);  // the time is over, whatever the machine does meanwhile
    const std::string seen = client.read();
    CHECK(seen.starts_with("HTTP/1.1 200"));
    CHECK(seen.size() < (32 << 20));
    CHECK(client.has_ended());
}
