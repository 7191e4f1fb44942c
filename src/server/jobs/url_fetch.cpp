// Fetches a URL into a file: a GET and its redirects, with Beast.
#include "server/jobs/url_fetch.hpp"
#include "base/deadline.hpp"
#include "base/hang_up.hpp"
#include "server/formats/file_output.hpp"
#include "server/formats/job_failure.hpp"

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/host_name_verification.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/buffer_body.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/write.hpp>

#include <utility>

namespace bitdotio {

namespace {

namespace http = boost::beast::http;
namespace ssl = asio::ssl;
using asio::redirect_error;
using asio::use_awaitable;
using asio::ip::tcp;

using parser = http::response_parser<http::buffer_body>;

constexpr std::size_t piece_size = 256 * 1024;

/// The fetch of one file.
class fetching {
public:
    fetching(worker_threads& threads, std::filesystem::path file, fetch_limits limits)
        : threads_(threads), file_(std::move(file)), limits_(limits) {}

    asio::awaitable<std::string> run(std::string url) {
        address_ = web_address::parse(url);
        for (int hops = 0;; ++hops) {
            const std::string location = co_await fetch_one();
            if (location.empty()) co_return address_.file_name();
            if (hops == limits_.redirects) {
                throw failed("it redirects more than " + std::to_string(limits_.redirects) +
                             " times");
            }
            address_ = address_.redirected(location);
        }
    }

private:
    job_failure failed(const std::string& why) const {
        return job_failure("download_failed",
                           "the file cannot be fetched from " + address_.host + ": " + why);
    }

    // The same words whether a name is unknown or private: callers could look into our network by
    // asking for its names.
    job_failure out_of_reach(const std::string& details) const {
        return job_failure("download_failed",
                           "the file cannot be fetched from " + address_.host +
                               ": it has no address, or not only addresses of the public internet",
                           address_.host + ": " + details);
    }

    void check(const boost::system::error_code& failure, const char* what) const {
        if (failure == asio::error::operation_aborted) {
            throw error(errc::cancelled, "fetching was cancelled");
        }
        if (failure) throw failed(std::string(what) + ": " + failure.message());
    }

    // Returns where a redirect leads; empty once the file is there.
    asio::awaitable<std::string> fetch_one() {
        tcp::socket socket(co_await asio::this_coro::executor);
        co_await in_time(connect(socket));
        if (!address_.secure) co_return co_await exchange(socket);
        ssl::context tls(ssl::context::tls_client);
        tls.set_options(ssl::context::no_tlsv1 | ssl::context::no_tlsv1_1);
        tls.set_verify_mode(ssl::verify_peer);
        tls.set_default_verify_paths();
        if (!limits_.ca_file.empty()) tls.load_verify_file(limits_.ca_file);
        ssl::stream<tcp::socket> stream(std::move(socket), tls);
        boost::system::error_code literal;
        asio::ip::make_address(address_.host, literal);
        if (literal) SSL_set_tlsext_host_name(stream.native_handle(), address_.host.c_str());
        stream.set_verify_callback(ssl::host_name_verification(address_.host));
        co_await in_time(shake_hands(stream));
        co_return co_await exchange(stream);
    }

    // Connects to the address that was checked, even if the name resolves to another by now.
    asio::awaitable<void> connect(tcp::socket& socket) {
        const auto executor = co_await asio::this_coro::executor;
        boost::system::error_code failure;
        tcp::resolver resolver(executor);
        const auto found = co_await resolver.async_resolve(address_.host, address_.port,
                                                           redirect_error(use_awaitable, failure));
        if (failure == asio::error::operation_aborted) check(failure, "");
        if (failure) throw out_of_reach(failure.message());
        for (const auto& each : found) {
            const asio::ip::address address = each.endpoint().address();
            if (!limits_.may_reach(address)) throw out_of_reach("it is " + address.to_string());
        }
        for (const auto& each : found) {
            boost::system::error_code ignored;
            socket.close(ignored);
            const tcp::endpoint endpoint = each.endpoint();
            co_await socket.async_connect(endpoint, redirect_error(use_awaitable, failure));
            if (!failure || failure == asio::error::operation_aborted) break;
        }
        check(failure, "it cannot be connected to");
    }

    // Runs a part of the fetch, which fails if it takes too long.
    asio::awaitable<void> in_time(asio::awaitable<void> part) {
        const time_point deadline = std::chrono::steady_clock::now() + limits_.longest_piece;
        bool late = false;
        try {
            co_await with_deadline(std::move(part), deadline);
        } catch (const error& failure) {
            late = failure.code() == errc::timeout;
            if (!late) throw;
        }
        if (late) {
            throw failed("it is too slow: nothing, or less than 256 KiB, came within " +
                         std::to_string(limits_.longest_piece.count()) + " seconds");
        }
    }

