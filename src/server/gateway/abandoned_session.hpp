// Ends a session of PostgreSQL whose client is not there any more.
#pragma once

#include "server/gateway/backend_link.hpp"
#include "server/gateway/startup_packet.hpp"

#include <boost/asio/awaitable.hpp>

namespace bitdotio {

/// Lets a session end: PostgreSQL reads that nothing more comes. A statement that still runs after
/// a second is cancelled, and so is each that follows it in a pipeline, at most ten in all; what
/// runs even then, PostgreSQL itself ends (client_connection_check_interval).
///
/// Returns when PostgreSQL has ended the session, or it is given up. It never throws.
///
/// Lifetime: `link` must outlive it.
asio::awaitable<void> end_abandoned(backend_link& link, cancel_key key);

}  // namespace bitdotio
