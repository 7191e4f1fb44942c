// What a call of the API says when it is tried more than once.
#include <bitdotio/client.hpp>
#include <bitdotio/error.hpp>

#include "server/tls/tls_identity.hpp"
#include "support/child.hpp"

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <exception>
#include <optional>
#include <string>

namespace {

namespace asio = boost::asio;
namespace ssl = boost::asio::ssl;
using namespace bitdotio;
using namespace std::chrono_literals;
using asio::awaitable;

/// A service that answers one call and is gone afterwards, on the executor of its client: when
/// nothing is left to run there, the client waits.
class one_answer {
public:
    explicit one_answer(std::string answer)
        : known_(open_tls_identity(directory_ / "tls", "127.0.0.1")), answer_(std::move(answer)) {
        tls_.use_certificate_chain_file(known_.certificate_file.string());
        tls_.use_private_key_file(known_.key_file.string(), ssl::context::pem);
        asio::co_spawn(io, give(), [](std::exception_ptr failed) { CHECK(!failed); });
    }

    client_options options() const {
        client_options made;
        made.key.emplace("v2_any");
        made.api_url = "https://127.0.0.1:" + std::to_string(port_);
        made.ca_file = known_.ca_file.string();
        made.postgres_host = "127.0.0.1";
        made.postgres_port = 1;
        return made;
    }

    asio::io_context io;
    bool over = false;  ///< the client has the answer, and has hung up

private:
    awaitable<void> give() {
        ssl::stream<asio::ip::tcp::socket> stream(
            co_await acceptor_.async_accept(asio::use_awaitable), tls_);
        acceptor_.close();
        co_await stream.async_handshake(ssl::stream_base::server, asio::use_awaitable);
        std::string request;
        co_await asio::async_read_until(stream, asio::dynamic_buffer(request), "\r\n\r\n",
                                        asio::use_awaitable);
        co_await asio::async_write(stream, asio::buffer(answer_), asio::use_awaitable);
        boost::system::error_code ended;
        while (!ended) {
            char rest[64];
            co_await stream.async_read_some(asio::buffer(rest),
                                            asio::redirect_error(asio::use_awaitable, ended));
        }
        over = true;
    }

    const test::temporary_directory directory_;
    const tls_identity known_;
    const std::string answer_;
    ssl::context tls_{ssl::context::tls_server};
    asio::ip::tcp::acceptor acceptor_{io, {asio::ip::make_address("127.0.0.1"), 0}};
    const unsigned port_ = acceptor_.local_endpoint().port();
};

std::string answer(const std::string& status) {
    return "HTTP/1.1 " + status + "\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}";
}

awaitable<void> list(client service) {
    co_await service.list_databases();
}

// The error of a call, cancelled in its pause if `cancel`.
error failure_of(one_answer& service, const client_options& options, bool cancel) {
    client caller(service.io.get_executor(), options);
    asio::cancellation_signal signal;
    std::exception_ptr failed;
    asio::co_spawn(service.io, list(caller),
                   asio::bind_cancellation_slot(
                       signal.slot(), [&](std::exception_ptr thrown) { failed = thrown; }));
    const auto deadline = std::chrono::steady_clock::now() + 20s;
    while (!service.over && std::chrono::steady_clock::now() < deadline)
        service.io.run_one_for(1s);
    REQUIRE(service.over);
    if (cancel) {
        while (service.io.poll() > 0) {
        }
        REQUIRE(!failed);
        signal.emit(asio::cancellation_type::terminal);
    }
    while (!failed && std::chrono::steady_clock::now() < deadline)
        service.io.run_one_for(1s);
    REQUIRE(failed);
    try {
        std::rethrow_exception(failed);
    } catch (const error& failure) {
        return failure;
    }
}

}  // namespace

TEST_CASE("a call cancelled between two tries says what is known of the tries before") {
    struct example {
        const char* status;
        outcome known;
    };
    for (const auto& [status, known] : {example{"503 Service Unavailable", outcome::unknown},
                                        example{"429 Too Many Requests", outcome::not_executed}}) {
        CAPTURE(status);
        one_answer service(answer(status));
        client_options options = service.options();
        options.request_timeout = 1h;
        options.retry.first_delay = 10min;
        options.retry.max_delay = 10min;
        const error failure = failure_of(service, options, true);
        CHECK(failure.code() == errc::cancelled);
        CHECK(failure.outcome() == known);
        CHECK(failure.attempts() == 1);
        CHECK(std::string(failure.what()) == "cannot list databases: cancelled between two tries");
    }
}

TEST_CASE("a try that may have been carried out is not forgotten when the next one is not sent") {
    one_answer service(answer("503 Service Unavailable"));
    client_options options = service.options();
    options.retry.max_attempts = 2;
    options.retry.first_delay = 1ms;
    const error failure = failure_of(service, options, false);
    CHECK(failure.code() == errc::connect_failed);
    CHECK(failure.attempts() == 2);
    CHECK(failure.outcome() == outcome::unknown);
}
