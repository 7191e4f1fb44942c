// One TLS connection as HTTP: bodies in, in pieces or whole, and answers out.
#pragma once

#include <bitdotio/error.hpp>

#include "base/chunk_extensions.hpp"
#include "server/api/http_listener.hpp"
#include "server/api/http_rules.hpp"

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/string.hpp>
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
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

namespace bitdotio {

/// How much of a streamed body is passed on at once.
inline constexpr std::size_t http_piece = 256 * 1024;

/// The connection, what has been read of it ahead, and its deadlines.
///
/// Thread safety: one thread at a time.
class http_stream {
public:
    using header_parser = boost::beast::http::request_parser<boost::beast::http::empty_body>;
    using memory_parser = boost::beast::http::request_parser<boost::beast::http::string_body>;
    using stream_parser = boost::beast::http::request_parser<boost::beast::http::buffer_body>;

    http_stream(asio::ip::tcp::socket socket, asio::ssl::context& tls, const http_times& times)
        : times_(times), stream_(std::move(socket), tls) {}

    auto& tls() noexcept { return stream_; }
    boost::beast::tcp_stream& lowest() { return boost::beast::get_lowest_layer(stream_); }
    boost::beast::flat_buffer& ahead() noexcept { return ahead_; }
    const http_times& times() const noexcept { return times_; }

    /// A request begins, which may wait for its invitation.
    void begin() noexcept { invited_ = false; }

    /// Answers "Expect: 100-continue", once.
    template <class Fields>
    asio::awaitable<void> invite(const Fields& header) {
        if (std::exchange(invited_, true)) co_return;
        namespace http = boost::beast::http;
        if (!boost::beast::iequals(header[http::field::expect], "100-continue")) co_return;
        http::response<http::empty_body> go_on(http::status::continue_, 11);
        co_await http::async_write(stream_, go_on, asio::use_awaitable);
    }

    /// Reads a body of at most `most` bytes into memory.
    asio::awaitable<std::string> read_whole(header_parser&& header, std::uint64_t most,
                                            boost::system::error_code& failure) {
        memory_parser incoming(std::move(header));
        chunk_extensions extensions;
        incoming.on_chunk_header(extensions);
        incoming.body_limit(most);
        lowest().expires_after(times_.exchange);
        co_await invite(incoming.get());
        co_await boost::beast::http::async_read(stream_, ahead_, incoming,
                                                asio::redirect_error(asio::use_awaitable, failure));
        lowest().expires_never();
        co_return std::move(incoming.get().body());
    }

    /// Reads the next piece of a body; empty with a `failure`, or at the end.
    asio::awaitable<std::string> read_piece(stream_parser& parser,
                                            boost::system::error_code& failure) {
        namespace http = boost::beast::http;
        co_await invite(parser.get());
        std::string piece(http_piece, '\0');
        auto& room = parser.get().body();
        room.data = piece.data();
        room.size = piece.size();
        room.more = true;
        lowest().expires_after(times_.piece);
        co_await http::async_read(stream_, ahead_, parser,
                                  asio::redirect_error(asio::use_awaitable, failure));
        lowest().expires_never();
        if (failure == http::error::need_buffer) failure = {};
        piece.resize(failure ? 0 : piece.size() - room.size);
        co_return piece;
    }

    /// Sends an answer; the body of one to HEAD is left out.
    asio::awaitable<void> send(http_response answer, unsigned version, bool keep_alive, bool head) {
        namespace http = boost::beast::http;
        const auto status = static_cast<http::status>(answer.status);
        lowest().expires_after(times_.exchange);
        if (!answer.stream && !head) {
            http::response<http::string_body> message(status, version);
            fill_header(message, answer, keep_alive);
            message.body() = std::move(answer.body);
            message.prepare_payload();
            co_await http::async_write(stream_, message, asio::use_awaitable);
            co_return;
        }
        http::response<http::empty_body> message(status, version);
        fill_header(message, answer, keep_alive);
        message.content_length(answer.stream ? answer.length : answer.body.size());
        http::response_serializer<http::empty_body> header(message);
        co_await http::async_write_header(stream_, header, asio::use_awaitable);
        if (head) co_return;
        std::uint64_t sent = 0;
        while (sent < answer.length) {
            const std::string piece = co_await answer.stream->next();
            if (piece.empty()) {  // the client must see that the body is incomplete
                throw error(errc::system_failed, "the body ended before its announced length");
            }
            sent += piece.size();
            lowest().expires_after(times_.piece);
            co_await asio::async_write(stream_, asio::buffer(piece), asio::use_awaitable);
        }
    }

private:
    const http_times times_;
    boost::beast::ssl_stream<boost::beast::tcp_stream> stream_;
    boost::beast::flat_buffer ahead_{http_bounds::buffer};
    bool invited_ = false;  // to send the body of this request
};

/// A body as it arrives from the network.
class incoming_body final : public body_stream {
public:
    /// Parameters: `from` must outlive it, or `end` be called.
    incoming_body(http_stream& from, http_stream::header_parser&& header)
        : from_(&from), parser_(std::move(header)) {
        parser_.body_limit(boost::none);  // the reader of the body counts
        parser_.on_chunk_header(extensions_);
    }

    asio::awaitable<std::string> next() override {
        if (!from_) throw error(errc::protocol_violated, "the request has been answered");
        if (parser_.is_done()) co_return std::string();
        std::string piece = co_await from_->read_piece(parser_, failure_);
        if (failure_) throw boost::system::system_error(failure_, "the body did not come");
        co_return piece;
    }

    bool is_done() const { return parser_.is_done(); }
    /// Why the rest never came.
    const boost::system::error_code& failure() const { return failure_; }
    void end() noexcept { from_ = nullptr; }

private:
    http_stream* from_;
    http_stream::stream_parser parser_;
    chunk_extensions extensions_;
    boost::system::error_code failure_;
};

}  // namespace bitdotio
