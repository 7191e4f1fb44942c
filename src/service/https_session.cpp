// HTTPS through Beast; the only unit of the client side that includes it.
#include "service/https_session.hpp"
#include "base/chunk_extensions.hpp"
#include "service/answer_limit.hpp"

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/error.hpp>
#include <boost/asio/ssl/host_name_verification.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/buffer_body.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/serializer.hpp>
#include <boost/beast/http/string_body.hpp>
#include <boost/beast/http/write.hpp>

#include <poll.h>
#include <algorithm>
#include <atomic>
#include <charconv>
#include <optional>
#include <string_view>
#include <utility>

namespace bitdotio {

namespace http = boost::beast::http;
namespace ssl = asio::ssl;
using tcp = asio::ip::tcp;

namespace {

constexpr std::uint64_t largest_body = 64u << 20;
constexpr std::size_t streamed_at_once = 256 * 1024;
// As long as that much may take, either way; so long also lasts the wait for an answer.
constexpr std::chrono::seconds piece_patience{120};
constexpr std::chrono::seconds answer_patience{600};

// What is around a body: its header, and answers that only announce another. The buffer bounds what
// must be read whole: the line before a chunk, and all trailers.
constexpr std::uint32_t longest_header = 16 * 1024;
constexpr int most_interim_answers = 8;
constexpr std::size_t longest_program = 100;
constexpr std::size_t buffer_size = 32 * 1024;

std::string place(const https_address& address) {
    return address.host + ":" + std::to_string(address.port);
}

error cannot_connect(const https_address& address, const boost::system::error_code& failure) {
    const bool tls = failure.category() == asio::error::get_ssl_category();
    return error(tls ? errc::tls_failed : errc::connect_failed,
                 "cannot connect to " + place(address) + ": " + failure.message() +
                     (tls ? "; check the host name and the CA file" : ""))
        .with(phase::connecting)
        .with(outcome::not_sent);
}

// The operations of Beast and of TLS streams react only to terminal cancellation, and here every
// cancellation is terminal: the session cannot be used again.
constexpr auto as_terminal = [](asio::cancellation_type type) {
    return type == asio::cancellation_type::none ? type : asio::cancellation_type::terminal;
};

}  // namespace

std::shared_ptr<ssl::context> make_client_tls(const std::string& ca_file) {
    auto tls = std::make_shared<ssl::context>(ssl::context::tls_client);
    tls->set_options(ssl::context::no_tlsv1 | ssl::context::no_tlsv1_1);
    tls->set_verify_mode(ssl::verify_peer);
    boost::system::error_code failure;
    if (ca_file.empty()) {
        tls->set_default_verify_paths(failure);
    } else {
        tls->load_verify_file(ca_file, failure);
    }
    if (failure) {
        throw error(errc::bad_input, "cannot read authorities from the CA file \"" + ca_file +
                                         "\": " + failure.message());
    }
    return tls;
}

class https_session::stream : public std::enable_shared_from_this<https_session::stream> {
public:
    stream(asio::any_io_executor executor, https_address address, std::shared_ptr<ssl::context> tls)
        : strand_(asio::make_strand(executor)),
          address_(std::move(address)),
          tls_(std::move(tls)),
          socket_(strand_, *tls_) {}

    asio::awaitable<https_response> request(https_request request, time_point deadline) {
        return on_strand(strand_, shared_from_this(), do_request(std::move(request), deadline));
    }

    // Unexpected bytes mean that the server says goodbye.
    bool reusable() const noexcept {
        pollfd look{descriptor_, POLLIN | POLLRDHUP, 0};
        return reusable_ && ::poll(&look, 1, 0) == 0;
    }

private:
    asio::awaitable<https_response> do_request(https_request request, time_point deadline) {
        co_await asio::this_coro::reset_cancellation_state(asio::enable_total_cancellation());
        co_await asio::this_coro::throw_if_cancelled(false);
        reusable_ = false;
        sent_ = false;
        try {
            co_return co_await with_deadline(exchange(std::move(request)), deadline);
        } catch (const error& failure) {
            boost::system::error_code ignored;
            socket_.next_layer().close(ignored);
            if (failure.code() == errc::timeout) {
                throw error(errc::timeout, place(address_) + " did not answer in time")
                    .with(sent_ ? phase::awaiting_reply : phase::connecting)
                    .with(sent_ ? outcome::unknown : outcome::not_sent);
            }
            throw;
        } catch (const boost::system::system_error& failure) {  // cancelled between two steps
            boost::system::error_code ignored;
            socket_.next_layer().close(ignored);
            if (!sent_) {
                check(failure.code());
            }
            throw lost(failure.code());
        }
    }

