// Hosts databases, whoever runs PostgreSQL: makes, wakes, holds awake, puts to sleep, removes.
#pragma once

#include "base/strand.hpp"

#include <bitdotio/connect_options.hpp>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace boost::asio::ssl {
class context;
}

namespace bitdotio {

namespace asio = boost::asio;

/// How a session of a database is opened while somebody holds it.
struct session_target {
    session_target() = default;

    /// Where and as whom to connect. It has no password, but says where to ask for one.
    connect_options connect;
    /// What its TLS trusts, read once for all sessions; null if there never is TLS.
    std::shared_ptr<asio::ssl::context> tls;
    /// Settings the session begins with, as "-c name=value …". What a client sets itself comes
    /// after them; what ALTER ROLE and ALTER DATABASE have set comes before them.
    std::string options;
    /// Whether a server that does not answer may soon be back, or have a successor.
    bool waits = false;
};

/// A database as its leases see it.
class held_database {
public:
    held_database() = default;
    virtual ~held_database() = default;
    held_database(const held_database&) = delete;
    held_database& operator=(const held_database&) = delete;

    /// Parameters: `role` is one of session_roles; `account` is the id of the caller's account.
    /// Errors: any error of a connection, if a role has to be made for the account first.
    virtual asio::awaitable<session_target> session(std::string role, std::string account) = 0;
    /// Puts right what may have kept a session out; returns whether anything was wrong.
    virtual asio::awaitable<bool> mend() = 0;
    /// A lease of this life has ended.
    virtual void release(std::uint64_t life) noexcept = 0;
};

/// Keeps a database awake as long as it lives; its end subtracts one connection.
///
/// Thread safety: one thread at a time. Lifetime: the executor must outlive it.
class lease {
public:
    /// Holds nothing.
    lease() noexcept = default;
    lease(std::shared_ptr<held_database> owner, std::uint64_t life) noexcept;
    lease(lease&& other) noexcept;
    lease& operator=(lease&& other) noexcept;
    ~lease();

    /// How the account's sessions in this role (one of session_roles) are opened. Not for an empty
    /// lease.
    ///
    /// Errors: see held_database.
    asio::awaitable<session_target> session(std::string role, std::string account) const;

    /// Puts right what may have kept a session out, at most once a second for a database. Returns
    /// whether it is worth trying again. Not for an empty lease.
    asio::awaitable<bool> mend() const;

    /// Gives the database back before destruction.
    void release() noexcept;

private:
    std::shared_ptr<held_database> owner_;
    std::uint64_t life_ = 0;
};

/// All databases of a server: public functions that enter the host's strand, and virtual ones that
/// run there.
///
/// Thread safety: its functions may be called from any thread.
/// Lifetime: held by shared_ptr; await `close()`.
class database_host : public std::enable_shared_from_this<database_host> {
public:
    virtual ~database_host() = default;
    database_host(const database_host&) = delete;
    database_host& operator=(const database_host&) = delete;

    /// The data directory, where the catalog and the TLS identity may live too.
    virtual const std::filesystem::path& directory() const noexcept = 0;

    /// Makes a database, which begins asleep.
    ///
    /// Call this first, then enter the database in the catalog: at the start of the server, a
    /// database that the catalog does not know is an orphan to `remove`.
    ///
    /// Parameters: `id` is a UUID's text.
    /// Errors: errc::conflict if there is one of this id; errc::system_failed.
    asio::awaitable<void> create(std::string id);

    /// Ends the database's sessions and removes it.
    ///
    /// Errors: errc::not_found.
    asio::awaitable<void> remove(std::string id);

    /// The ids of all databases, sorted.
    asio::awaitable<std::vector<std::string>> ids();

    /// Wakes the database if it is asleep, and keeps it awake while the lease lives.
    ///
    /// Errors: errc::not_found; errc::database_asleep if it does not start.
    /// Cancellation: terminal, partial, total: stops waiting; the start goes on for others.
    asio::awaitable<lease> hold(std::string id);

    /// Puts the database to sleep now, ending its sessions; returns when it is asleep. Callers that
    /// wait for it in `hold` are served by the next life.
    ///
    /// Errors: errc::not_found.
    asio::awaitable<void> sleep_now(std::string id);

    /// Returns when the database is asleep; at once if it already is.
    ///
    /// Errors: errc::not_found.
    /// Cancellation: terminal, partial, total.
    asio::awaitable<void> wait_until_asleep(std::string id);

    /// Errors: errc::not_found.
    asio::awaitable<bool> is_asleep(std::string id);

    /// Ends the sessions (57P01) that run in one of these roles, of session_roles.
    ///
    /// Errors: errc::not_found; any error of a connection: then the sessions may not have ended.
    asio::awaitable<void> end_sessions(std::string id, std::vector<std::string> roles);

    /// Puts right what keys have changed of roles, settings and limits that are the server's, after
    /// waking the database if it is asleep. Returns what was wrong since it was asked last, in
    /// words.
    ///
    /// Errors: errc::not_found; those of `hold`; any error of a connection.
    asio::awaitable<std::vector<std::string>> repair(std::string id);

    /// Which of these accounts exist, by their ids without hyphens.
    using account_check =
        std::function<asio::awaitable<std::vector<std::string>>(std::vector<std::string>)>;
    /// Sets how roles of accounts that are gone are found; call it before the first wake.
    virtual void know_accounts(account_check which) = 0;

    /// The size of the database's tables and indexes on disk, without waking it.
    ///
    /// Errors: errc::not_found.
    asio::awaitable<std::int64_t> storage_bytes(std::string id);

    /// Ends everything. Further calls fail with errc::conflict; another stop does nothing.
    ///
    /// Cancellation: none.
    asio::awaitable<void> stop();

    /// Stops if that was not done, then unlocks the data directory, and removes a temporary one:
    /// files in it must be closed before. Another close does nothing.
    ///
    /// Cancellation: none.
    asio::awaitable<void> close();

protected:
    using host_strand = bitdotio::strand;

    explicit database_host(host_strand strand) : strand_(std::move(strand)) {}

    const host_strand& strand() const noexcept { return strand_; }

private:
    // Each runs on the strand.
    virtual asio::awaitable<void> do_create(std::string id) = 0;
    virtual asio::awaitable<void> do_remove(std::string id) = 0;
    virtual asio::awaitable<std::vector<std::string>> do_ids() = 0;
    virtual asio::awaitable<lease> do_hold(std::string id) = 0;
    // Nothing if it has to be waited for.
    virtual std::optional<lease> hold_awake(const std::string& id) = 0;
    virtual asio::awaitable<void> do_sleep_now(std::string id) = 0;
    virtual asio::awaitable<void> do_wait_until_asleep(std::string id) = 0;
    virtual asio::awaitable<bool> do_is_asleep(std::string id) = 0;
    virtual asio::awaitable<void> do_end_sessions(std::string id,
                                                  std::vector<std::string> roles) = 0;
    virtual asio::awaitable<std::vector<std::string>> do_repair(std::string id) = 0;
    virtual asio::awaitable<std::int64_t> do_storage_bytes(std::string id) = 0;
    virtual asio::awaitable<void> do_stop() = 0;
    virtual asio::awaitable<void> do_close() = 0;

    const host_strand strand_;
};

}  // namespace bitdotio
