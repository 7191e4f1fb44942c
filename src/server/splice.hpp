// Bytes of two streams handed across both ways, until the server's side ends.
#pragma once

#include "server/backend_link.hpp"

#include <boost/asio/awaitable.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/stream.hpp>

namespace bitdotio {

namespace asio = boost::asio;

/// Hands bytes across until `backend` has said all and it is with the client, or the client is
/// gone. A client that only stops sending still gets its answers.
///
/// Both streams must be on the caller's strand.
/// Cancellation: terminal; both streams are then to be closed.
asio::awaitable<void> splice(asio::ssl::stream<asio::ip::tcp::socket>& client,
                             backend_link& backend);

}  // namespace bitdotio