    asio::awaitable<https_response> exchange(https_request request) {
        // A cancellation during a step that ignores it, such as looking up a name, takes effect
        // before the next step.
        co_await asio::this_coro::reset_cancellation_state(as_terminal);
        co_await asio::this_coro::throw_if_cancelled(true);
        if (!connected_) {
            co_await connect();
        }
        boost::system::error_code failure;
        sent_ = true;
        if (request.source) {
            co_await send_streamed(request);
        } else {
            http::request<http::string_body> message;
            fill(message, request);
            message.body() = std::move(request.body);
            if (!message.body().empty() || request.method == "POST" || request.method == "PATCH") {
                message.prepare_payload();
            }
            co_await http::async_write(socket_, message,
                                       asio::redirect_error(asio::use_awaitable, failure));
            if (failure) {
                throw lost(failure);
            }
        }
        std::optional<http::response_parser<http::empty_body>> announced;
        co_await with_deadline(read_header(announced), deadline_after(answer_patience));
        http::response_parser<http::empty_body>& header = *announced;
        https_response response;
        response.status = static_cast<int>(header.get().result_int());
        const std::string_view program = header.get()[http::field::server];
        response.server = std::string(program.substr(0, longest_program));
        response.location = shown_location(header.get()[http::field::location]);
        const std::string_view after = header.get()[http::field::retry_after];
        std::int64_t seconds = 0;
        if (std::from_chars(after.data(), after.data() + after.size(), seconds).ec == std::errc() &&
            seconds >= 0) {
            response.retry_after = std::chrono::seconds(seconds);
        }
        const bool keeps = header.get().keep_alive();
        if (request.sink && response.status == 200) {
            co_await receive_streamed(std::move(header), *request.sink);
        } else {
            response.body = co_await receive(std::move(header));
        }
        reusable_ = keeps;
        co_return response;
    }

    // The header of the answer, after those that only announce it, such as 100 Continue.
    asio::awaitable<void> read_header(
        std::optional<http::response_parser<http::empty_body>>& header) {
        co_await asio::this_coro::reset_cancellation_state(as_terminal);
        for (int seen = 0; seen <= most_interim_answers; ++seen) {
            header.emplace();
            header->body_limit(boost::none);
            header->header_limit(longest_header);
            boost::system::error_code failure;
            co_await http::async_read_header(socket_, buffer_, *header,
                                             asio::redirect_error(asio::use_awaitable, failure));
            if (failure) {
                throw lost(failure);
            }
            const unsigned status = header->get().result_int();
            if (status >= 200 || status == 101) {
                co_return;
            }
        }
        throw violated("it is announced more than " + std::to_string(most_interim_answers) +
                       " times");
    }

    template <class Message>
    void fill(Message& message, const https_request& request) const {
        message.version(11);
        message.method_string(request.method);
        message.target(address_.path + request.target);
        message.set(http::field::host, place(address_));
        message.set(http::field::accept, "application/json");
        if (!request.authorization.empty()) {
            message.set(http::field::authorization, request.authorization);
        }
        message.set(http::field::user_agent, request.user_agent);
        if (!request.body.empty() || request.source) {
            message.set(http::field::content_type, request.content_type);
        }
    }

    asio::awaitable<void> send_streamed(const https_request& request) {
        http::request<http::empty_body> message;
        fill(message, request);
        message.content_length(request.source->size());
        http::request_serializer<http::empty_body> header(message);
        boost::system::error_code failure;
        co_await http::async_write_header(socket_, header,
                                          asio::redirect_error(asio::use_awaitable, failure));
        std::uint64_t left = request.source->size();
        while (!failure && left > 0) {
            const std::string piece = co_await request.source->next();
            if (piece.empty() || piece.size() > left) {
                throw error(errc::bad_input, "the file changed while it was sent");
            }
            left -= piece.size();
            co_await with_deadline(send_piece(piece, failure), deadline_after(piece_patience));
        }
        // A server that refuses a body midway answers and hangs up: its answer counts.
        if (failure && failure != asio::error::broken_pipe &&
            failure != asio::error::connection_reset) {
            throw lost(failure);
        }
    }

    asio::awaitable<void> send_piece(const std::string& piece, boost::system::error_code& failure) {
        co_await asio::this_coro::reset_cancellation_state(as_terminal);
        co_await asio::async_write(socket_, asio::buffer(piece),
                                   asio::redirect_error(asio::use_awaitable, failure));
        if (failure == asio::error::operation_aborted) throw lost(failure);
    }

    template <class Parser>
    asio::awaitable<void> read_piece(Parser& parser, boost::system::error_code& failure) {
        co_await asio::this_coro::reset_cancellation_state(as_terminal);
        co_await http::async_read(socket_, buffer_, parser,
                                  asio::redirect_error(asio::use_awaitable, failure));
        if (failure == asio::error::operation_aborted) throw lost(failure);
    }

    asio::awaitable<std::string> receive(http::response_parser<http::empty_body>&& header) {
        http::response_parser<http::string_body> parser(std::move(header));
        chunk_extensions extensions;
        parser.on_chunk_header(extensions);
        parser.body_limit(largest_body);
        boost::system::error_code failure;
        if (parser.content_length_remaining().value_or(0) > largest_body) {
            throw lost(http::error::body_limit);
        }
        co_await http::async_read(socket_, buffer_, parser,
                                  asio::redirect_error(asio::use_awaitable, failure));
        if (failure) {
            throw lost(failure);
        }
        co_return std::move(parser.get().body());
    }

