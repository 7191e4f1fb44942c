// The service on this machine: what `bit serve` runs, in your process, for your tests.
#pragma once

#include <bitdotio/api_key.hpp>
#include <bitdotio/client_options.hpp>
#include <bitdotio/database_name.hpp>
#include <bitdotio/models.hpp>
#include <bitdotio/server_event.hpp>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace bitdotio {

namespace asio = boost::asio;

/// Where the server lives and when its databases sleep.
///
/// Thread safety: a value.
struct local_server_options {
    local_server_options() = default;

    /// Holds databases, keys and certificates between runs; empty for a temporary one that is
    /// removed on stop.
    std::filesystem::path data_directory;
    /// Where databases are made instead of in instances of our own: libpq's connection string of a
    /// PostgreSQL (15 or newer) that somebody else runs, and of a role there with CREATEDB and
    /// CREATEROLE. Several hosts are a primary and its standbys. Never shown. Empty for instances.
    ///
    /// With it, a database is asleep when nobody is connected, `sleep_after`, `postgres_programs`
    /// and `run_as` have no effect, and a temporary server removes its databases on stop.
    std::string backend;
    /// The address to listen on.
    std::string listen = "127.0.0.1";
    /// 0 takes a free port.
    std::uint16_t api_port = 0;
    std::uint16_t postgres_port = 0;
    /// A database without connections is put to sleep after this time.
    std::chrono::milliseconds sleep_after{60'000};
    /// A session without a statement ends with SQLSTATE 57P05 after this time, one that leaves a
    /// transaction open with 25P03; the session's own SET does not change this. 0 for no end.
    std::chrono::milliseconds idle_session_timeout{300'000};
    /// A session ends with SQLSTATE 57P01 after this time, between two statements; one with an open
    /// transaction ends a tenth of it later. 0 for no end.
    std::chrono::milliseconds session_life{3'600'000};
    /// How long statements and requests that are under way may go on when the server is stopped.
    std::chrono::milliseconds stop_grace{5'000};
    /// How many sessions a database can have at once, queries of the API included; others are
    /// refused with SQLSTATE 53300. From 1 to 10,000. The service's official clients pool up to
    /// 100.
    int max_connections = 110;
    /// How many sessions the Postgres endpoint begins ahead of their clients, for each role of a
    /// database that is awake: for clients that connect with the same settings again and again.
    /// They count among `max_connections`, but a client comes first. 0 for none.
    int reserve_sessions = 1;
    /// How many connections the API, and the Postgres endpoint, each have at once; and how many
    /// from one address, where those from this machine itself are not counted. A newcomer beyond
    /// them takes the place of the oldest connection that has not shown a key. If there is no such
    /// connection, it is refused: with 503, or SQLSTATE 53300. From 1.
    int max_clients = 1'000;
    int max_clients_per_address = 500;
    /// How many bytes of requests' bodies the API keeps in memory at once; a request that finds no
    /// room waits, ten seconds at most, and is refused with 503 then.
    std::uint64_t request_memory = std::uint64_t{64} << 20;
    /// How long the answer to a query of the API may be, in bytes of JSON; a longer one is an
    /// error. This library's client takes 64 MiB.
    std::uint64_t largest_answer = std::uint64_t{64} << 20;
    /// A client whose database has not woken after this time is refused with SQLSTATE 57P03.
    std::chrono::milliseconds wake_timeout{60'000};
    /// The owner of the first key: the user part of database names.
    std::string user = "local";
    /// How much a database made without a limit of its own may hold. A database over its limit is
    /// read-only until space is freed or the limit raised.
    std::int64_t storage_limit_bytes = std::int64_t(10) << 30;
    /// How often databases that are awake are measured.
    std::chrono::milliseconds storage_check_interval{10'000};
    /// How many calls of the API a key may make at once, and how many a second in the long run;
    /// further calls are answered with 429. 0 a second for no limit.
    int call_burst = 200;
    int calls_per_second = 50;
    /// A query of the API is ended after this time.
    std::chrono::milliseconds query_timeout{300'000};
    /// The profile to write for clients (mode 0600), removed on stop; empty for none.
    std::filesystem::path profile_file;
    /// The directory of initdb and postgres; empty for the newest one installed.
    std::filesystem::path postgres_programs;
    /// The unprivileged user PostgreSQL runs as when this process is root; empty for "postgres",
    /// else "nobody".
    std::string run_as;
    /// Imports take files up to this many bytes, sent or fetched.
    std::uint64_t largest_import = std::uint64_t{16} << 30;
    /// Lets imports fetch from addresses that are not of the public internet: private ones, this
    /// machine's own. Off, because whoever may import could look into the server's network.
    bool allow_private_urls = false;
    /// How long the address of an exported file works; the state of the export tells a new one.
    std::chrono::milliseconds download_link_life{3'600'000};
    /// How long jobs that are over, and exported files, are kept.
    std::chrono::milliseconds jobs_kept{24 * 3'600'000};
    /// An exported file may have up to this many bytes.
    std::uint64_t largest_export = std::uint64_t{16} << 30;
    /// How many bytes of files sent for imports that wait or run there may be, of one account and
    /// of all; further ones are refused with 507.
    std::uint64_t uploads_of_account = std::uint64_t{32} << 30;
    std::uint64_t uploads_in_all = std::uint64_t{64} << 30;
    /// How many bytes of exported files are kept, of one account and of all. A further export
    /// removes the oldest of its account; if that is not enough, it fails.
    std::uint64_t exports_of_account = std::uint64_t{32} << 30;
    std::uint64_t exports_in_all = std::uint64_t{64} << 30;
    /// How many jobs are kept, of one account and of all. A further one removes the oldest of its
    /// account that is over; if there is none, it is refused with 507.
    std::size_t jobs_of_account = 1'000;
    std::size_t jobs_in_all = 10'000;
    /// Imports, exports and new databases are refused with 507 while fewer bytes of the data
    /// directory's disk are free than this; by default 1 GiB, or a hundredth of the disk if that is
    /// less. 0 for no reserve.
    std::optional<std::uint64_t> disk_reserve;
    /// How many bytes of temporary files a session of an instance may have (PostgreSQL's
    /// temp_file_limit, which sessions cannot lift); a statement that needs more fails with
    /// SQLSTATE 53400. No effect on a backend.
    std::uint64_t largest_temporary_files = std::uint64_t{1} << 30;
    /// If off, PostgreSQL does not wait for the disk (fsync, synchronous_commit, full_page_writes):
    /// faster, but a crash of the machine loses everything. Only with a temporary data directory.
    bool durable = true;
    /// A certificate (PEM, followed by its chain) and its key to use instead of one that the
    /// server's own authority signs. Both or neither.
    std::filesystem::path certificate_file;
    std::filesystem::path private_key_file;
    /// What clients trust then; empty for the certificate itself if it is self-signed, else for the
    /// authorities of the system.
    std::filesystem::path certificate_authority_file;
    /// How often the server checks whether the certificate has changed, or must be made anew.
    std::chrono::milliseconds certificate_check_interval{60'000};
    /// Called for what happens, on any thread; it must not block. Empty for no log.
    std::function<void(const server_event&)> log;
};

/// A running server: the HTTPS API and the Postgres endpoint over a private real PostgreSQL.
///
/// Errors of its verbs: errc::not_found for a database that does not exist.
/// Cancellation of its verbs: of `wait_until_asleep` terminal, partial, total; the others do not
///     stop midway.
/// Thread safety: its functions may be called from any thread.
/// Lifetime: call `stop()` and await it. The destructor of a running one kills its processes and
///     removes its temporary files without waiting for a clean end.
class local_server {
public:
    /// Starts it and returns once both endpoints answer.
    ///
    /// Errors: errc::bad_input for invalid options; errc::system_failed naming the cause:
    ///     PostgreSQL not installed, a port in use, a directory that cannot be written.
    /// Cancellation: terminal, partial; what was started is stopped.
    /// Lifetime: it works on the executor of the coroutine that awaits this, as connection::open.
    static asio::awaitable<local_server> start(local_server_options options);

    /// No server, as one moved from: `stop` does nothing, every other use fails with
    /// errc::protocol_violated.
    local_server() noexcept = default;
    local_server(local_server&&) noexcept;
    local_server& operator=(local_server&&) noexcept;
    ~local_server();

    const std::string& api_url() const;
    const std::string& postgres_host() const;
    std::uint16_t postgres_port() const;
    /// PEM file of the authority that signed both endpoints' certificates; empty if it is one that
    /// the system knows.
    const std::string& ca_file() const;
    /// The first key, whose user is local_server_options::user.
    const api_key& key() const;
    /// The options a client needs to use this server: addresses, CA file, key.
    bitdotio::client_options client_options() const;

    /// Creates a service account of the first key's user, which may use that user's `databases` as
    /// `what` allows: role::admin, role::writer or role::reader. Over the API its keys are made and
    /// revoked, see client::create_service_account_key.
    ///
    /// Errors: errc::bad_input for an invalid name, or role::owner; errc::conflict if there is an
    ///     account of that name; errc::not_found for a database that is not the user's.
    asio::awaitable<service_account> create_account(std::string name, role what,
                                                    std::vector<database_name> databases);
    /// Lets the account use one more database, or one less.
    ///
    /// Errors: errc::not_found.
    asio::awaitable<service_account> grant(std::string account_id, database_name name);
    asio::awaitable<service_account> revoke(std::string account_id, database_name name);
    /// Removes the account with its keys.
    ///
    /// Errors: errc::not_found.
    asio::awaitable<void> remove_account(std::string account_id);

    /// Puts a database to sleep now, ending its connections.
    asio::awaitable<void> sleep(database_name name);
    /// Wakes a database; returns when it accepts connections. It falls asleep again as after a
    /// connection.
    asio::awaitable<void> wake(database_name name);
    /// Returns when the database is asleep; at once if it is already asleep.
    asio::awaitable<void> wait_until_asleep(database_name name);
    /// Whether no PostgreSQL runs for the database at this moment.
    asio::awaitable<bool> is_asleep(database_name name);
    /// Hangs up on the next `count` connections to the Postgres endpoint right after accepting.
    asio::awaitable<void> refuse_next(int count);
    /// Cuts all client connections of the database (TCP reset), its PostgreSQL left running.
    asio::awaitable<void> hang_up(database_name name);
    /// Delays all that the database's clients are sent by this time, from now on; 0 for none.
    asio::awaitable<void> delay(database_name name, std::chrono::milliseconds time);
    /// Refuses further sessions of the database with SQLSTATE 53300, as if all its places were
    /// taken; false lets them in again. Present sessions go on.
    asio::awaitable<void> fill(database_name name, bool full = true);
    /// Checks now whether the certificate must be replaced. Open connections go on.
    ///
    /// Errors: errc::bad_input, errc::system_failed naming the file; the old one stays then.
    asio::awaitable<void> reload_certificate();
    /// How many connections the Postgres endpoint has accepted since the start, refused ones
    /// included.
    asio::awaitable<std::uint64_t> accepted_connections();

    /// Stops everything and removes what is temporary. Calling it again does nothing.
    ///
    /// All databases stop at once: a lasting one writes its checkpoint, a temporary one only ends
    /// its sessions, because its files are removed.
    ///
    /// Cancellation: none; it ends within some seconds, by force if it must.
    asio::awaitable<void> stop();

private:
    class impl;
    explicit local_server(std::shared_ptr<impl> impl);
    const std::shared_ptr<impl>& running() const;
    std::shared_ptr<impl> impl_;
};

}  // namespace bitdotio
