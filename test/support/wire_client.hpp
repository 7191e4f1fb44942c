// A handwritten Postgres client, for tests that look at what libpq would hide.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl.hpp>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace test {

namespace asio = boost::asio;

/// A number of the protocol: four bytes, the most significant first.
std::string number(std::uint32_t value);
/// A packet without a type byte: its length, then `body`.
std::string packet(const std::string& body);
/// A message with a type byte.
std::string message(char type, const std::string& body);
/// A StartupMessage.
std::string startup(const std::vector<std::pair<std::string, std::string>>& parameters,
                    std::uint32_t version = 3 << 16);

inline const std::string ssl_request = packet(number(80877103));
inline const std::string gss_request = packet(number(80877104));

/// A message of the server.
struct reply {
    char type = 0;
    std::string body;

    /// A field of an ErrorResponse or NoticeResponse: 'C' is the SQLSTATE, 'M' the message.
    std::string field(char code) const;
};

class wire_client {
public:
    explicit wire_client(asio::any_io_executor executor);

    asio::awaitable<void> connect(std::uint16_t port);
    /// A TLS handshake; `alpn` is offered if it is not empty.
    asio::awaitable<void> secure(std::string alpn);
    /// connect, SSLRequest, handshake.
    asio::awaitable<void> connect_securely(std::uint16_t port);
    /// Answers the server's request for a password, in clear text or by SCRAM, without waiting for
    /// what it says to it; false, and what came instead in `last`, if there was no request.
    asio::awaitable<bool> show_key(std::string key);
    /// The whole login up to ReadyForQuery; what comes instead is left in `last`.
    asio::awaitable<bool> log_in(std::uint16_t port, std::string database, std::string key);

    asio::awaitable<void> send(std::string bytes);
    asio::awaitable<char> receive_byte();
    /// Errors: boost::system::system_error at the end of the connection.
    asio::awaitable<reply> receive();
    /// Receives until one of this type; others are dropped, except that an error is kept in `last`.
    asio::awaitable<reply> receive_until(char type);
    /// Sends a query and returns the first field of its first row; `last` has the error if any.
    asio::awaitable<std::string> query(std::string sql);
    /// How the connection ended: what the next read reports.
    asio::awaitable<boost::system::error_code> end();
    void close();
    /// Ends it with RST.
    void reset();

    reply last;             ///< the last message seen, or the last error
    std::uint32_t pid = 0;  ///< of BackendKeyData
    std::uint32_t secret = 0;

private:
    asio::awaitable<std::string> receive_bytes(std::size_t size);

    asio::ssl::context context_;
    asio::ssl::stream<asio::ip::tcp::socket> stream_;
    bool secured_ = false;
};

}  // namespace test
