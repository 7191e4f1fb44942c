// How a connection is opened: where to, as whom, how secured, and how long it may take.
#pragma once

#include <bitdotio/error.hpp>

#include <boost/asio/awaitable.hpp>

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bitdotio {

/// How the connection to PostgreSQL is secured. A Unix socket never has TLS, whatever is set.
///
/// See: PostgreSQL manual, 34.19 "SSL Support".
enum class tls_mode {
    verify_full,  ///< TLS, the certificate signed by a trusted CA and naming the host. The default.
    verify_ca,    ///< TLS, the certificate signed by a trusted CA, whatever host it names.
    require,      ///< TLS with any server: nothing is verified, unless ca_file is set.
    prefer,       ///< TLS if the server has it. Does not protect against an impostor.
    allow,        ///< TLS if the server insists. For connection strings that say so.
    disable,      ///< No TLS.
};

/// Whether authentication by password must prove that no one stands between (SCRAM-SHA-256-PLUS).
enum class channel_binding {
    prefer,   ///< If the server offers it, over TLS.
    require,  ///< Refuses servers without it, and every other way to authenticate.
    disable,
};

enum class tls_version { v1_0, v1_1, v1_2, v1_3 };

/// Which of several servers will do.
enum class session_attributes {
    any,
    read_write,      ///< takes writes: not a standby, and transactions are not read-only by default
    read_only,       ///< the opposite
    primary,         ///< not a standby
    standby,         ///< one in recovery
    prefer_standby,  ///< a standby, else any
};

/// One address of a PostgreSQL server: a host name, an IP address, or the directory of a Unix
/// socket if it begins with "/".
///
/// Thread safety: a value.
struct host_port {
    host_port() = default;
    host_port(std::string host_, std::uint16_t port_, std::string address_ = "")
        : host(std::move(host_)), port(port_), address(std::move(address_)) {}

    std::string host;
    std::uint16_t port = 5432;
    /// The IP address of `host` if it shall not be resolved; TLS still verifies against `host`,
    /// which may be empty where nothing is verified.
    std::string address;

    friend bool operator==(const host_port&, const host_port&) = default;
};

/// What a connection authenticates with, see connect_options::ask_credentials.
// No aggregate, on purpose: see pool_options.hpp.
struct credentials {
    credentials() = default;
    explicit credentials(std::string password_, std::string user_ = "")
        : user(std::move(user_)), password(std::move(password_)) {}

    /// Empty for connect_options::user.
    std::string user;
    /// Never shown.
    std::string password;
};

/// Everything about opening a connection, and the defaults of its operations.
///
/// The environment and the files in the home directory that libpq reads are ignored, except in
/// `from_environment`.
///
/// Thread safety: a value.
// No aggregate, on purpose: see pool_options.hpp.
struct connect_options {
    connect_options() = default;

    /// Reads a connection string in either of libpq's forms: "host=a,b dbname=shop" or
    /// "postgresql://user@host:5432/shop?sslmode=require". Touches no file and no environment.
    ///
    /// What it does not mention keeps this struct's default; in particular TLS stays verify_full.
    ///
    /// Errors: errc::bad_input naming an unknown keyword or an invalid value, never quoting a
    ///     password; for a `service`, which only from_environment looks up; for a `client_encoding`
    ///     other than UTF8, the only one this library supports.
    /// See: PostgreSQL manual, 34.1.1 "Connection Strings".
    static connect_options parse(std::string_view conninfo);

    /// As `parse`, with what is missing filled in as psql does: from the service file (`service`,
    /// PGSERVICE, PGSERVICEFILE, ~/.pg_service.conf, then pg_service.conf in PGSYSCONFDIR), from
    /// the environment (PGHOST, PGUSER, …), then by libpq's defaults: the local Unix socket, the
    /// user of the operating system, a database named as the user, ~/.pgpass, and the certificates
    /// in ~/.postgresql. TLS stays verify_full where nothing says otherwise.
    ///
    /// Reads small files and asks the system for the user's name: call it before the executor
    /// runs.
    ///
    /// Errors: as parse; errc::bad_input for a service that no file defines, or for a malformed
    ///     file, naming file and line.
    /// See: PostgreSQL manual, 34.15 "Environment Variables", 34.17 "The Connection Service File".
    static connect_options from_environment(std::string_view conninfo = {});

    /// Tried in this order, each with all addresses that its name resolves to.
    std::vector<host_port> hosts;
    /// Tries hosts, and the addresses of each, in random order, so that many clients spread.
    bool load_balance_hosts = false;
    /// Which of the hosts will do. While no host does, opening goes on until `wake_timeout`: a
    /// standby may be about to be promoted.
    session_attributes target_session_attrs = session_attributes::any;

    std::string user = "api_user";
    /// Never shown; an API key for the Postgres endpoint of the service.
    std::string password;
    /// A file to look up a password in, by host, port, database and user, if `password` is empty.
    /// It is read for each connection, off the executor. It is ignored if others than its owner may
    /// read it; an error that results from this says so. Empty for none.
    ///
    /// See: PostgreSQL manual, 34.16 "The Password File".
    std::string password_file;
    std::string database;
    /// Called for each dial instead of reading `password` and `password_file`, for credentials that
    /// are rotated while the program runs. Empty calls nothing.
    ///
    /// It may await, at most as long as connect_timeout; then it is cancelled. It must not block,
    /// nor wait for the pool that calls it. Dials of a pool may call it at once.
    ///
    /// Parameters: the attempt: 1, or 2 if the server has refused (28P01) the credentials of
    ///     attempt 1 in this dial, so a cache must not give those again. There is no third.
    /// Errors: a bitdotio::error passes through, and its code decides whether the dial counts as
    ///     one of a sleeping database (errc::timeout, connection_lost, database_asleep), which is
    ///     tried again, or as refused; any other exception, and no answer in time, become
    ///     errc::authentication_failed. The text of an exception is shown: it must hold no secret.
    std::function<boost::asio::awaitable<credentials>(int attempt)> ask_credentials;

    tls_mode tls = tls_mode::verify_full;
    /// PEM file of the authorities to trust; empty for those of the system.
    std::string ca_file;
    /// PEM file of revoked certificates; empty for none.
    std::string crl_file;
    /// PEM files of the client's certificate, and of its key, which nobody else may be able to
    /// read; empty for none.
    std::string certificate_file;
    std::string key_file;
    /// What the key is encrypted with, if it is.
    std::string key_password;
    tls_version min_tls_version = tls_version::v1_2;
    bitdotio::channel_binding channel_binding = bitdotio::channel_binding::prefer;

    /// Shown by the server in pg_stat_activity.
    std::string application_name = "bitdotio";
    /// Settings of the session from its beginning, such as {"search_path", "shop"}; RESET returns
    /// to them. Poolers in between may refuse those they do not track.
    std::vector<std::pair<std::string, std::string>> settings;
    /// Options for the server's command line, before `settings`: "-c geqo=off". Blanks and
    /// backslashes in a value are escaped by a backslash.
    std::string options;
    /// Further parameters of libpq by name, which override all others: keepalives, krbsrvname,
    /// requirepeer, …. Hosts, user, password, database and encoding cannot be given here.
    ///
    /// See: PostgreSQL manual, 34.1.2 "Parameter Key Words".
    std::vector<std::pair<std::string, std::string>> extra_parameters;

    /// For one try at one address, TLS and authentication included. Long enough for a provider that
    /// holds the connection while it wakes the database.
    std::chrono::milliseconds connect_timeout{10'000};
    /// How long a sleeping database may take to wake before opening fails with
    /// errc::database_asleep. 0 means: try once.
    std::chrono::milliseconds wake_timeout{60'000};
    /// For each statement that sets none itself; 0 means no limit, as in PostgreSQL.
    std::chrono::milliseconds statement_timeout{0};
    /// How long the server may take to acknowledge the cancellation of a statement, after which
    /// the connection is cut.
    std::chrono::milliseconds cancel_timeout{2'000};

    /// How many statements a connection keeps prepared: those used twice, the most recently used. 0
    /// turns it off, which a pooler in transaction mode needs: there the next statement may run on
    /// another server connection.
    std::size_t statement_cache_size = 256;
    /// Longer statements are not kept prepared; in bytes.
    std::size_t statement_cache_max_length = 16'384;

    /// Called for what the server reports without failing: NOTICE, WARNING, RAISE. Empty drops it;
    /// nothing is written to standard error. The error says why a server ended a session.
    ///
    /// It is called while the connection reads an answer, before the statement's own result is
    /// there: it must not wait, nor use the connection. What it throws is dropped.
    ///
    /// Thread safety: one call at a time for one connection; the connections of a pool may call
    ///     at once.
    std::function<void(const server_message&)> on_notice;
};

}  // namespace bitdotio
