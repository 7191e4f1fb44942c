// A session that PostgreSQL has begun before its client came, and that nobody has used.
#pragma once

#include "base/deadline.hpp"
#include "server/gateway/backend_link.hpp"
#include "server/gateway/startup_packet.hpp"
#include "server/hosts/database_host.hpp"

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>

#include <memory>
#include <string>

namespace bitdotio {

/// A session that rests, its greeting read up to ReadyForQuery.
///
/// Thread safety: one thread at a time. It may move to another strand while nothing is under way.
struct spare_session {
    spare_session() = default;

    std::unique_ptr<backend_link> link;
    backend_greeting greeting;
    /// What a session's beginning depends on beside its startup packet, as the server stored it
    /// when this one had begun.
    std::string circumstances;
    time_point since;
};

/// Begins a session as `wish` asks for it, and asks for its circumstances.
///
/// Errors: those of backend_link::open; errc::connect_failed if the server refuses it.
/// Cancellation: terminal.
asio::awaitable<std::unique_ptr<spare_session>> begin_spare(asio::any_io_executor executor,
                                                            session_target where,
                                                            startup_message wish,
                                                            time_point deadline);

/// Asks the session what a session would find that began now: settings and rights of its role and
/// database. Two answers are equal only if nothing was changed in between.
///
/// It is a simple query, which leaves nothing in the session but its text in pg_stat_activity.
///
/// Errors: errc::protocol_violated if the server says anything else; boost::system::system_error.
/// Cancellation: terminal; the session is of no use then.
asio::awaitable<std::string> circumstances_of(backend_link& link);

}  // namespace bitdotio
