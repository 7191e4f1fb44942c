// The client of the service: the API's calls, a pool for each database, and connections that are
// not shared.
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
///     fork(): make a new client there.
class client {
public:
    /// Parameters: empty members of `options` are filled in from the environment and the profile,
    ///     see client_options::resolved. Reads files: make it before the executor runs.
    ///
    /// Errors: errc::bad_input for options that are missing or invalid.
    explicit client(asio::any_io_executor executor, client_options options = client_options());
    client(asio::any_io_executor executor, api_key key);

    /// The databases the key's owner owns or collaborates on.
    asio::awaitable<std::vector<database>> list_databases();

    /// Creates a database.
    ///
    /// Parameters: `name` without the user; `storage_limit_bytes` at most this many bytes of
    ///     storage, the service's default if not set.
    asio::awaitable<database> create_database(
        std::string name, visibility visible = visibility::private_,
        std::optional<std::int64_t> storage_limit_bytes = std::nullopt);

    asio::awaitable<database> get_database(database_name name);

    /// Changes what `changes` sets, and returns the database after the change.
    asio::awaitable<database> update_database(database_name name, database_changes changes);

    /// Deletes a database and its data permanently. Its name may stay blocked for a while.
    asio::awaitable<void> delete_database(database_name name);

    /// Runs one query over the HTTP API, in a transaction of its own. It is slower than a pool and
    /// takes no parameters: for scripts, and where port 5432 cannot be reached.
    asio::awaitable<query_result> query(database_name name, std::string sql,
                                        data_format format = data_format::rows);

    /// The service accounts of the key's owner.
    ///
    /// This call and the five below need the key of a user: the service answers the key of a
    /// service account with errc::permission_denied.
    asio::awaitable<std::vector<service_account>> list_service_accounts();

    /// Errors: errc::bad_input for an id that is not made of letters, digits, dashes and
    /// underscores.
    asio::awaitable<service_account> get_service_account(std::string id);

    /// Makes a further key for a service account, shown only this once. A call whose answer was
    /// lost may have made a key nobody knows: revoke the account's keys, then make another.
    asio::awaitable<issued_key> create_service_account_key(std::string id);

    /// Revokes all keys of a service account.
    asio::awaitable<void> revoke_service_account_keys(std::string id);

    /// Makes a further key for the owner of this one; it is shown only this once.
    asio::awaitable<issued_key> create_api_key();

    /// Revokes one key, or all of the owner's, this client's among them.
    ///
    /// Errors: errc::not_found if `key` is not one of the owner's.
    asio::awaitable<void> revoke_api_keys(std::optional<api_key> key = std::nullopt);
    /// Starts to load a file of this machine into a table: CSV, JSON, XLSX, XLS or SQLite. Returns
    /// once the file has been sent, which has no timeout; memory holds one piece of it.
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

    /// Downloads the file of an export that is done. The file appears when it is complete, and
    /// replaces one of the same name; memory holds one piece. There is no timeout.
    ///
    /// Errors: errc::bad_input if the export has no file; errc::system_failed if it cannot be
    ///     written here.
    asio::awaitable<void> download(export_job job, std::filesystem::path file);

#ifndef BITDOTIO_WITHOUT_POSTGRES
    /// The pool of a database, made on first use with client_options::pool and shared by all; made
    /// anew where it was closed by itself. Pools of a closed client refuse their callers.
    ///
    /// Errors: errc::bad_input if the Postgres endpoint is unknown, or for pool options that are
    ///     invalid.
    bitdotio::pool pool(const database_name& name);

    /// A connection that is not shared, for what changes a session: SET, LISTEN, temporary tables.
    ///
    /// Errors and cancellation: those of connection::open.
    asio::awaitable<connection> connect(database_name name);

    /// The options to reach a database, for what the client has no function for: a `listener`.
    ///
    /// Errors: errc::bad_input if the Postgres endpoint is unknown.
    bitdotio::connect_options connect_options(const database_name& name) const;
#endif

    /// Closes all pools and sessions; serves callers that wait already, and waits for lent
    /// connections to come back.
    ///
    /// Parameters, errors, cancellation: as pool::close, all pools together.
    asio::awaitable<void> close(std::chrono::milliseconds drain = std::chrono::seconds(10));

private:
    class impl;
    std::shared_ptr<impl> impl_;
};

}  // namespace bitdotio
