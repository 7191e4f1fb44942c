// Tells when the client of a request under way has gone.
#pragma once

#include "server/base/tls_socket.hpp"

#include <boost/asio/awaitable.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/system/error_code.hpp>

#include <poll.h>
#include <chrono>
#include <cstddef>

namespace bitdotio {

namespace asio = boost::asio;

/// How often it is looked. A client that ends its side right after asking still gets what takes
/// less time than this.
inline constexpr std::chrono::seconds look_interval{1};

/// Returns when the client has ended its side of the connection, or of TLS; false if it was told to
/// stop looking before.
///
/// What it sends ahead, such as its next request, is taken into `ahead`, because the end of TLS
/// would come after it; once there are `most` bytes, only the end of the connection is seen.
///
/// Parameters: `most` is 0 if somebody else reads.
/// Cancellation: terminal.
template <class Buffer>
asio::awaitable<bool> client_leaves(tls_socket& socket, Buffer& ahead, std::size_t most) {
    asio::steady_timer next(socket.get_executor());
    for (;;) {
        boost::system::error_code failure;
        next.expires_after(look_interval);
        co_await next.async_wait(asio::redirect_error(asio::use_awaitable, failure));
        if (failure) co_return false;
        pollfd look{socket.plain().native_handle(), POLLIN | POLLRDHUP, 0};
        if (::poll(&look, 1, 0) <= 0) continue;
        if (look.revents & (POLLRDHUP | POLLHUP | POLLERR | POLLNVAL)) co_return true;
        if (ahead.size() >= most) continue;
        const auto room = ahead.prepare(most - ahead.size());
        ahead.commit(co_await socket.read_some(room, failure));
        if (failure == asio::error::operation_aborted) co_return false;
        if (failure) co_return true;
    }
}

}  // namespace bitdotio
