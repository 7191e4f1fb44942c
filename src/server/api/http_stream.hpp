// One TLS connection as HTTP: bodies in, in pieces or whole, and answers out.
#pragma once

#include <bitdotio/error.hpp>

#include "base/alarm.hpp"
#include "base/chunk_extensions.hpp"
#include "server/api/http_listener.hpp"
#include "server/api/http_rules.hpp"
#include "server/base/tls_shutdown.hpp"
#include "server/base/tls_socket.hpp"

#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/string.hpp>
#include <boost/beast/http/buffer_body.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <boost/system/system_error.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

namespace bitdotio {

/// How much of a streamed body is passed on at once.
inline constexpr std::size_t http_piece = 256 * 1024;

/// The connection, what has been read of it ahead, and its deadlines.
///
/// Beast's parsers read what the socket has; Beast's streams are not used, as each of their steps
/// sets a timer and goes through an executor whose type it does not know.
///
/// Thread safety: one thread at a time.
class http_stream {
public:
    using header_parser = boost::beast::http::request_parser<boost::beast::http::empty_body>;
    using memory_parser = boost::beast::http::request_parser<boost::beast::http::string_body>;
    using stream_parser = boost::beast::http::request_parser<boost::beast::http::buffer_body>;
    using basic_parser = boost::beast::http::basic_parser<true>;

    http_stream(asio::ip::tcp::socket socket, asio::ssl::context& tls, const http_times& times)
        : times_(times), tls_(tls), socket_(std::move(socket)), watch_(socket_.get_executor()) {}

    tls_socket& socket() noexcept { return socket_; }
    boost::beast::flat_buffer& ahead() noexcept { return ahead_; }
    const http_times& times() const noexcept { return times_; }

    /// Secures the connection.
    ///
    /// Parameters: `self` is this, and holds it.
    asio::awaitable<void> accept(const std::shared_ptr<http_stream>& self) {
        self_ = self;
        expires_after(times_.exchange);
        co_await socket_.accept_tls(tls_);
    }

    /// Closes the socket unless another time is set until then.
    void expires_after(std::chrono::milliseconds time) {
        expires_ = from_now(time);
        if (!watch_.rings_by(expires_)) set_watch();
    }
    void expires_never() noexcept { expires_ = no_deadline; }

    asio::awaitable<void> close(std::chrono::milliseconds patience) {
        expires_never();
        co_await tls_shutdown(socket_, true, patience);
    }

    /// A request begins, which may wait for its invitation.
    void begin() noexcept { invited_ = false; }

    /// Reads ahead once something is there.
    asio::awaitable<void> read_ahead(std::size_t most, boost::system::error_code& failure) {
        const auto room = ahead_.prepare(std::min(most, ahead_.max_size() - ahead_.size()));
        ahead_.commit(co_await socket_.read_some(room, failure));
    }

    asio::awaitable<void> read_header(header_parser& parser, boost::system::error_code& failure) {
        parser.eager(false);
        return parse(parser, &basic_parser::is_header_done, failure);
    }

    /// Answers "Expect: 100-continue", once.
    template <class Fields>
    asio::awaitable<void> invite(const Fields& header) {
        if (std::exchange(invited_, true)) co_return;
        namespace http = boost::beast::http;
        if (!boost::beast::iequals(header[http::field::expect], "100-continue")) co_return;
        co_await write("HTTP/1.1 100 Continue\r\n\r\n");
    }

    /// Reads a body of at most `most` bytes into memory.
    asio::awaitable<std::string> read_whole(header_parser&& header, std::uint64_t most,
                                            boost::system::error_code& failure) {
        memory_parser incoming(std::move(header));
        chunk_extensions extensions;
        incoming.on_chunk_header(extensions);
        incoming.body_limit(most);
        incoming.eager(true);
        expires_after(times_.exchange);
        co_await invite(incoming.get());
        co_await parse(incoming, &basic_parser::is_done, failure);
        expires_never();
        co_return std::move(incoming.get().body());
    }

