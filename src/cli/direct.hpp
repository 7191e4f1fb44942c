// Connections to a database over its Postgres endpoint, and what is told while they wait.
#pragma once

#include <bitdotio/connection.hpp>

#include "cli/service.hpp"

#include <chrono>
#include <filesystem>
#include <optional>

namespace bitdotio::cli {

/// How a database is reached, and how patient its user is.
struct direct_target {
    direct_target() = default;

    connect_options where;
    /// A profile that has this address; empty for none.
    std::filesystem::path profile;
    bool telling = false;    ///< on a terminal, or with --verbose
    bool has_bound = false;  ///< the user has said how long to wait
};

/// Parameters: `options` are those of a database of the service. An option --timeout of the command
///     bounds the wait.
direct_target direct_target_of(const arguments& words, const service_place& where,
                               bitdotio::connect_options options);

/// Connects. After a second it tells what it waits for. A port that refuses is given up then, if
/// the server of the profile is gone, or after five seconds, if it is this machine's, unless the
/// user has set the bound.
///
/// Errors: those of connection::open; errc::connect_failed for a port that has refused too long.
/// Cancellation: terminal.
asio::awaitable<void> open_directly(direct_target target, std::optional<connection>& opened);

}  // namespace bitdotio::cli
