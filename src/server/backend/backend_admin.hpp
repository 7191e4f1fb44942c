// Administers the backend: makes databases and roles, ends sessions, measures.
#pragma once

#include <bitdotio/pool.hpp>

#include "server/backend/backend_secret.hpp"
#include "server/backend/tenant.hpp"

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace bitdotio {

namespace asio = boost::asio;

/// Runs statements in the role of the backend's connection string, on a few connections.
///
/// Errors of its functions: errc::system_failed with the words of a backend that refuses,
///     errc::database_asleep if it does not answer; never one that looks like the caller's fault.
/// Thread safety: its functions may be called from any thread.
/// Lifetime: held by shared_ptr; await `close`.
class backend_admin : public std::enable_shared_from_this<backend_admin> {
public:
    /// Reads the connection string.
    ///
    /// Parameters: `patience` with a backend that does not answer, as in a failover.
    /// Errors: errc::bad_input, never quoting a password.
    static connect_options login(const std::string& conninfo, std::chrono::milliseconds patience);

    backend_admin(asio::any_io_executor executor, connect_options login, backend_secret secret,
                  int max_connections);

    /// Checks whether the backend can be used, and sets the connection limit of our databases.
    /// Returns their ids.
    ///
    /// Errors: errc::system_failed naming privileges that are missing, or the version.
    asio::awaitable<std::vector<std::string>> look();

    /// Makes a database and its roles; after an error, parts of it may exist.
    asio::awaitable<void> make(tenant what);
    /// Removes what exists of a database and its roles.
    asio::awaitable<void> drop(tenant what);
    /// Ends the sessions in these roles, of session_roles.
    asio::awaitable<void> end_sessions(tenant what, std::vector<std::string> roles);
    asio::awaitable<void> end_all_sessions(tenant what);
    /// Puts right what keys have changed of a database and its roles. Returns what was wrong.
    ///
    /// Parameters: `thorough` also sets the passwords, and looks at all settings of the database.
    asio::awaitable<std::vector<std::string>> repair(tenant what, bool thorough);
    /// Errors: also errc::not_found.
    asio::awaitable<std::int64_t> size_of(tenant what);

    /// How one of the database's roles logs in.
    connect_options session(const tenant& what, const std::string& role) const;

    /// Cancellation: none.
    asio::awaitable<void> close();

private:
    asio::awaitable<void> check();
    asio::awaitable<void> do_make(tenant what);
    asio::awaitable<std::vector<std::string>> do_repair(tenant what, bool thorough);
    asio::awaitable<std::vector<result>> run(std::string sql);
    asio::awaitable<std::vector<result>> run_in(connect_options where, std::string sql);
    asio::awaitable<void> set_passwords(tenant what);
    static asio::awaitable<credentials> password_of(std::weak_ptr<const backend_admin> self,
                                                    tenant what, std::string role, int attempt);

    const connect_options login_;
    const backend_secret secret_;
    const int max_connections_;
    pool pool_;
    bool superuser_ = false;
};

}  // namespace bitdotio
