// Ends a TLS connection so that the last bytes we sent arrive.
#pragma once

#include "base/deadline.hpp"
#include "server/base/tls_socket.hpp"

#include <boost/asio/awaitable.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <chrono>

namespace bitdotio {

/// Sends close_notify if the connection is `secured`, without waiting for the client's own, which
/// many never send; then FIN. Then waits a little for the client to hang up: closing while there
/// are unread bytes from it would reset the connection, and the client would lose what it has not
/// read.
inline asio::awaitable<void> end_and_drain(tls_socket& stream, bool secured) {
    boost::system::error_code failure;
    if (secured) co_await stream.say_close(failure);
    boost::system::error_code ignored;
    stream.plain().shutdown(asio::socket_base::shutdown_send, ignored);
    char unread[4096];
    const auto room = asio::buffer(unread);
    while (!failure) {
        co_await stream.plain().async_read_some(room,
                                                asio::redirect_error(asio::use_awaitable, failure));
    }
}

/// The time for a client to hang up.
inline constexpr std::chrono::seconds usual_farewell{2};

/// The same, for a limited time; never throws for what the network does.
inline asio::awaitable<void> tls_shutdown(tls_socket& stream, bool secured,
                                          std::chrono::milliseconds patience = usual_farewell) {
    const time_point deadline = from_now(patience);
    boost::system::error_code ignored;
    co_await with_deadline(end_and_drain(stream, secured), deadline);
    stream.plain().close(ignored);
}

}  // namespace bitdotio
