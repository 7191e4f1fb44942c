// A TLS proxy before a PostgreSQL that controls the size of its TLS records.
#pragma once

#include "server/tls/tls_identity.hpp"

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/stream.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace test {

/// The most bytes that a TLS record holds.
inline constexpr std::size_t largest_record = 16'384;

/// Listens on a port of its own, secures each connection and hands it on to a server without TLS. A
/// cancel request is handed on unchanged.
///
/// The server's bytes are cut into full records; only the last bytes before it waits for the client
/// may make a shorter one.
///
/// Thread safety: none; it is used where its executor runs, which must be of one thread.
class record_front : public std::enable_shared_from_this<record_front> {
public:
    /// Starts one; it runs as long as `executor` does, or until `close`.
    ///
    /// Parameters: `target` is the port of the server on 127.0.0.1, `shown` the identity to show.
    static std::shared_ptr<record_front> start(const boost::asio::any_io_executor& executor,
                                               std::uint16_t target,
                                               const bitdotio::tls_identity& shown);

    std::uint16_t port() const { return acceptor_.local_endpoint().port(); }
    void close();

    std::size_t record = largest_record;  ///< bytes in each record from now on
    /// Holds the next bytes until there are so many, or all of an answer; then it is 0 again.
    std::size_t gather = 0;
    std::size_t greeting = 0;  ///< bytes of settings that a session's beginning reports in addition

private:
    struct link;
    using link_ptr = std::shared_ptr<link>;

    record_front(const boost::asio::any_io_executor& executor, std::uint16_t target,
                 const bitdotio::tls_identity& shown);

    boost::asio::awaitable<void> accept_all(std::shared_ptr<record_front> self);
    boost::asio::awaitable<void> serve(std::shared_ptr<record_front> self, link_ptr on);
    boost::asio::awaitable<void> pass_on(link_ptr on);
    boost::asio::awaitable<void> hear(std::shared_ptr<record_front> self, link_ptr on);
    boost::asio::awaitable<void> tell(std::shared_ptr<record_front> self, link_ptr on);

    boost::asio::ip::tcp::acceptor acceptor_;
    std::uint16_t target_;
    boost::asio::ssl::context tls_;
    std::vector<std::weak_ptr<link>> links_;
};

}  // namespace test
