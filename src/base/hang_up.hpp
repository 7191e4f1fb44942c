// A cancellation that ends a socket, and so cannot be missed.
#pragma once

#include <boost/asio/cancellation_type.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/ip/tcp.hpp>

namespace bitdotio {

namespace asio = boost::asio;

/// Ends a socket with the first cancellation of a coroutine that reads or writes it.
///
/// Beast's operations are made of steps, and forget a cancellation that comes between two of them:
/// the next step would wait for a silent peer as if nobody had given up. On a socket that is shut
/// down no step waits.
///
/// Lifetime: longer than the coroutine, whose cancellation may come after its last step.
/// Thread safety: one thread at a time, the one that cancels too.
class hang_up {
public:
    /// Parameters: `socket` must outlive this.
    explicit hang_up(asio::ip::tcp::socket& socket) : socket_(socket) {}
    hang_up(const hang_up&) = delete;
    hang_up& operator=(const hang_up&) = delete;

    /// The filter for `reset_cancellation_state`. Every cancellation is terminal to it, because the
    /// operations of Beast and of TLS streams know no other.
    auto filter() noexcept {
        return [this](asio::cancellation_type type) {
            if (type == asio::cancellation_type::none) return type;
            happened_ = true;
            boost::system::error_code ignored;
            socket_.shutdown(asio::socket_base::shutdown_both, ignored);
            return asio::cancellation_type::terminal;
        };
    }

    /// Whether it was this that ended the socket.
    bool happened() const noexcept { return happened_; }
    /// Why an operation failed: a socket that was ended here reads as one that the peer ended.
    boost::system::error_code cause(const boost::system::error_code& failure) const {
        return failure && happened_ ? asio::error::operation_aborted : failure;
    }

private:
    asio::ip::tcp::socket& socket_;
    bool happened_ = false;
};

}  // namespace bitdotio
