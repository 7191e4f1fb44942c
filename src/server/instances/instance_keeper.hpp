// What the server itself does in an awake instance, as its superuser.
#pragma once

#include "server/hosts/database_host.hpp"

#include <boost/asio/awaitable.hpp>

#include <string>
#include <vector>

namespace bitdotio {

/// Opens sessions of the instance's superuser, one for each call.
///
/// Whatever users have made or set: its search_path is pg_catalog alone, and no statement of it
/// runs code of theirs.
///
/// Errors of its functions: any error of a connection or a statement.
/// Thread safety: its functions may be called from any thread.
/// Lifetime: await its functions in place.
class instance_keeper {
public:
    /// Parameters: `socket_directory` of the instance.
    explicit instance_keeper(std::string socket_directory)
        : socket_directory_(std::move(socket_directory)) {}

    /// What was wrong, and which roles of accounts there are.
    struct findings {
        findings() = default;

        std::vector<std::string> put_right;
        std::vector<std::string> roles;
    };
    /// Puts right what keys have changed; see instance_roles::find_faults. It writes only what
    /// differs.
    asio::awaitable<findings> repair(bool thorough) const;
    /// Whether no other session is at work. Where nobody is let in, nothing is changed from then
    /// on.
    asio::awaitable<bool> is_alone() const;

    /// Makes an account's role if it is missing; see instance_roles.
    asio::awaitable<void> make_role(std::string kind, std::string role) const;
    /// Removes roles of accounts that are gone.
    asio::awaitable<void> drop_roles(std::vector<std::string> roles) const;
    /// Ends the sessions of these kinds.
    asio::awaitable<void> end_sessions(std::vector<std::string> kinds) const;

private:
    session_target target() const;

    std::string socket_directory_;
};

}  // namespace bitdotio
