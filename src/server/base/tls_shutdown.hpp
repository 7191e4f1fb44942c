// Ends a TLS connection so that the last bytes we sent arrive.
#pragma once

#include "base/deadline.hpp"
#include "server/base/tls_socket.hpp"

#include <boost/asio/buffer.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <openssl/ssl.h>

#include <chrono>

namespace bitdotio {

/// Sends close_notify if the connection is `secured`, then FIN, then waits a little for the client
/// to hang up: closing while there are unread bytes from it would reset the connection, and the
/// client would lose what it has not read.
template <class Stream>
asio::awaitable<void> end_and_drain(Stream& stream, asio::ip::tcp::socket& socket, bool secured) {
    boost::system::error_code failure;
    if (secured) {
        // Without waiting for the client's own close_notify, which many never send.
        SSL_set_shutdown(stream.native_handle(), SSL_RECEIVED_SHUTDOWN);
        co_await stream.async_shutdown(asio::redirect_error(asio::use_awaitable, failure));
    }
    socket.shutdown(asio::ip::tcp::socket::shutdown_send, failure);
    char unread[4096];
    const auto room = asio::buffer(unread);
    while (!failure) {
        co_await socket.async_read_some(room, asio::redirect_error(asio::use_awaitable, failure));
    }
}

/// The same for a socket of ours.
inline asio::awaitable<void> end_and_drain(tls_socket& stream, bool secured) {
    boost::system::error_code failure;
    if (secured) co_await stream.say_close(failure);
    stream.plain().shutdown(asio::socket_base::shutdown_send, failure);
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
template <class Stream>
asio::awaitable<void> tls_shutdown(Stream& stream, asio::ip::tcp::socket& socket, bool secured,
                                   std::chrono::milliseconds patience = usual_farewell) {
    const time_point deadline = from_now(patience);
    boost::system::error_code ignored;
    co_await with_deadline(end_and_drain(stream, socket, secured), deadline);
    socket.close(ignored);
}

inline asio::awaitable<void> tls_shutdown(tls_socket& stream, bool secured,
                                          std::chrono::seconds patience = usual_farewell) {
    const time_point deadline = from_now(patience);
    boost::system::error_code ignored;
    co_await with_deadline(end_and_drain(stream, secured), deadline);
    stream.plain().close(ignored);
}

}  // namespace bitdotio
