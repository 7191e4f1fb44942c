// What a user of the service holds: the API's calls, a pool for each database, connections of one's
// own.
#pragma once

#include <bitdotio/api_key.hpp>
#include <bitdotio/client_options.hpp>
#include <bitdotio/database_name.hpp>
#include <bitdotio/jobs.hpp>
#include <bitdotio/models.hpp>
#ifndef BITDOTIO_WITHOUT_POSTGRES
#include <bitdotio/pool.hpp>
#endif

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace bitdotio {

namespace asio = boost::asio;

/// The service, as one key sees it. A handle: copies share sessions and pools.
///
/// All calls of the HTTP API have these in common:
///
/// Errors: errc::authentication_failed, permission_denied, not_found, conflict, rate_limited,
///     api_failed with HTTP status and the server's words; errc::tls_failed, connect_failed,
///     connection_lost, and timeout after client_options::request_timeout. Tries that provably had
///     no effect are repeated as client_options::retry says; a call that may have had one is not.
/// Cancellation: terminal, partial, total. A call that was sent may still have its effect.
///
/// Thread safety: its functions may be called from any thread.
/// Lifetime: await `close()` before the executor ends. Do not use it in a child process after
///     fork(): make one there.
class client {
public:
    /// Parameters: what `options` leave empty comes from the environment and the profile, see
    ///     client_options::resolved. Reads files: make it before the executor runs.
    ///
    /// Errors: errc::bad_input for options that are missing or cannot be.
    explicit client(asio::any_io_executor executor, client_options options = client_options());
    client(asio::any_io_executor executor, api_key key);

    /// The databases the key's owner owns or collaborates on.
    asio::awaitable<std::vector<database>> list_databases();

    /// Makes a database.
    ///
    /// Parameters: `name` without the user; `storage_limit_bytes` at most this many bytes of
    ///     storage, the service's default if not set.
    asio::awaitable<database> create_database(
        std::string name, visibility visible = visibility::private_,
        std::optional<std::int64_t> storage_limit_bytes = std::nullopt);

    asio::awaitable<database> get_database(database_name name);

    /// Changes what `changes` sets, and returns the database as it then is.
    asio::awaitable<database> update_database(database_name name, database_changes changes);

    /// Deletes a database and its data, for good. Its name may stay blocked for a while.
    asio::awaitable<void> delete_database(database_name name);

    /// Runs one query over the HTTP API, in a transaction of its own. Slower than a pool, and
    /// without parameters: for scripts, and where there is no way to port 5432.
    asio::awaitable<query_result> query(database_name name, std::string sql,
                                        data_format format = data_format::rows);

    /// The service accounts of the key's owner.
    ///
    /// This and the five calls below are for the key of a user: to that of a service account the
    /// service answers errc::permission_denied.
    asio::awaitable<std::vector<service_account>> list_service_accounts();

    /// Errors: errc::bad_input for an id of which the service has none: letters, digits and dashes.
    asio::awaitable<service_account> get_service_account(std::string id);

    /// A further key for a service account. It is shown this once. A call whose answer was lost
    /// may have made one nobody knows: revoke the account's keys, then make another.
    asio::awaitable<issued_key> create_service_account_key(std::string id);

    /// Makes all keys of a service account worthless.
    asio::awaitable<void> revoke_service_account_keys(std::string id);

    /// A further key of one's own, shown this once.
    asio::awaitable<issued_key> create_api_key();

    /// Makes one key worthless, or all of the owner's, this client's among them.
    ///
    /// Errors: errc::not_found if `key` is not one of the owner's.
    asio::awaitable<void> revoke_api_keys(std::optional<api_key> key = std::nullopt);
    /// Starts to load a file of this machine into a table: CSV, JSON, XLSX, XLS or SQLite. Returns
    /// once it has been sent, which may take its time and has no timeout; memory holds a piece.
    ///
    /// Errors: errc::bad_input if the file cannot be read, or options.table_name is empty.
    asio::awaitable<import_job> import_file(database_name name, std::filesystem::path file,
                                            import_options options);

    /// Starts to load a file that the service fetches from an http or https address.
    asio::awaitable<import_job> import_url(database_name name, std::string url,
                                           import_options options);

    /// How far an import is.
    asio::awaitable<import_job> get_import(std::string id);

    /// Returns when an import is over, done or failed; its state says which.
    asio::awaitable<import_job> wait_for_import(std::string id);

    /// Starts to write a table or a query's rows into a file of the service.
    ///
    /// Errors: errc::bad_input if `options` have neither a query nor a table, or both.
    asio::awaitable<export_job> start_export(database_name name, export_options options);

    /// How far an export is.
    asio::awaitable<export_job> get_export(std::string id);

    /// Returns when an export is over, done or failed; its state says which.
    asio::awaitable<export_job> wait_for_export(std::string id);

    /// Downloads the file of an export that is done. It is there when all of it is there, and
    /// replaces one of its name; memory holds a piece. There is no timeout.
    ///
    /// Errors: errc::bad_input if the export has no file; errc::system_failed if it cannot be
    ///     written here.
    asio::awaitable<void> download(export_job job, std::filesystem::path file);

#ifndef BITDOTIO_WITHOUT_POSTGRES
    /// The pool of a database, made on first use with client_options::pool and shared by all.
    ///
    /// Errors: errc::bad_input if the Postgres endpoint is unknown, or for pool options that
    ///     cannot be.
    bitdotio::pool pool(const database_name& name);

    /// A connection of one's own, for what changes a session: SET, LISTEN, temporary tables.
    ///
    /// Errors and cancellation: those of connection::open.
    asio::awaitable<connection> connect(database_name name);

    /// How a database is reached, for what the client has no function for: a `listener`.
    ///
    /// Errors: errc::bad_input if the Postgres endpoint is unknown.
    bitdotio::connect_options connect_options(const database_name& name) const;
#endif

    /// Closes all pools and sessions; waits for lent connections to come back.
    ///
    /// Parameters, errors, cancellation: as pool::close, all pools together.
    asio::awaitable<void> close(std::chrono::milliseconds drain = std::chrono::seconds(10));

private:
    class impl;
    std::shared_ptr<impl> impl_;
};

}  // namespace bitdotio
