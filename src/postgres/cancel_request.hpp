// Asks the server to stop what a connection runs, over a connection of its own.
#pragma once

#include "postgres/libpq.hpp"

#include <boost/asio/awaitable.hpp>

namespace bitdotio {

namespace asio = boost::asio;

/// Asks once. It has ended when the server has ended that connection: then nothing is on its way
/// any more that could hit a later statement. Whether anything was stopped is not told; nor is a
/// server that cannot be reached, because asking again may succeed.
///
/// From libpq 17 on it is encrypted and verified as `conn` is. Older ones ask in the clear, and by
/// a call that blocks a thread of `run_blocking`.
///
/// Parameters: `conn` is used only before the first suspension.
/// Errors: errc::system_failed if there is nothing to ask with; errc::cancelled.
/// Cancellation: terminal, partial, total: stops waiting; the request may still reach the server.
/// Thread safety: none; it runs on the strand of `conn`.
asio::awaitable<void> request_cancel(PGconn* conn);

}  // namespace bitdotio
