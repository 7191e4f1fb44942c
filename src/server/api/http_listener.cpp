// Serves a kept-alive connection request by request; the server's only unit of Beast.
#include <bitdotio/error.hpp>

#include "base/chunk_extensions.hpp"
#include "server/api/api_error.hpp"
#include "server/api/body_budget.hpp"
#include "server/api/client_watch.hpp"
#include "server/api/http_listener.hpp"
#include "server/api/http_rules.hpp"
#include "server/base/tls_shutdown.hpp"

#include <boost/asio/experimental/parallel_group.hpp>
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

#include <algorithm>
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

// An idle connection is kept this long: longer than clients keep theirs, so that clients hang up
// and no request meets a server that is closing.
constexpr std::chrono::seconds idle_patience{90};
// The limit for a handshake, one header, one body, or one answer.
constexpr std::chrono::seconds patience{30};

// How much of a streamed body is passed on at once, and how long that may take.
constexpr std::size_t piece_size = 256 * 1024;
constexpr std::chrono::seconds piece_patience{120};

// How long a request waits for room for its body.
constexpr std::chrono::seconds room_patience{10};
// How long a client may go on with a body that was refused before the connection is cut.
constexpr std::chrono::seconds refused_patience{10};

using header_parser = http::request_parser<http::empty_body>;
using memory_parser = http::request_parser<http::string_body>;
using stream_parser = http::request_parser<http::buffer_body>;

