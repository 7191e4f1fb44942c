// Runs all databases' PostgreSQL instances: makes, wakes, puts to sleep and removes them.
#pragma once

#include "base/async_semaphore.hpp"
#include "base/strand.hpp"
#include "server/hosts/data_directory.hpp"
#include "server/hosts/database_host.hpp"
#include "server/instances/instance.hpp"

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

namespace asio = boost::asio;

class event_log;

/// Where the instances live and when they sleep.
struct instance_host_options {
    instance_host_options() = default;

    /// Kept between runs; empty for a temporary one, removed by `close()`.
    std::filesystem::path data_directory;
    /// The directory of initdb and postgres; empty for the newest one installed.
    std::filesystem::path postgres_programs;
    /// The unprivileged user PostgreSQL runs as when this process is root; empty for "postgres",
    /// else "nobody".
    std::string run_as;
    /// A database that nobody holds is put to sleep after this time.
    std::chrono::milliseconds sleep_after{60'000};
    /// PostgreSQL's idle_session_timeout; 0 for none.
    std::chrono::milliseconds idle_session_timeout{300'000};
    /// PostgreSQL's idle_in_transaction_session_timeout; 0 for none.
    std::chrono::milliseconds idle_in_transaction_timeout{300'000};
    /// PostgreSQL's max_connections.
    int max_connections = 110;
    /// How long an instance may take to accept connections, crash recovery included.
    std::chrono::milliseconds start_timeout{60'000};
    /// PostgreSQL's fsync, full_page_writes and synchronous_commit.
    bool durable = true;
    /// PostgreSQL's temp_file_limit, in bytes.
    std::uint64_t temporary_files = std::uint64_t{1} << 30;
    /// Called on the host's strand; may be empty.
    std::function<void(const instance_event&)> tell;
    /// Is told of internal failures; may be null.
    std::shared_ptr<const bitdotio::event_log> events;
};

/// One PostgreSQL per database, cloned from a template, running only while someone holds it.
///
/// Every instance has one database, `instance::database`, owned by the role
/// `session_roles::owner`; its socket lets in accounts' roles, none of them a superuser, and this
/// process as the superuser. The socket is ".s.PGSQL.5432" in a directory of mode 0700.
///
/// Thread safety: its functions may be called from any thread.
/// Lifetime: await `close()`. Without it, the instances of a temporary data directory are killed
///     and the directory is removed, and others are asked to stop; all of them also stop when
///     this process dies.
class instance_host final : public database_host {
public:
    /// Locks the data directory, makes the template if it is missing (about a second), and stops
    /// what a killed server left running in it.
    ///
    /// Errors: errc::bad_input for impossible options; errc::conflict if another server has the
    ///     data directory; errc::system_failed naming the cause: PostgreSQL is not installed (and
    ///     the package to install), the directory cannot be written or its path is too long.
    /// Cancellation: none.
    static asio::awaitable<std::shared_ptr<instance_host>> open(asio::any_io_executor executor,
                                                                instance_host_options options);
    ~instance_host() override;

    const std::filesystem::path& directory() const noexcept override { return directory_.path(); }
    void know_accounts(account_check which) override { *settings_->accounts = std::move(which); }

    /// Use `open`.
    instance_host(bitdotio::strand strand, data_directory directory,
                  std::shared_ptr<const instance_settings> settings);

private:
    static asio::awaitable<std::shared_ptr<instance_host>> do_open(bitdotio::strand strand,
                                                                   instance_host_options options);
    /// Makes the database's files.
    asio::awaitable<void> do_create(std::string id) override;
    /// Stops its instance and removes its files.
    asio::awaitable<void> do_remove(std::string id) override;
    asio::awaitable<std::vector<std::string>> do_ids() override;
    /// If the instance is just falling asleep, it waits for the end and starts it again. Wakes
    /// beyond twice the number of processors wait in the order they came.
    ///
    /// Errors: errc::database_asleep if it does not start; at once if it exited three times shortly
    ///     after its start. instance_host_options::tell is told why.
    asio::awaitable<lease> do_hold(std::string id) override;
    std::optional<lease> hold_awake(const std::string& id) override;
    /// Stops the instance. A start under way is abandoned, within some seconds if it hangs.
    asio::awaitable<void> do_sleep_now(std::string id) override;
    /// A database is asleep when no process runs for it.
    asio::awaitable<void> do_wait_until_asleep(std::string id) override;
    asio::awaitable<bool> do_is_asleep(std::string id) override;
    asio::awaitable<void> do_end_sessions(std::string id, std::vector<std::string> roles) override;
    asio::awaitable<std::vector<std::string>> do_repair(std::string id) override;
    asio::awaitable<std::int64_t> do_storage_bytes(std::string id) override;
    /// Stops all instances: fast, then after some seconds by force.
    asio::awaitable<void> do_stop() override;
    asio::awaitable<void> do_close() override;

    std::shared_ptr<instance> find(const std::string& id) const;
    asio::awaitable<void> add(std::string id);
    void check_open() const;
    std::filesystem::path directory_of(const std::string& id) const;

    data_directory directory_;
    std::shared_ptr<const instance_settings> settings_;
    const std::string mark_;
    std::shared_ptr<async_semaphore> wakes_;
    async_semaphore file_work_;
    std::map<std::string, std::shared_ptr<instance>> instances_;
    std::set<std::string> being_made_;
    unsigned next_socket_ = 0;
    bool closed_ = false;
};

}  // namespace bitdotio
