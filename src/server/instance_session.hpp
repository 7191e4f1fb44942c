// Our own connection to an instance.
#pragma once

#include <bitdotio/connection.hpp>

#include "server/instance.hpp"

#include <boost/asio/awaitable.hpp>

#include <string>
#include <utility>

namespace bitdotio {

/// Parameters: `socket_directory` of an instance that stays awake meanwhile; `role` is one of
///     session_roles; `purpose` is shown in pg_stat_activity.
/// Errors: those of connection::open.
inline asio::awaitable<connection> open_session(std::string socket_directory, std::string role,
                                                std::string purpose) {
    connect_options options;
    options.hosts.emplace_back(std::move(socket_directory), std::uint16_t{5432});
    options.user = std::move(role);
    options.database = instance::database;
    options.tls = tls_mode::disable;
    options.application_name = std::move(purpose);
    co_return co_await connection::open(options);
}

}  // namespace bitdotio
