// Our own connection to a database.
#pragma once

#include <bitdotio/connection.hpp>

#include "server/hosts/database_host.hpp"

#include <boost/asio/awaitable.hpp>

#include <functional>
#include <string>

namespace bitdotio {

/// Opens a connection to a database of a session_target. Among several hosts, a standby may not
/// know yet a database or a role that the primary has just made: then each is asked by itself.
///
/// Errors: those of connection::open.
asio::awaitable<connection> open_at_primary(connect_options where);

/// Parameters: `where` is a database that the caller holds meanwhile; `purpose` is shown in
///     pg_stat_activity.
/// Errors: those of connection::open; never errc::authentication_failed, which would look like
///     the caller's fault.
asio::awaitable<connection> open_session(session_target where, std::string purpose);

/// Asked for room in a database that refuses a session for want of a place (53300), says whether
/// there is some now.
using room_maker = std::function<asio::awaitable<bool>(std::string database)>;

/// As above, and once more if there is no place and `make_room`, which may be empty, has made one.
///
/// Parameters: `database` is the id of the database.
asio::awaitable<connection> open_session(session_target where, std::string purpose,
                                         std::string database, room_maker make_room);

}  // namespace bitdotio
