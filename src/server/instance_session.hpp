// Our own connection to a database.
#pragma once

#include <bitdotio/connection.hpp>
#include <bitdotio/error.hpp>

#include "server/database_host.hpp"

#include <boost/asio/awaitable.hpp>

#include <string>
#include <utility>

namespace bitdotio {

/// Parameters: `where` a database is that somebody holds meanwhile; `purpose` is shown in
///     pg_stat_activity.
/// Errors: those of connection::open; never errc::authentication_failed, which would look like
///     the caller's own.
inline asio::awaitable<connection> open_session(session_target where, std::string purpose) {
    where.connect.application_name = std::move(purpose);
    try {
        co_return co_await connection::open(where.connect);
    } catch (const error& failure) {
        if (failure.code() != errc::authentication_failed) throw;
        throw failure.with_code(errc::database_asleep);
    }
}

}  // namespace bitdotio