    asio::awaitable<void> receive_streamed(http::response_parser<http::empty_body>&& header,
                                           body_sink& sink) {
        http::response_parser<http::buffer_body> parser(std::move(header));
        chunk_extensions extensions;
        parser.on_chunk_header(extensions);
        parser.body_limit(boost::none);
        while (!parser.is_done()) {
            std::string piece(streamed_at_once, '\0');
            auto& room = parser.get().body();
            room.data = piece.data();
            room.size = piece.size();
            boost::system::error_code failure;
            co_await with_deadline(read_piece(parser, failure), deadline_after(piece_patience));
            if (failure && failure != http::error::need_buffer) {
                throw lost(failure);
            }
            piece.resize(piece.size() - room.size);
            if (!piece.empty()) {
                co_await sink.write(std::move(piece));
            }
        }
    }

    asio::awaitable<void> connect() {
        boost::system::error_code failure;
        auto token = asio::redirect_error(asio::use_awaitable, failure);
        const std::string service = std::to_string(address_.port);
        tcp::resolver resolver(strand_);
        const auto endpoints = co_await resolver.async_resolve(address_.host, service, token);
        check(failure);
        for (const auto& endpoint : endpoints) {
            boost::system::error_code ignored;
            socket_.next_layer().close(ignored);
            co_await socket_.next_layer().async_connect(endpoint.endpoint(), token);
            if (!failure || failure == asio::error::operation_aborted) {
                break;
            }
        }
        check(failure);
        socket_.next_layer().set_option(tcp::no_delay(true));
        descriptor_ = socket_.next_layer().native_handle();

        boost::system::error_code literal;
        asio::ip::make_address(address_.host, literal);
        if (literal) {  // RFC 6066: no addresses in the server name indication
            SSL_set_tlsext_host_name(socket_.native_handle(), address_.host.c_str());
        }
        socket_.set_verify_callback(ssl::host_name_verification(address_.host));
        co_await socket_.async_handshake(ssl::stream_base::client, token);
        check(failure);
        connected_ = true;
    }

    void check(const boost::system::error_code& failure) const {
        if (failure == asio::error::operation_aborted) {
            throw error(errc::cancelled, "connecting was cancelled")
                .with(phase::connecting)
                .with(outcome::not_sent);
        }
        if (failure) {
            throw cannot_connect(address_, failure);
        }
    }

    // The error of an answer that is not as HTTP would have it, or out of bounds.
    error violated(const std::string& why) const {
        return error(errc::protocol_violated,
                     "the answer of " + place(address_) + " cannot be taken: " + why)
            .with(phase::awaiting_reply)
            .with(outcome::unknown);
    }

    error lost(const boost::system::error_code& failure) const {
        if (failure == http::error::body_limit) {
            return error(errc::result_too_large, answer_too_long(largest_body))
                .with(phase::awaiting_reply)
                .with(outcome::unknown);
        }
        if (failure == http::error::header_limit) {
            return violated("its header is longer than " + std::to_string(longest_header) +
                            " bytes");
        }
        if (failure == http::error::buffer_overflow) {
            return violated("the line before a chunk, or the trailers, are longer than " +
                            std::to_string(buffer_size) + " bytes");
        }
        if (chunk_extensions::is_excess(failure)) {
            return violated("the extensions of its chunks are longer than " +
                            std::to_string(chunk_extensions::most) + " bytes");
        }
        const bool cancelled = failure == asio::error::operation_aborted;
        const bool malformed =
            failure.category() == http::make_error_code(http::error::bad_version).category() &&
            failure != http::error::end_of_stream && failure != http::error::partial_message;
        const errc code = cancelled   ? errc::cancelled
                          : malformed ? errc::protocol_violated
                                      : errc::connection_lost;
        return error(code, cancelled ? "the request was cancelled; whether it had an effect is "
                                       "unknown"
                                     : "the connection to " + place(address_) +
                                           " failed before the whole answer had come: " +
                                           failure.message())
            .with(phase::awaiting_reply)
            .with(outcome::unknown);
    }

    asio::strand<asio::any_io_executor> strand_;
    const https_address address_;
    const std::shared_ptr<ssl::context> tls_;
    ssl::stream<tcp::socket> socket_;
    boost::beast::flat_buffer buffer_{buffer_size};
    bool connected_ = false;
    bool sent_ = false;
    std::atomic<bool> reusable_{false};
    std::atomic<int> descriptor_{-1};
};

https_session::https_session(asio::any_io_executor executor, https_address address,
                             std::shared_ptr<ssl::context> tls)
    : stream_(std::make_shared<stream>(std::move(executor), std::move(address), std::move(tls))) {}

https_session::~https_session() = default;

asio::awaitable<https_response> https_session::request(https_request request, time_point deadline) {
    return stream_->request(std::move(request), deadline);
}

bool https_session::reusable() const noexcept {
    return stream_->reusable();
}

}  // namespace bitdotio
