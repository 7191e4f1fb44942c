// Keeps all databases in one PostgreSQL that somebody else runs: managed, replicated, pooled.
#pragma once

#include "base/async_semaphore.hpp"
#include "base/strand.hpp"
#include "server/backend/backend_admin.hpp"
#include "server/hosts/data_directory.hpp"
#include "server/hosts/database_host.hpp"

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

namespace bitdotio {

/// Which PostgreSQL to use, and where our own files are kept.
struct backend_host_options {
    backend_host_options() = default;

    /// libpq's connection string, for a role that may make databases and roles. Never shown.
    std::string backend;
    /// Kept between runs; empty for a temporary one: `close()` then removes all databases as well.
    std::filesystem::path data_directory;
    /// The connection limit of each database.
    int max_connections = 110;
    /// How long to wait for a backend that does not answer, as in a failover.
    std::chrono::milliseconds patience{30'000};
};

/// One database of the backend for each of ours, with roles of its own; see `tenant`.
///
/// Nothing is started or stopped: a database is asleep while nobody holds it. Our own statements
/// use a pool.
///
/// Thread safety: its functions may be called from any thread.
/// Lifetime: await `close()`.
class backend_host final : public database_host {
public:
    /// Locks the data directory, connects, and checks whether the backend can be used.
    ///
    /// Errors: errc::bad_input for a connection string or a directory that cannot be used; the
    ///     connection's failure; errc::system_failed naming the privileges that are missing, or
    ///     the version.
    /// Cancellation: none.
    static asio::awaitable<std::shared_ptr<backend_host>> open(asio::any_io_executor executor,
                                                               backend_host_options options);
    ~backend_host() override;

    /// Whether a data directory belongs to a server with a backend.
    static bool has_backend(const std::filesystem::path& data_directory);

    const std::filesystem::path& directory() const noexcept override { return directory_.path(); }
    /// Does nothing: accounts have no roles of their own here.
    void know_accounts(account_check) override {}

    /// Use `open`.
    backend_host(bitdotio::strand strand, data_directory directory,
                 std::shared_ptr<backend_admin> admin, std::shared_ptr<asio::ssl::context> tls);

private:
    class held;

    static asio::awaitable<std::shared_ptr<backend_host>> do_open(bitdotio::strand strand,
                                                                  backend_host_options options);
    asio::awaitable<void> do_create(std::string id) override;
    asio::awaitable<void> do_remove(std::string id) override;
    /// The databases in the backend that have our mark.
    asio::awaitable<std::vector<std::string>> do_ids() override;
    asio::awaitable<lease> do_hold(std::string id) override;
    std::optional<lease> hold_awake(const std::string& id) override;
    /// Ends the sessions. It waits only some seconds for those that a pooler between keeps open for
    /// its clients.
    asio::awaitable<void> do_sleep_now(std::string id) override;
    asio::awaitable<void> do_wait_until_asleep(std::string id) override;
    asio::awaitable<bool> do_is_asleep(std::string id) override;
    asio::awaitable<void> do_end_sessions(std::string id, std::vector<std::string> roles) override;
    asio::awaitable<std::vector<std::string>> do_repair(std::string id) override;
    asio::awaitable<std::int64_t> do_storage_bytes(std::string id) override;
    asio::awaitable<void> do_stop() override;
    asio::awaitable<void> do_close() override;

    std::shared_ptr<held> find(const std::string& id) const;
    void add(const std::string& id);
    void check_open() const;

    data_directory directory_;
    const std::shared_ptr<backend_admin> admin_;
    const std::shared_ptr<asio::ssl::context> tls_;
    async_semaphore makers_;
    std::map<std::string, std::shared_ptr<held>> databases_;
    std::set<std::string> being_made_;
    bool closed_ = false;
};

}  // namespace bitdotio
