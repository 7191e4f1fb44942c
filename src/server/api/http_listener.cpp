// Serves a kept-alive connection request by request; the server's only unit of Beast.
#include <bitdotio/error.hpp>

#include "server/api/api_error.hpp"
#include "server/api/http_listener.hpp"
#include "server/base/tls_shutdown.hpp"

#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http/buffer_body.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/serializer.hpp>
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
// An idle connection is kept this long: longer than clients keep theirs, so that clients hang up
// and no request meets a server that is closing.
constexpr std::chrono::seconds idle_patience{90};
// The limit for a handshake, one header, one body, or one answer.
constexpr std::chrono::seconds patience{30};

// How much of a streamed body is passed on at once, and how long that may take.
constexpr std::size_t piece_size = 256 * 1024;
constexpr std::chrono::seconds piece_patience{120};

using header_parser = http::request_parser<http::empty_body>;
using memory_parser = http::request_parser<http::string_body>;
using stream_parser = http::request_parser<http::buffer_body>;

class http_session final : public server_connection,
                           public std::enable_shared_from_this<http_session> {
public:
    http_session(tcp::socket socket, asio::ssl::context& tls, const http_handler& handler)
        : stream_(std::move(socket), tls), handler_(handler) {}

    asio::any_io_executor executor() override { return stream_.get_executor(); }

    asio::awaitable<void> serve() override {
        const auto self = shared_from_this();
        boost::system::error_code gone;
        peer_ = lowest().socket().remote_endpoint(gone).address().to_string();
        const tcp::endpoint here = lowest().socket().local_endpoint(gone);
        here_ = (here.address().is_v6() ? "[" + here.address().to_string() + "]"
                                        : here.address().to_string()) +
                ":" + std::to_string(here.port());
        lowest().expires_after(patience);
        co_await stream_.async_handshake(asio::ssl::stream_base::server, use_awaitable);
        while (!leaving_ && co_await serve_one()) {
        }
        lowest().expires_never();
        co_await tls_shutdown(stream_, lowest().socket(), true);
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

    // A body as it arrives from the network.
    class incoming_body final : public body_stream {
    public:
        incoming_body(http_session& session, header_parser&& header)
            : session_(&session), parser_(std::move(header)) {
            parser_.body_limit(boost::none);  // the reader of the body counts
        }

        asio::awaitable<std::string> next() override {
            if (!session_) throw error(errc::protocol_violated, "the request has been answered");
            std::string piece;
            if (parser_.is_done()) co_return piece;
            co_await session_->invite(parser_.get());
            piece.resize(piece_size);
            auto& room = parser_.get().body();
            room.data = piece.data();
            room.size = piece.size();
            room.more = true;
            boost::system::error_code failure;
            session_->lowest().expires_after(piece_patience);
            co_await http::async_read(session_->stream_, session_->buffer_, parser_,
                                      redirect_error(use_awaitable, failure));
            session_->lowest().expires_never();
            if (failure && failure != http::error::need_buffer) {
                failure_ = failure;
                throw boost::system::system_error(failure, "the body did not come");
            }
            piece.resize(piece.size() - room.size);
            co_return piece;
        }

        bool is_done() const { return parser_.is_done(); }
        /// Why the rest never came.
        const boost::system::error_code& failure() const { return failure_; }
        void end() noexcept { session_ = nullptr; }

    private:
        http_session* session_;
        stream_parser parser_;
        boost::system::error_code failure_;
    };

    // Serves one request; returns false if the connection ends with it.
    asio::awaitable<bool> serve_one() {
        header_parser header;
        header.header_limit(header_limit);
        header.body_limit(boost::none);
        boost::system::error_code failure;

        idle_ = buffer_.size() == 0;
        lowest().expires_after(idle_patience);
        co_await http::async_read_header(stream_, buffer_, header,
                                         redirect_error(use_awaitable, failure));
        idle_ = false;
        http_request request;
        std::shared_ptr<incoming_body> streamed;
        bool keep_alive = false;
        unsigned version = 11;
        if (!failure) {
            keep_alive = header.keep_alive();
            version = header.get().version();
            request = take(header.get());
            request.peer = peer_;
            invited_ = false;
            if (const auto refusal = refuse_header(header.get())) {
                co_await send(*refusal, version, false, false);
                co_return false;
            }
            if (request.to.streams) {
                streamed = std::make_shared<incoming_body>(*this, std::move(header));
                request.stream = streamed;
            } else {
                co_await read_into(request.body, std::move(header), failure);
            }
        }
        if (failure) {
            if (const auto refusal = refuse(failure)) {
                co_await send(*refusal, 11, false, false);
            }
            co_return false;
        }
        const bool head = request.method == "HEAD";
        lowest().expires_never();
        http_response answer = co_await handle(std::move(request));
        if (streamed) {
            keep_alive = keep_alive && streamed->is_done();
            streamed->end();
            if (streamed->failure()) {  // the answer to half a body does not count
                if (const auto refusal = refuse(streamed->failure())) {
                    co_await send(*refusal, version, false, false);
                }
                co_return false;
            }
        }
        keep_alive = keep_alive && !leaving_;
        co_await send(std::move(answer), version, keep_alive, head);
        co_return keep_alive && !leaving_;
    }

    asio::awaitable<void> read_into(std::string& body, header_parser&& header,
                                    boost::system::error_code& failure) {
        if (header.content_length_remaining().value_or(0) > body_limit) {
            failure = http::error::body_limit;
            co_return;
        }
        memory_parser incoming(std::move(header));
        incoming.body_limit(body_limit);
        lowest().expires_after(patience);
        co_await invite(incoming.get());
        co_await http::async_read(stream_, buffer_, incoming,
                                  redirect_error(use_awaitable, failure));
        body = std::move(incoming.get().body());
    }

    // Answers "Expect: 100-continue", once.
    template <class Fields>
    asio::awaitable<void> invite(const Fields& header) {
        if (std::exchange(invited_, true)) co_return;
        if (!beast::iequals(header[http::field::expect], "100-continue")) co_return;
        http::response<http::empty_body> go_on(http::status::continue_, 11);
        co_await http::async_write(stream_, go_on, use_awaitable);
    }

    // A host and perhaps a port, as far as the bytes show: we repeat it in addresses.
    static bool is_host(std::string_view text) {
        return text.find_first_not_of(
                   "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~%:[]") ==
               std::string_view::npos;
    }

    template <class Message>
    http_request take(const Message& message) {
        http_request request;
        request.method = message.method_string();
        request.target = message.target();
        request.to = find_route(request.method, request.target);
        request.host = message[http::field::host];
        if (request.host.empty()) request.host = here_;
        request.authorization = message[http::field::authorization];
        request.content_type = message[http::field::content_type];
        request.range = message[http::field::range];
        request.if_range = message[http::field::if_range];
        return request;
    }

    asio::awaitable<http_response> handle(http_request request) {
        try {
            co_return co_await handler_(std::move(request));
        } catch (const std::exception&) {
            // The handler answers failures itself and logs them: here even that has failed.
        }
        co_return api_error(500, "the server failed", "internal");
    }

    // The answer to a request we do not take; nothing if nobody asked or listens.
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

    // Refuses ambiguous requests, such as a body in an unknown coding: nobody can tell where it
    // ends and the next request begins.
    template <class Message>
    static std::optional<http_response> refuse_header(const Message& message) {
        const std::size_t hosts = message.count(http::field::host);
        if (hosts > 1 || (hosts == 0 && message.version() >= 11) ||
            !is_host(message[http::field::host])) {
            return api_error(400, "not an HTTP/1.1 request: it must have one header Host");
        }
        const auto coding = message.find(http::field::transfer_encoding);
        if (coding == message.end()) return std::nullopt;
        if (message.version() < 11) {
            return api_error(400, "not an HTTP/1.1 request: a transfer coding in HTTP/1.0");
        }
        if (message.count(http::field::transfer_encoding) == 1 &&
            beast::iequals(coding->value(), "chunked")) {
            return std::nullopt;
        }
        return api_error(501, "the only transfer coding this server knows is chunked");
    }

    template <class Message>
    static void fill(Message& message, const http_response& answer, bool keep_alive) {
        message.set(http::field::server, "bitdotio/" BITDOTIO_VERSION);
        message.set(http::field::content_type, answer.content_type);
        if (!answer.allow.empty()) message.set(http::field::allow, answer.allow);
        if (answer.status == 401) message.set(http::field::www_authenticate, "Bearer");
        for (const auto& [name, value] : answer.headers) {
            // Added to existing ones: browsers read one challenge of each WWW-Authenticate.
            message.insert(name, value);
        }
        message.keep_alive(keep_alive);
    }

    asio::awaitable<void> send(http_response answer, unsigned version, bool keep_alive, bool head) {
        const auto status = static_cast<http::status>(answer.status);
        lowest().expires_after(patience);
        if (!answer.stream && !head) {
            http::response<http::string_body> message(status, version);
            fill(message, answer, keep_alive);
            message.body() = std::move(answer.body);
            message.prepare_payload();
            co_await http::async_write(stream_, message, use_awaitable);
            co_return;
        }
        http::response<http::empty_body> message(status, version);
        fill(message, answer, keep_alive);
        message.content_length(answer.stream ? answer.length : answer.body.size());
        http::response_serializer<http::empty_body> header(message);
        co_await http::async_write_header(stream_, header, use_awaitable);
        if (head) co_return;
        std::uint64_t sent = 0;
        while (sent < answer.length) {
            const std::string piece = co_await answer.stream->next();
            if (piece.empty()) {  // the client must see that the body is incomplete
                throw error(errc::system_failed, "the body ended before its announced length");
            }
            sent += piece.size();
            lowest().expires_after(piece_patience);
            co_await asio::async_write(stream_, asio::buffer(piece), use_awaitable);
        }
    }

    beast::ssl_stream<beast::tcp_stream> stream_;
    const http_handler handler_;
    beast::flat_buffer buffer_;
    std::string peer_;
    std::string here_;      // the address that was reached, for clients that name none
    bool idle_ = false;     // between two requests
    bool invited_ = false;  // to send the body of this request
    bool leaving_ = false;  // the server is closing
};

}  // namespace

std::shared_ptr<tcp_server> make_http_server(asio::any_io_executor executor,
                                             asio::ssl::context& tls, http_handler handler) {
    return std::make_shared<tcp_server>(executor, [&tls, handler](tcp::socket socket) {
        return std::make_shared<http_session>(std::move(socket), tls, handler);
    });
}

}  // namespace bitdotio
