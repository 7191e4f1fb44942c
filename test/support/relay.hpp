// A relay between a client and a server that sees the bytes and can be told to fail.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/ip/tcp.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace test {

/// What happens to the bytes of a client.
enum class relay_mode {
    pass,
    swallow,  ///< They are taken, and not answered.
    cut,      ///< The next ones end their connection.
};

/// Listens on a port of its own and hands each connection on to a server.
///
/// Thread safety: none; it is used where its executor runs.
struct relay {
    /// Starts one; it runs as long as `executor` does.
    ///
    /// Parameters: `target` is the port on 127.0.0.1 to hand on to; `address` the one to listen on.
    static std::shared_ptr<relay> start(const boost::asio::any_io_executor& executor,
                                        std::uint16_t target,
                                        const std::string& address = "127.0.0.1");

    std::uint16_t port() const { return acceptor.local_endpoint().port(); }
    /// Ends every connection in good order, like a server that has waited long enough.
    void hang_up();

    boost::asio::ip::tcp::acceptor acceptor;
    std::uint16_t target;  ///< port for later connections
    relay_mode mode = relay_mode::pass;
    int accepted = 0;                   ///< connections so far
    int ended = 0;                      ///< those that a client or this relay has ended
    std::size_t swallowed = 0;          ///< bytes
    std::vector<std::string> openings;  ///< the first bytes of clients, in their order
    std::vector<std::shared_ptr<boost::asio::ip::tcp::socket>> clients;
};

}  // namespace test
