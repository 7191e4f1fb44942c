// All databases' PostgreSQL instances: made, woken, put to sleep, removed.
#pragma once

#include "server/data_directory.hpp"
#include "server/instance.hpp"
#include "turnstile.hpp"

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/strand.hpp>

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

/// Where the instances live and when they sleep.
struct cluster_options {
    cluster_options() = default;

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
    int max_connections = 60;
    /// How long an instance may take to accept connections, crash recovery included.
    std::chrono::milliseconds start_timeout{60'000};
    /// PostgreSQL's fsync, full_page_writes and synchronous_commit.
    bool durable = true;
    /// Called on the cluster's strand; may be empty.
    std::function<void(const instance_event&)> tell;
};

/// One PostgreSQL per database, cloned from a template, running only while someone holds it.
///
/// Every instance has one database, `instance::database`, owned by the role `instance::role`, who
/// is no superuser and the only one its socket lets in. The socket is
/// "<lease::socket_directory()>/.s.PGSQL.5432" in a directory of mode 0700.
///
/// Thread safety: its functions may be called from any thread.
/// Lifetime: await `close()`. If it goes without, the instances of a temporary data directory are
///     killed and it is removed, and others are asked to stop; all of them also stop when this
///     process dies.
class cluster : public std::enable_shared_from_this<cluster> {
public:
    /// Locks the data directory, makes the template where there is none (about a second), and
    /// stops what a killed server left running in it.
    ///
    /// Errors: errc::bad_input for options that cannot be; errc::conflict if another server has the
    ///     data directory; errc::system_failed naming the cause: PostgreSQL not installed (and the
    ///     package to install), a directory that cannot be written or whose path is too long.
    /// Cancellation: none.
    static asio::awaitable<std::shared_ptr<cluster>> open(asio::any_io_executor executor,
                                                          cluster_options options);
    cluster(const cluster&) = delete;
    cluster& operator=(const cluster&) = delete;
    ~cluster();

    /// The data directory, in which the catalog and the TLS identity may live too.
    const std::filesystem::path& directory() const noexcept { return directory_.path(); }

    /// Makes the files of a database, which begins asleep.
    ///
    /// Do this first, then enter the database in the catalog: what the catalog does not know when
    /// the server starts is a leftover to `remove`.
    ///
    /// Parameters: `id` is a UUID's text.
    /// Errors: errc::conflict if there is one of this id; errc::system_failed.
    asio::awaitable<void> create(std::string id);

    /// Stops the database's instance, ending its sessions, and removes its files.
    ///
    /// Errors: errc::not_found.
    asio::awaitable<void> remove(std::string id);

    /// The databases there are, sorted.
    asio::awaitable<std::vector<std::string>> ids();

    /// Wakes the database if it is asleep, and keeps it awake while the lease lives.
    ///
    /// At the very instant of falling asleep it waits for the end and starts it again. Wakes
    /// beyond twice the processors wait in the order they came.
    ///
    /// Errors: errc::not_found; errc::database_asleep if it does not start; at once if it exited
    ///     three times shortly after its start. Why is told to cluster_options::tell.
    /// Cancellation: terminal, partial, total: stops waiting; the start goes on for others.
    asio::awaitable<lease> hold(std::string id);

    /// Stops the instance now, ending its sessions; returns when it has stopped. Who is waiting
    /// in `hold` for it is served by the next life. A start under way is given up, within some
    /// seconds if it hangs.
    ///
    /// Errors: errc::not_found.
    asio::awaitable<void> sleep_now(std::string id);

    /// Returns when no process runs for the database, at once if none does.
    ///
    /// Errors: errc::not_found.
    /// Cancellation: terminal, partial, total.
    asio::awaitable<void> wait_until_asleep(std::string id);

    /// Errors: errc::not_found.
    asio::awaitable<bool> is_asleep(std::string id);

    /// The size of the database's tables and indexes on disk, without waking it.
    ///
    /// Errors: errc::not_found.
    asio::awaitable<std::int64_t> storage_bytes(std::string id);

    /// Stops all instances (fast, after some seconds by force), then removes a temporary data
    /// directory. Further calls fail with errc::conflict; another close does nothing.
    ///
    /// Cancellation: none.
    asio::awaitable<void> close();

    /// Use `open`.
    cluster(asio::strand<asio::any_io_executor> strand, data_directory directory,
            std::shared_ptr<const instance_settings> settings);

private:
    static asio::awaitable<std::shared_ptr<cluster>> do_open(
        asio::strand<asio::any_io_executor> strand, cluster_options options);
    asio::awaitable<void> do_create(std::string id);
    asio::awaitable<void> do_remove(std::string id);
    asio::awaitable<std::vector<std::string>> do_ids();
    asio::awaitable<lease> do_hold(std::string id);
    asio::awaitable<void> do_sleep_now(std::string id);
    asio::awaitable<void> do_wait_until_asleep(std::string id);
    asio::awaitable<bool> do_is_asleep(std::string id);
    asio::awaitable<std::int64_t> do_storage_bytes(std::string id);
    asio::awaitable<void> do_close();

    std::shared_ptr<instance> find(const std::string& id) const;
    asio::awaitable<void> add(std::string id);
    void check_open() const;
    std::filesystem::path directory_of(const std::string& id) const;

    asio::strand<asio::any_io_executor> strand_;
    data_directory directory_;
    std::shared_ptr<const instance_settings> settings_;
    const std::string mark_;
    std::shared_ptr<turnstile> wakes_;
    turnstile file_work_;
    std::map<std::string, std::shared_ptr<instance>> instances_;
    std::set<std::string> being_made_;
    unsigned next_socket_ = 0;
    bool closed_ = false;
};

}  // namespace bitdotio