    /// Reads the next piece of a body; empty with a `failure`, or at the end.
    asio::awaitable<std::string> read_piece(stream_parser& parser,
                                            boost::system::error_code& failure) {
        expires_after(times_.piece);
        co_await invite(parser.get());
        std::string piece(http_piece, '\0');
        auto& room = parser.get().body();
        room.data = piece.data();
        room.size = piece.size();
        room.more = true;
        parser.eager(true);
        co_await parse(parser, &basic_parser::is_done, failure);
        expires_never();
        if (failure == boost::beast::http::error::need_buffer) failure = {};
        piece.resize(failure ? 0 : piece.size() - room.size);
        co_return piece;
    }

    /// Sends an answer; the body of one to HEAD is left out.
    asio::awaitable<void> send(http_response answer, unsigned version, bool keep_alive, bool head) {
        std::string_view body;
        if (!answer.stream && !head) body = answer.body;
        // A short answer is one record, and one packet.
        std::string first = encode_header(answer, version, keep_alive);
        const std::size_t room = outgoing_piece - std::min(first.size(), outgoing_piece);
        first += body.substr(0, room);
        body.remove_prefix(std::min(body.size(), room));
        expires_after(times_.exchange);
        co_await write(first);
        if (!body.empty()) co_await write(body);
        expires_never();
        if (head || !answer.stream) co_return;
        std::uint64_t sent = 0;
        while (sent < answer.length) {
            const std::string piece = co_await answer.stream->next();
            if (piece.empty()) {  // the client must see that the body is incomplete
                throw error(errc::system_failed, "the body ended before its announced length");
            }
            sent += piece.size();
            expires_after(times_.piece);
            co_await write(piece);
            expires_never();
        }
    }

private:
    // What is encrypted at once; while the socket is full, it waits in memory.
    static constexpr std::size_t outgoing_piece = 32 * 1024;
    // At least what one record holds.
    static constexpr std::size_t incoming_piece = 16 * 1024;

    // Reads until the parser has enough, and fails as Beast's own functions do.
    asio::awaitable<void> parse(basic_parser& parser, bool (basic_parser::*has_enough)() const,
                                boost::system::error_code& failure) {
        namespace http = boost::beast::http;
        failure.clear();
        bool wants_more = false;
        while (!(parser.*has_enough)()) {
            if (wants_more || ahead_.size() == 0) {
                if (ahead_.size() == ahead_.max_size()) failure = http::error::buffer_overflow;
                if (!failure) co_await read_ahead(incoming_piece, failure);
                if (failure == asio::error::eof) {
                    failure = http::error::end_of_stream;
                    if (parser.got_some()) {
                        failure.clear();
                        parser.put_eof(failure);
                    }
                    co_return;
                }
                if (failure) co_return;
            }
            ahead_.consume(parser.put(ahead_.data(), failure));
            wants_more = failure == http::error::need_more;
            if (wants_more) failure.clear();
            if (failure) co_return;
        }
    }

    asio::awaitable<void> write(std::string_view bytes) {
        while (!bytes.empty()) {
            const std::string_view piece = bytes.substr(0, outgoing_piece);
            bytes.remove_prefix(piece.size());
            boost::system::error_code failure;
            const bool is_full = socket_.put(asio::buffer(piece), failure);
            if (is_full) co_await socket_.flush(failure);
            if (failure) throw boost::system::system_error(failure);
        }
    }

    // Rings at the earliest of the times that were set, and is set anew only then: most operations
    // end long before theirs.
    void set_watch() {
        const auto ring = [](http_stream& self) noexcept {
            if (std::chrono::steady_clock::now() >= self.expires_) return self.cut_off();
            try {
                if (self.expires_ != no_deadline) self.set_watch();
            } catch (...) {  // no memory, and so no deadline
                self.cut_off();
            }
        };
        watch_.set(expires_, self_, ring, [](const std::exception_ptr&) noexcept {});
    }

    void cut_off() noexcept {
        boost::system::error_code ignored;
        socket_.plain().close(ignored);
    }

    const http_times times_;
    asio::ssl::context& tls_;
    tls_socket socket_;
    boost::beast::flat_buffer ahead_{http_bounds::buffer};
    std::weak_ptr<http_stream> self_;
    alarm watch_;
    time_point expires_ = no_deadline;
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
