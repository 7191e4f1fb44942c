// HTTPS through Beast: connects, sends, reads the answer.
#include "service/https_session.hpp"
#include "base/chunk_extensions.hpp"
#include "base/hang_up.hpp"
#include "service/https_failure.hpp"

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/host_name_verification.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/buffer_body.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>

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

constexpr std::size_t streamed_at_once = 256 * 1024;
// As long as that much may take, either way; so long also lasts the wait for an answer.
constexpr std::chrono::seconds piece_patience{120};
constexpr std::chrono::seconds answer_patience{600};

// Answers that only announce another.
constexpr int most_interim_answers = 8;
// What fits into one record of TLS beside a header is sent with it.
constexpr std::size_t sent_at_once = 15 * 1024;
constexpr std::size_t longest_program = 100;

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

    bool is_kept_alive() const noexcept { return reusable_; }

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
            co_return co_await with_deadline(exchange(std::move(request), deadline), deadline);
        } catch (const error& failure) {
            boost::system::error_code ignored;
            socket_.next_layer().close(ignored);
            if (failure.code() == errc::timeout) {
                throw error(errc::timeout, place_of(address_) + " did not answer in time")
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

    asio::awaitable<https_response> exchange(https_request request, time_point deadline) {
        // A cancellation during a step that ignores it, such as looking up a name, takes effect
        // before the next step.
        co_await asio::this_coro::reset_cancellation_state(ending_.filter());
        co_await asio::this_coro::throw_if_cancelled(true);
        std::string header_sent = header_of(address_, request);
        if (!connected_) {
            co_await connect();
        }
        sent_ = true;
        if (request.source) {
            co_await send_streamed(header_sent, *request.source);
        } else {
            co_await send(std::move(header_sent), request.body);
        }
        std::optional<http::response_parser<http::empty_body>> announced;
        const time_point patience = deadline_after(answer_patience);
        if (deadline <= patience) {
            co_await read_header(announced);
        } else {
            co_await with_deadline(read_header(announced), patience);
        }
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
        co_await asio::this_coro::reset_cancellation_state(ending_.filter());
        for (int seen = 0; seen <= most_interim_answers; ++seen) {
            header.emplace();
            header->body_limit(boost::none);
            header->header_limit(https_bounds::header);
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
        throw answer_violated(address_, "it is announced more than " +
                                            std::to_string(most_interim_answers) + " times");
    }

    // A piece of its own is a record and a packet of its own.
    asio::awaitable<void> send(std::string header, const std::string& body) {
        const bool together = body.size() <= sent_at_once;
        if (together) header += body;
        boost::system::error_code failure;
        auto token = asio::redirect_error(asio::use_awaitable, failure);
        co_await asio::async_write(socket_, asio::buffer(header), token);
        if (!failure && !together) co_await asio::async_write(socket_, asio::buffer(body), token);
        if (failure) throw lost(failure);
    }

    asio::awaitable<void> send_streamed(const std::string& header, body_source& source) {
        boost::system::error_code failure;
        co_await asio::async_write(socket_, asio::buffer(header),
                                   asio::redirect_error(asio::use_awaitable, failure));
        std::uint64_t left = source.size();
        while (!failure && left > 0) {
            const std::string piece = co_await source.next();
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
        co_await asio::this_coro::reset_cancellation_state(ending_.filter());
        co_await asio::async_write(socket_, asio::buffer(piece),
                                   asio::redirect_error(asio::use_awaitable, failure));
        if (failure && ending_.happened()) throw lost(failure);
    }

    template <class Parser>
    asio::awaitable<void> read_piece(Parser& parser, boost::system::error_code& failure) {
        co_await asio::this_coro::reset_cancellation_state(ending_.filter());
        co_await http::async_read(socket_, buffer_, parser,
                                  asio::redirect_error(asio::use_awaitable, failure));
        if (failure && ending_.happened()) throw lost(failure);
    }

    asio::awaitable<std::string> receive(http::response_parser<http::empty_body>&& header) {
        http::response_parser<http::string_body> parser(std::move(header));
        chunk_extensions extensions;
        parser.on_chunk_header(extensions);
        parser.body_limit(https_bounds::body);
        boost::system::error_code failure;
        if (parser.content_length_remaining().value_or(0) > https_bounds::body) {
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
        if (failure) throw cannot_connect(address_, ending_.cause(failure));
    }

    error lost(const boost::system::error_code& failure) const {
        return answer_lost(address_, ending_.cause(failure));
    }

    asio::strand<asio::any_io_executor> strand_;
    const https_address address_;
    const std::shared_ptr<ssl::context> tls_;
    ssl::stream<tcp::socket> socket_;
    hang_up ending_{socket_.next_layer()};  // a session that was cancelled cannot be used again
    boost::beast::flat_buffer buffer_{https_bounds::buffer};
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

bool https_session::is_kept_alive() const noexcept {
    return stream_->is_kept_alive();
}

bool https_session::reusable() const noexcept {
    return stream_->reusable();
}

}  // namespace bitdotio