class http_session final : public server_connection,
                           public std::enable_shared_from_this<http_session> {
public:
    http_session(tcp::socket socket, asio::ssl::context& tls,
                 std::shared_ptr<const http_service> service, std::shared_ptr<body_budget> memory)
        : stream_(std::move(socket), tls),
          service_(std::move(service)),
          memory_(std::move(memory)) {}

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
        co_await tls_shutdown(stream_, lowest().socket(), true, farewell_);
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
            parser_.on_chunk_header(extensions_);
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
        chunk_extensions extensions_;
        boost::system::error_code failure_;
    };

    // Serves one request; returns false if the connection ends with it.
    asio::awaitable<bool> serve_one() {
        header_parser header;
        header.header_limit(http_bounds::header);
        header.body_limit(boost::none);
        boost::system::error_code failure;
        co_await await_request(failure);
        if (!failure) {
            lowest().expires_after(patience);
            co_await http::async_read_header(stream_, buffer_, header,
                                             redirect_error(use_awaitable, failure));
        }
        if (failure) {
            co_await send_refusal(refuse_unreadable(failure), 11);
            co_return false;
        }
        const unsigned version = header.get().version();
        std::optional<http_response> refused = refuse_header(header.get());
        if (!refused && !refusal().empty()) refused = api_error(503, refusal(), "too_many");
        if (refused) {
            co_await send_refusal(std::move(refused), version);
            co_return false;
        }
        const bool has_body = header.chunked() || header.content_length().value_or(0) > 0;
        const bool head = header.get().method() == http::verb::head;
        bool keep_alive = header.keep_alive();
        invited_ = false;
        http_request request = take(header.get());
        if (const auto length = header.content_length()) request.declared = *length;

        lowest().expires_never();
        refused = co_await admit(request);
        if (refused) {  // a body is not read: it ends the connection
            keep_alive = keep_alive && !has_body && !leaving_;
            if (has_body) farewell_ = refused_patience;
            co_await send(std::move(*refused), version, keep_alive, head);
            co_return keep_alive;
        }
        if (request.who) prove();
        std::shared_ptr<incoming_body> streamed;
        body_budget::share room;
        if (request.to.streams) {
            streamed = std::make_shared<incoming_body>(*this, std::move(header));
            request.stream = streamed;
        } else if (has_body) {
            refused = co_await read_body(request, std::move(header), room, failure);
        }
        if (refused || failure) {
            farewell_ = refused_patience;
            co_await send_refusal(std::move(refused), version);
            co_return false;
        }
        const api_call call = request.to.call.value();
        std::optional<http_response> answer;
        if (!serves_gone(call)) {
            answer = co_await answer_watched(std::move(request), !streamed);
        } else {
            answer = co_await answer_to(std::move(request));
        }
        room = {};
        if (!answer) co_return false;  // nobody is there to read it
        if (call == api_call::download && answer->status < 400) prove();
        if (streamed) {
            keep_alive = keep_alive && streamed->is_done();
            if (!streamed->is_done()) farewell_ = refused_patience;
            streamed->end();
            if (streamed->failure()) {  // the answer to half a body does not count
                co_await send_refusal(refuse_unreadable(streamed->failure()), version);
                co_return false;
            }
        }
        keep_alive = keep_alive && !leaving_;
        co_await send(std::move(*answer), version, keep_alive, head);
        co_return keep_alive && !leaving_;
    }

    // Waits for the first bytes of a request. Newcomers have less time for it than clients that
    // have shown a key.
    asio::awaitable<void> await_request(boost::system::error_code& failure) {
        if (buffer_.size() > 0) co_return;
        idle_ = true;
        lowest().expires_after(std::exchange(new_, false) ? patience : idle_patience);
        const auto room = buffer_.prepare(4'096);
        const std::size_t size =
            co_await stream_.async_read_some(room, redirect_error(use_awaitable, failure));
        buffer_.commit(size);
        idle_ = false;
    }

    // Reads a body into memory that is reserved for it. Returns the refusal if it is too large, or
    // there is no room.
    asio::awaitable<std::optional<http_response>> read_body(http_request& request,
                                                            header_parser&& header,
                                                            body_budget::share& room,
                                                            boost::system::error_code& failure) {
        const std::uint64_t most = std::min(largest_body(request.to), memory_->most());
        if (request.declared.value_or(0) > most) {
            co_return refuse_unreadable(http::error::body_limit, most);
        }
        std::string busy;
        try {
            room = co_await memory_->reserve(request.declared.value_or(most),
                                             std::chrono::steady_clock::now() + room_patience);
        } catch (const error& full) {
            if (full.code() != errc::server_busy) throw;
            busy = full.what();
        }
        if (!busy.empty()) {
            http_response refused = api_error(503, busy, "unavailable");
            refused.headers.emplace_back("Retry-After", "1");
            co_return refused;
        }
        memory_parser incoming(std::move(header));
        chunk_extensions extensions;
        incoming.on_chunk_header(extensions);
        incoming.body_limit(most);
        lowest().expires_after(patience);
        co_await invite(incoming.get());
        co_await http::async_read(stream_, buffer_, incoming,
                                  redirect_error(use_awaitable, failure));
        lowest().expires_never();
        if (failure) co_return refuse_unreadable(failure, most);
        request.body = std::move(incoming.get().body());
        room.shrink(request.body.size());
        co_return std::nullopt;
    }

    // Answers "Expect: 100-continue", once.
    template <class Fields>
    asio::awaitable<void> invite(const Fields& header) {
        if (std::exchange(invited_, true)) co_return;
        if (!beast::iequals(header[http::field::expect], "100-continue")) co_return;
        http::response<http::empty_body> go_on(http::status::continue_, 11);
        co_await http::async_write(stream_, go_on, use_awaitable);
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
        request.peer = peer_;
        request.begun = std::chrono::steady_clock::now();
        return request;
    }

    asio::awaitable<std::optional<http_response>> admit(http_request& request) {
        try {
            co_return co_await service_->admit(request);
        } catch (const std::exception&) {
            // The service answers failures itself and logs them: here even that has failed.
        }
        co_return api_error(500, "the server failed", "internal");
    }

    asio::awaitable<http_response> answer_to(http_request request) {
        std::string why;
        try {
            co_return co_await service_->answer(std::move(request));
        } catch (const std::exception& failure) {
            why = failure.what();
        }
        co_return api_error(500, "the server failed: " + why);
    }

    // Answers a request, or cancels it and returns nothing if the client goes meanwhile.
    asio::awaitable<std::optional<http_response>> answer_watched(http_request request,
                                                                 bool may_read) {
        const asio::any_io_executor here = executor();
        auto watch = watch_client(may_read, request.gone);
        auto both = asio::experimental::make_parallel_group(
            beside(here, answer_to(std::move(request))), beside(here, std::move(watch)));
        auto [order, failure, answer, watch_failure] =
            co_await both.async_wait(asio::experimental::wait_for_one(), use_awaitable);
        if (order[0] == 1 && !watch_failure) co_return std::nullopt;
        if (failure) std::rethrow_exception(failure);
        co_return std::move(answer);
    }

    asio::awaitable<void> watch_client(bool may_read, std::shared_ptr<bool> gone) {
        co_await client_leaves(stream_, lowest().socket(), buffer_,
                               may_read ? http_bounds::header : 0);
        *gone = true;
    }

    asio::awaitable<void> send_refusal(std::optional<http_response> refused, unsigned version) {
        if (refused) co_await send(std::move(*refused), version, false, false);
    }

    asio::awaitable<void> send(http_response answer, unsigned version, bool keep_alive, bool head) {
        const auto status = static_cast<http::status>(answer.status);
        lowest().expires_after(patience);
        if (!answer.stream && !head) {
            http::response<http::string_body> message(status, version);
            fill_header(message, answer, keep_alive);
            message.body() = std::move(answer.body);
            message.prepare_payload();
            co_await http::async_write(stream_, message, use_awaitable);
            co_return;
        }
        http::response<http::empty_body> message(status, version);
        fill_header(message, answer, keep_alive);
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
    const std::shared_ptr<const http_service> service_;
    const std::shared_ptr<body_budget> memory_;
    beast::flat_buffer buffer_{http_bounds::buffer};
    std::string peer_;
    std::string here_;  // the address that was reached, for clients that name none
    std::chrono::seconds farewell_ = usual_farewell;
    bool new_ = true;       // it has sent no request yet
    bool idle_ = false;     // between two requests
    bool invited_ = false;  // to send the body of this request
    bool leaving_ = false;  // the server is closing
};

}  // namespace

bool serves_gone(api_call call) noexcept {
    return call != api_call::query && call != api_call::wake && call != api_call::start_import;
}

std::shared_ptr<tcp_server> make_http_server(asio::any_io_executor executor,
                                             asio::ssl::context& tls,
                                             std::shared_ptr<const http_service> service,
                                             std::shared_ptr<body_budget> memory) {
    return std::make_shared<tcp_server>(executor, [&tls, service, memory](tcp::socket socket) {
        return std::make_shared<http_session>(std::move(socket), tls, service, memory);
    });
}

}  // namespace bitdotio