    asio::awaitable<void> shake_hands(ssl::stream<tcp::socket>& stream) {
        boost::system::error_code failure;
        co_await stream.async_handshake(ssl::stream_base::client,
                                        redirect_error(use_awaitable, failure));
        check(failure, "TLS");
    }

    template <class Stream>
    asio::awaitable<void> read_header(Stream& stream, boost::beast::flat_buffer& buffer,
                                      parser& answer, hang_up& ending) {
        co_await asio::this_coro::reset_cancellation_state(ending.filter());
        boost::system::error_code failure;
        co_await http::async_read_header(stream, buffer, answer,
                                         redirect_error(use_awaitable, failure));
        check(ending.cause(failure), "it gives no answer");
    }

    template <class Stream>
    asio::awaitable<void> read_piece(Stream& stream, boost::beast::flat_buffer& buffer,
                                     parser& answer, hang_up& ending) {
        co_await asio::this_coro::reset_cancellation_state(ending.filter());
        boost::system::error_code failure;
        co_await http::async_read(stream, buffer, answer, redirect_error(use_awaitable, failure));
        if (failure != http::error::need_buffer)
            check(ending.cause(failure), "the file breaks off");
    }

    template <class Stream>
    asio::awaitable<std::string> exchange(Stream& stream) {
        const bool v6 = address_.host.find(':') != std::string::npos;
        const bool usual = address_.port == (address_.secure ? "443" : "80");
        http::request<http::empty_body> question(http::verb::get, address_.target, 11);
        question.set(http::field::host, (v6 ? "[" + address_.host + "]" : address_.host) +
                                            (usual ? "" : ":" + address_.port));
        question.set(http::field::user_agent, "bitdotio/" BITDOTIO_VERSION);
        question.set(http::field::accept, "*/*");
        question.set(http::field::accept_encoding, "identity");
        question.set(http::field::connection, "close");
        boost::system::error_code failure;
        co_await http::async_write(stream, question, redirect_error(use_awaitable, failure));
        check(failure, "the request cannot be sent");
        hang_up ending(boost::beast::get_lowest_layer(stream));
        boost::beast::flat_buffer buffer;
        parser answer;
        answer.body_limit(boost::none);
        co_await in_time(read_header(stream, buffer, answer, ending));
        const unsigned status = answer.get().result_int();
        const std::string location = answer.get()[http::field::location];
        if ((status == 301 || status == 302 || status == 303 || status == 307 || status == 308) &&
            !location.empty()) {
            co_return location;
        }
        if (status != 200) throw failed("it answers with status " + std::to_string(status));
        const std::string coding = answer.get()[http::field::content_encoding];
        if (!coding.empty() && coding != "identity") {
            throw failed("it sends the content encoding " + coding + ", which was not asked for");
        }
        if (answer.content_length().value_or(0) > limits_.largest) throw too_large();
        co_await save(stream, buffer, answer, ending);
        co_return std::string();
    }

    template <class Stream>
    asio::awaitable<void> save(Stream& stream, boost::beast::flat_buffer& buffer, parser& answer,
                               hang_up& ending) {
        std::optional<file_output> out;
        std::function<void()> open = [&] { out.emplace(file_); };
        co_await threads_.run(open);
        std::string room(piece_size, '\0');
        std::string_view piece;
        std::function<void()> write = [&] { out->write(piece); };
        while (!answer.is_done()) {
            auto& body = answer.get().body();
            body.data = room.data();
            body.size = room.size();
            co_await in_time(read_piece(stream, buffer, answer, ending));
            piece = std::string_view(room).substr(0, room.size() - body.size);
            if (out->size() + piece.size() > limits_.largest) throw too_large();
            co_await threads_.run(write);
        }
        std::function<void()> finish = [&] { out->finish(); };
        co_await threads_.run(finish);
    }

    job_failure too_large() const {
        return job_failure("too_large",
                           "the file is longer than " + std::to_string(limits_.largest) + " bytes");
    }

    worker_threads& threads_;
    const std::filesystem::path file_;
    const fetch_limits limits_;
    web_address address_;
};

}  // namespace

asio::awaitable<std::string> fetch_url(worker_threads& threads, std::string url,
                                       std::filesystem::path file, fetch_limits limits) {
    fetching one(threads, std::move(file), limits);
    const time_point deadline = from_now(limits.longest);
    try {
        co_return co_await with_deadline(one.run(std::move(url)), deadline);
    } catch (const error& failure) {
        if (failure.code() != errc::timeout) throw;
    }
    throw job_failure("download_failed", "the file did not come within " +
                                             std::to_string(limits.longest.count()) + " seconds");
}

}  // namespace bitdotio
