// The rules of the catalog: accounts, keys, databases, their names and who may use them. No I/O.
#pragma once

#include <bitdotio/api_key.hpp>
#include <bitdotio/database_name.hpp>
#include <bitdotio/models.hpp>

#include "server/catalog/catalog_rows.hpp"
#include "server/hosts/scram_server.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

namespace bitdotio {

/// The account whose key was shown.
struct caller {
    caller() = default;

    std::string key;      ///< the key's id
    std::string account;  ///< its account's
    std::string name;     ///< the account's name
    bool is_service = false;
};

/// A caller whose key was proven by SCRAM.
struct proven_caller {
    proven_caller() = default;

    caller who;
    std::string signature;  ///< the server's final message
};

/// A key as it is held against a proof.
struct provable_key {
    provable_key() = default;

    std::string id;
    scram_secret verifier;
};

/// The key that was proven.
struct proven_key {
    proven_key() = default;

    std::string id;
    std::string signature;  ///< the server's final message
};

/// Finds the key that was proven; nothing if it is none of them. Takes the same time either way:
/// some two microseconds for each.
std::optional<proven_key> prove(const std::vector<provable_key>& keys, const scram_server& shown);

/// Decides who may do what. All its rules are here, and every change is noted for `catalog_file`.
///
/// errc::not_found also covers what the caller may not use, in the same words: others' things
/// cannot be probed. errc::permission_denied is for what the caller may use, but not in this way.
///
/// A name is compared as it is written. If a function fails, nothing has changed.
///
/// Thread safety: a value.
class catalog_rules {
public:
    /// How long a renamed database answers to its old name, and a deleted one's name stays blocked.
    static constexpr std::chrono::days name_rest{30};

    catalog_rules() = default;
    explicit catalog_rules(catalog_rows known);

    const catalog_rows& state() const noexcept { return state_; }
    /// The changes since the last call.
    catalog_changes take_changes() { return std::exchange(changes_, {}); }

    // ---- accounts and keys

    /// The id of the user of this name, who is made if missing.
    ///
    /// Errors: errc::bad_input for a name that cannot begin a database name.
    std::string user(const std::string& name, catalog_time now);

    /// The user of this name, as the user's own key would identify them.
    ///
    /// Errors: errc::not_found.
    caller find_user(const std::string& name) const;

    /// Finds whose key this is; nothing if it is unknown.
    std::optional<caller> find_caller(const api_key& key) const;

    /// The salt and the iterations by which keys are proven, without keys; nothing while a key must
    /// be shown in clear text, because a verifier is missing or there are too many keys.
    std::optional<scram_secret> scram_terms() const;
    /// Finds whose key was proven; nothing if it is unknown. Takes the same time either way.
    std::optional<proven_caller> find_caller(const scram_server& shown) const;
    /// All keys that can be proven, for `prove`.
    std::vector<provable_key> provable_keys() const;
    /// Whose key has this id, unless it has been revoked.
    std::optional<caller> holder_of(const std::string& key) const;
    /// Whether the key with this id has no verifier.
    bool lacks_verifier(const std::string& id) const;
    /// Keeps the verifier of a key that has none; does nothing for other keys.
    void keep_verifier(const api_key& key);
    /// A client does not say which key it has, so a proof is held against each. Above this number
    /// of keys that would take too long.
    static constexpr std::size_t most_scram_keys = 1'000;

    /// Makes a new key. Only its hashes stay here.
    ///
    /// Errors: errc::not_found.
    api_key add_key(const std::string& account, catalog_time now);
    /// Errors: errc::not_found if `key` is given and not the account's, or revoked already.
    void revoke_keys(const std::string& account, const std::optional<api_key>& key,
                     catalog_time now);
    /// The keys of a user and of the user's accounts, oldest first, without their hashes.
    std::vector<key_row> keys(const std::string& owner) const;
    /// Revokes one of those.
    ///
    /// Errors: errc::not_found if it is not one of them, or revoked already.
    void revoke_key(const std::string& owner, const std::string& id, catalog_time now);

    /// Makes a service account of the user `owner`, without keys and databases.
    ///
    /// Errors: errc::bad_input for a name that is empty, longer than 64 bytes or not printable, and
    ///     for role::owner; errc::conflict if the user has an account of that name.
    service_account create_account(const std::string& owner, const std::string& name, role what,
                                   catalog_time now);
    /// Removes an account with its keys.
    ///
    /// Errors: errc::not_found.
    void remove_account(const std::string& owner, const std::string& id);
    /// Errors: errc::not_found.
    service_account find_account(const std::string& owner, const std::string& id) const;
    /// Oldest first.
    std::vector<service_account> accounts(const std::string& owner) const;
    /// Lets a service account use a database of its user, in its role, or stops that.
    ///
    /// Errors: errc::not_found.
    void grant(const std::string& owner, const std::string& account, const database_name& name,
               catalog_time now);
    void revoke(const std::string& owner, const std::string& account, const database_name& name,
                catalog_time now);

    // ---- databases

    /// Errors: errc::permission_denied for a service account; errc::bad_input; errc::conflict if
    ///     the user has one of that name, or recently had one.
    database create(const caller& who, const std::string& id, const std::string& name,
                    bool is_private, std::int64_t limit, catalog_time now);
    /// Whether `create` would find the name free. Throws what `create` would.
    void check_free(const caller& who, const std::string& name, catalog_time now) const;
    /// Finds a database by its name or one it recently had, with the caller's role. In a public
    /// database, callers without another role are readers.
    ///
    /// Errors: errc::not_found.
    database find(const caller& who, const database_name& name, catalog_time now) const;
    /// Errors: errc::not_found; errc::permission_denied below role::admin; errc::conflict if the
    ///     new name is taken; errc::bad_input.
    database update(const caller& who, const database_name& name, const database_changes& changes,
                    catalog_time now);
    /// Errors: errc::not_found; errc::permission_denied for all but the owner.
    database remove(const caller& who, const database_name& name, catalog_time now);
    /// The databases the caller owns or was given, oldest first.
    std::vector<database> list(const caller& who) const;
    /// The ids of all databases, sorted.
    std::vector<std::string> ids() const;
    /// The database's limit; nothing if there is no such database.
    std::optional<std::int64_t> storage_limit(const std::string& id) const;

    /// Forgets former names after `name_rest`.
    void forget_names(catalog_time now);

private:
    caller caller_of(const key_row& row) const;
    std::string verifier_of(const api_key& key) const;
    const database_row* named(const database_name& name, catalog_time now) const;
    const database_row& usable(const caller& who, const database_name& name,
                               catalog_time now) const;
    std::optional<role> role_of(const caller& who, const database_row& row) const;
    database described(const caller& who, const database_row& row) const;
    service_account described(const account_row& row) const;
    const account_row& account_of(const std::string& owner, const std::string& id) const;
    void check_taken(const database_name& name, const std::string& id, catalog_time now) const;
    template <class Row>
    void put(std::map<std::string, Row>& rows, const std::string& key, Row row);

    catalog_rows state_;
    std::unordered_map<std::string, std::string> by_name_;  ///< the ids of databases
    catalog_changes changes_;
};

}  // namespace bitdotio
