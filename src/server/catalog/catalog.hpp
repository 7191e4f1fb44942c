// Accounts, keys and databases of a server, kept in a file that survives any crash.
#pragma once

#include <bitdotio/api_key.hpp>
#include <bitdotio/database_name.hpp>
#include <bitdotio/models.hpp>

#include "base/async_semaphore.hpp"
#include "base/strand.hpp"
#include "server/catalog/catalog_file.hpp"
#include "server/catalog/catalog_rules.hpp"
#include "server/catalog/rate_limiter.hpp"
#include "server/catalog/usage_meter.hpp"

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/steady_timer.hpp>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace bitdotio {

namespace asio = boost::asio;

class failure_report;
class event_log;

/// Where a catalog is kept, and its defaults.
struct catalog_options {
    catalog_options() = default;
    catalog_options(std::filesystem::path directory_, std::string user_)
        : directory(std::move(directory_)), user(std::move(user_)) {}

    std::filesystem::path directory;
    /// The user whose key is made at the first start.
    std::string user;
    /// The storage limit of databases made without one, in bytes.
    std::int64_t storage_limit = std::int64_t(10) << 30;
    /// How often one key may call: at once and per second; 0 per second for no limit.
    token_bucket::settings calls{200, 50};
    /// Is told of keys, accounts and rows queried; may be null.
    std::shared_ptr<bitdotio::event_log> events;
};

/// The catalog of a server: `catalog_rules` on a strand. Each change is in `catalog_file` before
/// anyone sees it.
///
/// It lives in "<directory>/state.sqlite". Everything is read from memory; only a change touches
/// the disk, on a thread of its own. Keys are stored as hashes; the first one is beside them in
/// "first-key" (mode 0600), because the profile hands it to users, and it must open the server
/// again after a restart.
///
/// Thread safety: its functions may be called from any thread.
/// Lifetime: await `close`; without it the last second's count of rows is lost.
class catalog : public std::enable_shared_from_this<catalog> {
public:
    /// Reads the catalog of the directory, or begins an empty one; finds the user's first key, or
    /// makes it.
    ///
    /// Errors: errc::bad_input if the user cannot begin a database name; errc::system_failed for a
    ///     file that cannot be read, written or understood.
    /// Cancellation: none. The same holds for every change: once begun, it is carried out.
    static asio::awaitable<std::shared_ptr<catalog>> open(asio::any_io_executor executor,
                                                          catalog_options options);

    /// The key whose user was given to `open`.
    const api_key& first_key() const noexcept { return first_key_; }

    // ---- callers

    /// Finds whose key this is.
    ///
    /// Parameters: `address` the key came from.
    /// Errors: errc::authentication_failed if the key is unknown; too_often instead, if too many
    ///     unknown keys came from there.
    asio::awaitable<caller> admit(api_key key, std::string address);
    /// What to tell a client that is to prove its key; see catalog_rules::scram_terms.
    asio::awaitable<std::optional<scram_secret>> scram_terms();
    /// As `admit` for a key that was proven, not shown.
    ///
    /// Parameters: `shown` has received the client's final message.
    asio::awaitable<proven_caller> admit_proof(std::shared_ptr<const scram_server> shown,
                                               std::string address);
    /// Notes a text that is not a key at all; see `admit`.
    asio::awaitable<void> note_failure(std::string address);
    /// As `admit`, and counts a call of this key.
    ///
    /// Errors: too_often for the key as well.
    asio::awaitable<caller> admit_call(api_key key, std::string address);

    // ---- databases; see `catalog_rules` for the errors

    asio::awaitable<std::vector<database>> list(caller who);
    /// The database with the caller's role: all that is needed to let the caller in.
    asio::awaitable<database> find(caller who, database_name name);
    /// Whether `create` would find the name free, before the files are made.
    asio::awaitable<void> check_free(caller who, std::string name);
    /// Enters a database whose files have been made under `id` (see new_id).
    ///
    /// Parameters: `name` without the user; `limit`, by default the server's own.
    asio::awaitable<database> create(caller who, std::string id, std::string name, bool is_private,
                                     std::optional<std::int64_t> limit);
    asio::awaitable<database> update(caller who, database_name name, database_changes changes);
    /// Takes the database out and returns what it was.
    asio::awaitable<database> remove(caller who, database_name name);
    /// The ids of all users' databases, sorted as database_host::ids.
    asio::awaitable<std::vector<std::string>> ids();
    /// How much a database may hold; 0 if it is gone.
    asio::awaitable<std::int64_t> storage_limit(std::string id);

    /// Counts rows that were sent to a client. They are on disk within a second.
    void count_rows(std::string id, std::int64_t rows);

    // ---- keys and service accounts; service accounts are denied permission

    /// A further key for the caller. This is the only time it is shown.
    asio::awaitable<issued_key> add_key(caller who);
    /// Revokes all keys of the caller, or only `key` if it is given and the caller's.
    asio::awaitable<void> revoke_keys(caller who, std::optional<api_key> key);
    asio::awaitable<std::vector<service_account>> accounts(caller who);
    asio::awaitable<service_account> find_account(caller who, std::string id);
    asio::awaitable<issued_key> add_account_key(caller who, std::string id);
    asio::awaitable<void> revoke_account_keys(caller who, std::string id);
    /// The keys of the caller and of the caller's accounts, without their hashes.
    asio::awaitable<std::vector<key_row>> keys(caller who);
    /// Revokes the key of this id if it is one of those.
    asio::awaitable<void> revoke_key(caller who, std::string id);

    // ---- functions without a call in the API

    /// Makes a service account of the user of this name, for that user's databases.
    ///
    /// Errors: errc::bad_input, errc::conflict, errc::not_found; see catalog_rules::create_account.
    asio::awaitable<service_account> create_account(std::string user, std::string name, role what,
                                                    std::vector<database_name> databases);
    asio::awaitable<void> remove_account(std::string user, std::string id);
    asio::awaitable<service_account> grant(std::string user, std::string id, database_name name);
    asio::awaitable<service_account> revoke(std::string user, std::string id, database_name name);
    /// The user of this name, as the user's own key would identify them.
    ///
    /// Errors: errc::not_found.
    asio::awaitable<caller> find_user(std::string name);

    /// Which of these accounts exist, by their ids without hyphens; see database_host.
    asio::awaitable<std::vector<std::string>> accounts_among(std::vector<std::string> ids);

    /// Writes what is not yet written and closes the file. Later changes fail with errc::conflict.
    ///
    /// Cancellation: none.
    asio::awaitable<void> close();

    /// Use `open`.
    catalog(asio::any_io_executor executor, catalog_options options,
            std::shared_ptr<catalog_file> file, catalog_rules known, api_key first_key);

private:
    static asio::awaitable<std::shared_ptr<catalog>> do_open(asio::any_io_executor executor,
                                                             catalog_options options);
    // On the strand: `work` runs alone; `edit` is on disk before anyone sees it.
    template <class T>
    asio::awaitable<T> look(std::function<T()> work);
    template <class T>
    asio::awaitable<T> change(std::function<T(catalog_rules&)> edit);
    template <class T>
    asio::awaitable<T> do_look(std::function<T()> work);
    template <class T>
    asio::awaitable<T> do_change(std::function<T(catalog_rules&)> edit);
    asio::awaitable<void> do_close();
    asio::awaitable<void> write_usage();
    asio::awaitable<void> write_usage_later();
    void do_count_rows(const std::string& id, std::int64_t rows);
    failure_report on_failure() const noexcept;
    caller known_caller(const api_key& key, const std::string& address);
    [[noreturn]] void refuse_key(const std::string& address);
    std::shared_ptr<const std::vector<provable_key>> provable_keys();
    void keep_verifier_later(const api_key& key);
    asio::awaitable<void> keep_verifier(std::shared_ptr<catalog> self, api_key key);
    database told(database known) const;
    void check_open() const;
    void report(const catalog_changes& changes, const catalog_rules& before) const;

    strand strand_;
    const catalog_options options_;
    std::shared_ptr<catalog_file> file_;  ///< null once it is closed
    const api_key first_key_;
    catalog_rules known_;
    std::shared_ptr<const std::vector<provable_key>> provable_;  ///< null until somebody asks
    usage_meter meter_;
    rate_limiter gate_;
    async_semaphore writers_;   ///< one at a time
    asio::steady_timer pause_;  ///< until counts are written
    bool writes_later_ = false;
    bool keeps_verifier_ = false;  ///< one is being written
};

}  // namespace bitdotio
