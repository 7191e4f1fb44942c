// A client of HTTPS whose bytes are written by hand, one at a time if need be.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/asio/write.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>

namespace test {

/// Each step fails after a minute.
class raw_client {
public:
    /// Parameters: `from` is the address it comes from.
    explicit raw_client(std::uint16_t port, const char* from = "127.0.0.1") {
        auto& socket = stream_.next_layer();
        socket.open(boost::asio::ip::tcp::v4());
        socket.bind({boost::asio::ip::make_address(from), 0});
        socket.connect({boost::asio::ip::make_address("127.0.0.1"), port});
        take_step([&](auto done) {
            stream_.async_handshake(
                boost::asio::ssl::stream_base::client,
                [done](boost::system::error_code failure) { done(failure, 0); });
        });
        REQUIRE_FALSE(failure_);
    }

    void send(const std::string& text) {
        take_step(
            [&](auto done) { boost::asio::async_write(stream_, boost::asio::buffer(text), done); });
    }
    /// Everything up to the end of the connection, or to the given text.
    std::string read(const std::string& until = "") {
        std::string piece(4'096, '\0');
        while (!failure_ && (until.empty() || seen_.find(until) == std::string::npos)) {
            take_step(
                [&](auto done) { stream_.async_read_some(boost::asio::buffer(piece), done); });
            seen_ += piece.substr(0, moved_);
        }
        const std::size_t end = until.empty() ? seen_.size() : seen_.find(until) + until.size();
        const std::string text = seen_.substr(0, std::min(end, seen_.size()));
        seen_.erase(0, text.size());
        return text;
    }
    /// Sends close_notify and leaves the connection open.
    void end_tls() {
        stream_.async_shutdown([](boost::system::error_code) {});
        io_.restart();
        io_.poll();
    }
    /// Whether the other side has ended the connection, as far as it is known.
    bool has_ended() const { return static_cast<bool>(failure_); }
    void close() { stream_.next_layer().close(); }

private:
    template <class Begin>
    void take_step(Begin begin) {
        bool ended = false;
        begin([&](boost::system::error_code failure, std::size_t moved) {
            failure_ = failure;
            moved_ = moved;
            ended = true;
        });
        const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
        io_.restart();
        while (!ended && std::chrono::steady_clock::now() < deadline) {
            io_.run_one_until(deadline);
        }
        REQUIRE(ended);
    }

    boost::asio::io_context io_;
    boost::asio::ssl::context context_{boost::asio::ssl::context::tls_client};
    boost::asio::ssl::stream<boost::asio::ip::tcp::socket> stream_{io_, context_};
    boost::system::error_code failure_;
    std::size_t moved_ = 0;
    std::string seen_;
};

}  // namespace test
