// The server's one Beast unit: a kept-alive connection, request by request.
#include <bitdotio/error.hpp>

#include "server/api_error.hpp"
#include "server/farewell.hpp"
#include "server/http_listener.hpp"

#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>
#include <boost/beast/http/write.hpp>
#include <boost/beast/ssl/ssl_stream.hpp>

#include <chrono>
#include <optional>
#include <utility>

namespace bitdotio {

namespace {

namespace beast = boost::beast;
namespace http = boost::beast::http;
using asio::redirect_error;
using asio::use_awaitable;
using asio::ip::tcp;

constexpr std::uint32_t header_limit = 16 * 1024;
constexpr std::uint64_t body_limit = 8 * 1024 * 1024;
// A connection that says nothing is kept this long: longer than clients keep theirs, so that it
// is they who hang up and no request meets a closing door.
constexpr std::chrono::seconds idle_patience{90};
// For a handshake, one header, one body, one answer taken.
constexpr std::chrono::seconds patience{30};

using parser = http::request_parser<http::string_body>;

class http_session final : public guest, public std::enable_shared_from_this<http_session> {
public:
    http_session(tcp::socket socket, asio::ssl::context& tls, const http_handler& handler)
        : stream_(std::move(socket), tls), handler_(handler) {}

    asio::any_io_executor executor() override { return stream_.get_executor(); }

    asio::awaitable<void> serve() override {
        const auto self = shared_from_this();
        boost::system::error_code gone;
        peer_ = lowest().socket().remote_endpoint(gone).address().to_string();
        lowest().expires_after(patience);
        co_await stream_.async_handshake(asio::ssl::stream_base::server, use_awaitable);
        while (!leaving_ && co_await serve_one()) {
        }
        lowest().expires_never();
        co_await say_farewell(stream_, lowest().socket(), true);
    }

    void leave() override {
        leaving_ = true;
        if (idle_) lowest().cancel();
    }

    void cut() noexcept override {
        boost::system::error_code ignored;
        lowest().socket().set_option(asio::socket_base::linger(true, 0), ignored);
        lowest().socket().close(ignored);
    }

private:
    beast::tcp_stream& lowest() { return beast::get_lowest_layer(stream_); }

    // One request and its answer; false if the connection ends with it.
    asio::awaitable<bool> serve_one() {
        parser incoming;
        incoming.header_limit(header_limit);
        incoming.body_limit(body_limit);
        boost::system::error_code failure;

        idle_ = buffer_.size() == 0;
        lowest().expires_after(idle_patience);
        co_await http::async_read_header(stream_, buffer_, incoming,
                                         redirect_error(use_awaitable, failure));
        idle_ = false;
        if (!failure) {
            lowest().expires_after(patience);
            if (beast::iequals(incoming.get()[http::field::expect], "100-continue")) {
                http::response<http::empty_body> go_on(http::status::continue_, 11);
                co_await http::async_write(stream_, go_on, use_awaitable);
            }
            co_await http::async_read(stream_, buffer_, incoming,
                                      redirect_error(use_awaitable, failure));
        }
        if (failure) {
            if (const auto refusal = refuse(failure)) {
                co_await send(*refusal, 11, false);
            }
            co_return false;
        }
        const auto& message = incoming.get();
        const bool keep_alive = message.keep_alive() && !leaving_;
        const unsigned version = message.version();
        lowest().expires_never();
        http_request request = take(incoming);
        request.peer = peer_;
        const http_response answer = co_await handle(std::move(request));
        co_await send(answer, version, keep_alive && !leaving_);
        co_return keep_alive && !leaving_;
    }

    static http_request take(parser& incoming) {
        auto message = incoming.release();
        http_request request;
        request.method = message.method_string();
        request.target = message.target();
        request.authorization = message[http::field::authorization];
        request.body = std::move(message.body());
        return request;
    }

    asio::awaitable<http_response> handle(http_request request) {
        std::string why;
        try {
            co_return co_await handler_(std::move(request));
        } catch (const std::exception& failure) {
            why = failure.what();
        }
        co_return api_error(500, "the server failed: " + why);
    }

    // The answer to what is no request we take; nothing where nobody asked or listens.
    static std::optional<http_response> refuse(const boost::system::error_code& failure) {
        if (failure == http::error::header_limit) {
            return api_error(
                431, "the header is longer than " + std::to_string(header_limit) + " bytes");
        }
        if (failure == http::error::body_limit) {
            return api_error(413,
                             "the body is longer than " + std::to_string(body_limit) + " bytes");
        }
        if (failure == http::error::end_of_stream || failure == http::error::partial_message) {
            return std::nullopt;
        }
        if (failure.category() == http::make_error_code(http::error::bad_method).category()) {
            return api_error(400, "not an HTTP/1.1 request: " + failure.message());
        }
        return std::nullopt;
    }

    asio::awaitable<void> send(http_response answer, unsigned version, bool keep_alive) {
        http::response<http::string_body> message(static_cast<http::status>(answer.status),
                                                  version);
        message.set(http::field::server, "bitdotio/" BITDOTIO_VERSION);
        message.set(http::field::content_type, "application/json");
        if (!answer.allow.empty()) message.set(http::field::allow, answer.allow);
        for (const auto& [name, value] : answer.headers) {
            message.set(name, value);
        }
        if (answer.status == 401) message.set(http::field::www_authenticate, "Bearer");
        message.body() = std::move(answer.body);
        message.keep_alive(keep_alive);
        message.prepare_payload();
        lowest().expires_after(patience);
        co_await http::async_write(stream_, message, use_awaitable);
    }

    beast::ssl_stream<beast::tcp_stream> stream_;
    const http_handler handler_;
    beast::flat_buffer buffer_;
    std::string peer_;
    bool idle_ = false;     // between two requests
    bool leaving_ = false;  // the server is closing
};

}  // namespace

std::shared_ptr<door> make_http_door(asio::any_io_executor executor, asio::ssl::context& tls,
                                     http_handler handler) {
    return std::make_shared<door>(executor, [&tls, handler](tcp::socket socket) {
        return std::make_shared<http_session>(std::move(socket), tls, handler);
    });
}

}  // namespace bitdotio
