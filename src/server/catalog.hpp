// What databases and keys there are, kept in a file that survives any crash.
#pragma once

#include <bitdotio/api_key.hpp>
#include <bitdotio/database_name.hpp>
#include <bitdotio/models.hpp>

#include "server/records.hpp"
#include "turnstile.hpp"

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/strand.hpp>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace bitdotio {

namespace asio = boost::asio;

/// The catalog of a server: `records` behind a strand, written to disk before anyone sees a change.
///
/// It lives in "<directory>/catalog.json"; every change is written to a new file, synced and
/// renamed over the old one. Keys are there only as hashes; the first one is beside it in
/// "first-key" (mode 0600), because users copy it and it must open the server again after a
/// restart.
///
/// What fails with errc::not_found does so for a database of another user too, in the same words:
/// names of others cannot be probed.
///
/// Thread safety: its functions may be called from any thread.
class catalog : public std::enable_shared_from_this<catalog> {
public:
    /// Reads the catalog of the directory, or begins an empty one; finds the first key of `user`,
    /// or makes it.
    ///
    /// Errors: errc::bad_input if `user` cannot begin a database name; errc::system_failed for a
    ///     file that cannot be read, written or understood.
    /// Cancellation: none. The same is true of every change: once begun it is carried out.
    static asio::awaitable<std::shared_ptr<catalog>> open(asio::any_io_executor executor,
                                                          std::filesystem::path directory,
                                                          std::string user);

    /// The key whose user was given to `open`.
    const api_key& first_key() const noexcept { return first_key_; }

    /// Whose key this is.
    ///
    /// Errors: errc::authentication_failed if it is nobody's.
    asio::awaitable<std::string> user_of(api_key key);

    /// The user's databases, oldest first.
    asio::awaitable<std::vector<database>> list(std::string user);

    /// Errors: errc::not_found.
    asio::awaitable<database> find(std::string user, database_name name);

    /// Enters a database whose files have been made under `id` (see records::new_id).
    ///
    /// Parameters: `name` without the user.
    /// Errors: errc::bad_input for a name that cannot be or a limit below 0; errc::conflict if the
    ///     user has one of that name.
    asio::awaitable<database> create(std::string id, std::string user, std::string name,
                                     bool is_private, std::optional<std::int64_t> limit);

    /// Errors: errc::not_found; errc::conflict if the new name is taken; errc::bad_input.
    asio::awaitable<database> update(std::string user, database_name name,
                                     database_changes changes);

    /// Takes the database out and returns what it was.
    ///
    /// Errors: errc::not_found.
    asio::awaitable<database> remove(std::string user, database_name name);

    /// The ids of all users' databases, sorted as cluster::ids.
    asio::awaitable<std::vector<std::string>> ids();

    /// A further key for the user. This is the only time it is shown.
    asio::awaitable<api_key> add_key(std::string user);

    /// Makes all keys of the user worthless, or only `key` if it is given and the user's.
    ///
    /// Errors: errc::not_found if `key` is not the user's.
    asio::awaitable<void> revoke_keys(std::string user, std::optional<api_key> key);

    /// Use `open`.
    catalog(asio::any_io_executor executor, std::filesystem::path file, records known,
            api_key first_key);

private:
    static asio::awaitable<std::shared_ptr<catalog>> do_open(asio::any_io_executor executor,
                                                             std::filesystem::path directory,
                                                             std::string user);
    asio::awaitable<std::string> do_user_of(api_key key);
    asio::awaitable<std::vector<database>> do_list(std::string user);
    asio::awaitable<database> do_find(std::string user, database_name name);
    asio::awaitable<std::vector<std::string>> do_ids();
    asio::awaitable<database> do_create(std::string id, std::string user, std::string name,
                                        bool is_private, std::optional<std::int64_t> limit);
    asio::awaitable<database> do_update(std::string user, database_name name,
                                        database_changes changes);
    asio::awaitable<database> do_remove(std::string user, database_name name);
    asio::awaitable<std::optional<api_key>> do_add_key(std::string user);
    asio::awaitable<void> do_revoke_keys(std::string user, std::optional<api_key> key);
    template <class Edit>
    asio::awaitable<void> change(Edit& edit);

    asio::strand<asio::any_io_executor> strand_;
    const std::filesystem::path file_;
    const api_key first_key_;
    records known_;
    turnstile writers_;  ///< one at a time
};

}  // namespace bitdotio
