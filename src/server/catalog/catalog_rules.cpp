// Decides who may do what, and what a database may be called.
#include "server/catalog/catalog_rules.hpp"

#include <bitdotio/error.hpp>

#include "server/catalog/key_secret.hpp"
#include "server/hosts/scram_client.hpp"

#include <algorithm>
#include <utility>

namespace bitdotio {

namespace {

// As PostgreSQL's own.
constexpr int scram_iterations = 4096;
constexpr std::size_t scram_salt_size = 16;

database_name checked_name(const std::string& user, const std::string& name) {
    if (name.find('/') != std::string::npos) {
        throw error(errc::bad_input, "\"" + name +
                                         "\" is not a database's name: give it without "
                                         "the user and the slash");
    }
    return database_name(user + "/" + name);
}

void check_limit(const std::optional<std::int64_t>& limit) {
    if (limit && *limit < 0) {
        throw error(errc::bad_input, "a storage limit of " + std::to_string(*limit) +
                                         " bytes cannot be: 0 or more is wanted");
    }
}

void check_account_name(const std::string& name) {
    const auto is_control = [](char c) {
        return static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
    };
    if (name.empty() || name.size() > 64 || std::any_of(name.begin(), name.end(), is_control)) {
        throw error(errc::bad_input,
                    "the name of a service account is 1 to 64 bytes without control characters");
    }
}

error unknown(const database_name& name) {
    return error(errc::not_found, "there is no database \"" + name.full() + "\"");
}

error taken(const database_name& name) {
    return error(errc::conflict, "there is a database \"" + name.full() + "\" already");
}

error unknown_account(const std::string& id) {
    return error(errc::not_found, "there is no service account \"" + id + "\"");
}

template <class Rows>
auto by_age(const Rows& rows) {
    std::vector<const typename Rows::mapped_type*> sorted;
    for (const auto& [id, row] : rows) {
        sorted.push_back(&row);
    }
    std::stable_sort(sorted.begin(), sorted.end(),
                     [](const auto* a, const auto* b) { return a->created < b->created; });
    return sorted;
}

}  // namespace

template <class Row>
void catalog_rules::put(std::map<std::string, Row>& rows, const std::string& key, Row row) {
    rows[key] = row;
    changes_.push_back(std::move(row));
}

std::string catalog_rules::user(const std::string& name, catalog_time now) {
    for (const auto& [id, row] : state_.accounts) {
        if (!row.is_service() && row.name == name) {
            return id;
        }
    }
    try {
        const database_name possible(name + "/x");
        if (possible.user() != name) {
            throw error(errc::bad_input, "it contains a \"/\"");
        }
    } catch (const error& failure) {
        throw error(errc::bad_input,
                    "\"" + name + "\" cannot be the user of databases: " + failure.what());
    }
    account_row made;
    made.id = new_id();
    made.name = name;
    made.role = role::owner;
    made.created = now;
    const std::string id = made.id;
    put(state_.accounts, id, std::move(made));
    return id;
}

caller catalog_rules::find_user(const std::string& name) const {
    for (const auto& [id, row] : state_.accounts) {
        if (!row.is_service() && row.name == name) {
            caller who;
            who.account = id;
            who.name = name;
            return who;
        }
    }
    throw error(errc::not_found, "there is no user \"" + name + "\"");
}

std::optional<caller> catalog_rules::find_caller(const api_key& key) const {
    const key_row* const row = judge(state_.keys, key).row;
    if (!row) {
        return std::nullopt;
    }
    return caller_of(*row);
}

caller catalog_rules::caller_of(const key_row& row) const {
    const account_row& account = state_.accounts.at(row.account);
    caller who;
    who.key = row.id;
    who.account = account.id;
    who.name = account.name;
    who.is_service = account.is_service();
    return who;
}

std::optional<scram_secret> catalog_rules::scram_terms() const {
    std::optional<scram_secret> terms;
    std::size_t count = 0;
    for (const auto& [id, row] : state_.keys) {
        if (row.revoked) continue;
        if (row.verifier.empty() || ++count > most_scram_keys) return std::nullopt;
        if (!terms) terms = parse_scram_verifier(row.verifier);
    }
    if (terms) {
        terms->stored_key.clear();
        terms->server_key.clear();
    }
    return terms;
}

std::optional<proven_caller> catalog_rules::find_caller(const scram_server& shown) const {
    std::optional<proven_caller> found;
    for (const auto& [id, row] : state_.keys) {
        const auto kept = row.revoked ? std::nullopt : parse_scram_verifier(row.verifier);
        if (!kept || !shown.is_proven_by(*kept)) continue;  // to the end, found or not
        found.emplace();
        found->who = caller_of(row);
        found->signature = shown.signature(*kept);
    }
    return found;
}

bool catalog_rules::lacks_verifier(const std::string& id) const {
    const auto found = state_.keys.find(id);
    return found != state_.keys.end() && !found->second.revoked && found->second.verifier.empty();
}

void catalog_rules::keep_verifier(const api_key& key) {
    const key_row* const row = judge(state_.keys, key).row;
    if (!row || !row->verifier.empty()) return;
    key_row proven = *row;
    proven.verifier = verifier_of(key);
    put(state_.keys, key_id(key), std::move(proven));
}

// All keys of a server have one salt, because the challenge has it and comes before anybody can
// know which key the client has. A salt of its own makes it dear to guess the same weak password of
// many; a key is 256 random bits, which nobody guesses, and no two are the same.
std::string catalog_rules::verifier_of(const api_key& key) const {
    std::optional<scram_secret> other;
    for (const auto& [id, row] : state_.keys) {
        if (!row.revoked && !other) other = parse_scram_verifier(row.verifier);
    }
    return scram_verifier(key.reveal(), other ? other->salt : random_octets(scram_salt_size),
                          other ? other->iterations : scram_iterations);
}

api_key catalog_rules::add_key(const std::string& account, catalog_time now) {
    if (!state_.accounts.contains(account)) {
        throw unknown_account(account);
    }
    for (;;) {
        const api_key key = new_key();
        if (!state_.keys.contains(key_id(key))) {
            key_row made = hashed(key, account, now);
            made.verifier = verifier_of(key);
            put(state_.keys, key_id(key), std::move(made));
            return key;
        }
    }
}

void catalog_rules::revoke_keys(const std::string& account, const std::optional<api_key>& key,
                                catalog_time now) {
    bool found = false;
    for (const auto& [id, row] : std::map(state_.keys)) {
        if (row.account == account && !row.revoked && (!key || matches(row, *key))) {
            key_row revoked = row;
            revoked.digest.clear();
            revoked.verifier.clear();
            revoked.revoked = now;
            put(state_.keys, id, std::move(revoked));
            found = true;
        }
    }
    if (key && !found) {
        throw error(errc::not_found, "the key to revoke is not one of this account");
    }
}

std::vector<key_row> catalog_rules::keys(const std::string& owner) const {
    std::vector<key_row> found;
    for (const auto& [id, row] : state_.keys) {
        const auto account = state_.accounts.find(row.account);
        if (account == state_.accounts.end()) continue;
        if (row.account != owner && account->second.owner != owner) continue;
        found.push_back(row);
        found.back().salt.clear();
        found.back().digest.clear();
        found.back().verifier.clear();
    }
    std::stable_sort(found.begin(), found.end(), [](const key_row& left, const key_row& right) {
        return left.created < right.created;
    });
    return found;
}

void catalog_rules::revoke_key(const std::string& owner, const std::string& id, catalog_time now) {
    const auto found = state_.keys.find(id);
    const auto account = found == state_.keys.end() ? state_.accounts.end()
                                                    : state_.accounts.find(found->second.account);
    if (account == state_.accounts.end() || found->second.revoked ||
        (account->first != owner && account->second.owner != owner)) {
        throw error(errc::not_found, "the key to revoke is not one of this account");
    }
    key_row revoked = found->second;
    revoked.digest.clear();
    revoked.verifier.clear();
    revoked.revoked = now;
    put(state_.keys, id, std::move(revoked));
}

service_account catalog_rules::create_account(const std::string& owner, const std::string& name,
                                              role what, catalog_time now) {
    check_account_name(name);
    if (what == role::owner) {
        throw error(errc::bad_input,
                    "a database has one owner, its user: a service account is ADMIN, WRITER or "
                    "READER");
    }
    for (const auto& [id, row] : state_.accounts) {
        if (row.owner == owner && row.name == name) {
            throw error(errc::conflict, "there is a service account \"" + name + "\" already");
        }
    }
    account_row made;
    made.id = new_id();
    made.owner = owner;
    made.name = name;
    made.role = what;
    made.created = now;
    put(state_.accounts, made.id, made);
    return described(made);
}

void catalog_rules::remove_account(const std::string& owner, const std::string& id) {
    account_of(owner, id);
    state_.accounts.erase(id);
    std::erase_if(state_.keys, [&](const auto& entry) { return entry.second.account == id; });
    std::erase_if(state_.grants, [&](const auto& entry) { return entry.second.account == id; });
    changes_.push_back(account_removal{id});
}

const account_row& catalog_rules::account_of(const std::string& owner,
                                             const std::string& id) const {
    const auto found = state_.accounts.find(id);
    if (found == state_.accounts.end() || !found->second.is_service() ||
        found->second.owner != owner) {
        throw unknown_account(id);
    }
    return found->second;
}

service_account catalog_rules::find_account(const std::string& owner, const std::string& id) const {
    return described(account_of(owner, id));
}

std::vector<service_account> catalog_rules::accounts(const std::string& owner) const {
    std::vector<service_account> result;
    for (const account_row* row : by_age(state_.accounts)) {
        if (row->is_service() && row->owner == owner) {
            result.push_back(described(*row));
        }
    }
    return result;
}

service_account catalog_rules::described(const account_row& row) const {
    service_account told;
    told.id = row.id;
    told.name = row.name;
    told.date_created = row.created;
    told.role = row.role;
    for (const database_row* each : by_age(state_.databases)) {
        if (state_.grants.contains({row.id, each->id})) {
            service_account::grant entry;
            entry.id = each->id;
            entry.name = each->name;
            told.databases.push_back(std::move(entry));
        }
    }
    for (const auto& [id, key] : state_.keys) {
        if (key.account == row.id) {
            ++told.token_count;
            told.active_token_count += key.revoked ? 0 : 1;
        }
    }
    return told;
}

void catalog_rules::grant(const std::string& owner, const std::string& account,
                          const database_name& name, catalog_time now) {
    const account_row& whom = account_of(owner, account);
    const database_row* what = named(name, now);
    if (!what || what->owner != owner) {
        throw unknown(name);
    }
    grant_row given;
    given.account = account;
    given.database = what->id;
    given.role = whom.role;
    state_.grants[{account, what->id}] = given;
    changes_.push_back(std::move(given));
}

void catalog_rules::revoke(const std::string& owner, const std::string& account,
                           const database_name& name, catalog_time now) {
    account_of(owner, account);
    const database_row* what = named(name, now);
    if (!what || what->owner != owner || state_.grants.erase({account, what->id}) == 0) {
        throw unknown(name);
    }
    changes_.push_back(grant_removal{account, what->id});
}

// The database of this name; else the one that recently had it.
const database_row* catalog_rules::named(const database_name& name, catalog_time now) const {
    for (const auto& [id, row] : state_.databases) {
        if (row.name == name) {
            return &row;
        }
    }
    const auto former = state_.former_names.find(name.full());
    if (former == state_.former_names.end() || former->second.until <= now) {
        return nullptr;
    }
    const auto renamed = state_.databases.find(former->second.database);
    return renamed == state_.databases.end() ? nullptr : &renamed->second;
}

std::optional<role> catalog_rules::role_of(const caller& who, const database_row& row) const {
    if (row.owner == who.account) {
        return role::owner;
    }
    if (const auto found = state_.grants.find({who.account, row.id});
        found != state_.grants.end()) {
        return found->second.role;
    }
    return row.is_private ? std::nullopt : std::optional(role::reader);
}

const database_row& catalog_rules::usable(const caller& who, const database_name& name,
                                          catalog_time now) const {
    const database_row* row = named(name, now);
    if (!row || !role_of(who, *row)) {
        throw unknown(name);
    }
    return *row;
}

database catalog_rules::described(const caller& who, const database_row& row) const {
    database told;
    told.id = row.id;
    told.name = row.name;
    told.date_created = row.created;
    told.visible = row.is_private ? visibility::private_ : visibility::public_;
    told.role = role_of(who, row).value_or(role::reader);
    told.storage_limit_bytes = row.storage_limit;
    return told;
}

// Throws if a name cannot be given to the database `id`, which need not exist yet.
void catalog_rules::check_taken(const database_name& name, const std::string& id,
                                catalog_time now) const {
    for (const auto& [each, row] : state_.databases) {
        if (row.name == name && each != id) {
            throw taken(name);
        }
    }
    const auto former = state_.former_names.find(name.full());
    if (former == state_.former_names.end() || former->second.until <= now ||
        (!id.empty() && former->second.database == id)) {
        return;
    }
    throw error(errc::conflict, "the name \"" + name.full() + "\" is not free: " +
                                    (former->second.database.empty()
                                         ? "a database that had it was deleted within 30 days"
                                         : "a database that had it was renamed within 30 days, and "
                                           "still answers to it"));
}

void catalog_rules::check_free(const caller& who, const std::string& name, catalog_time now) const {
    if (who.is_service) {
        throw error(errc::permission_denied,
                    "a service account makes no databases: use the key of a user");
    }
    check_taken(checked_name(who.name, name), "", now);
}

database catalog_rules::create(const caller& who, const std::string& id, const std::string& name,
                               bool is_private, std::int64_t limit, catalog_time now) {
    check_free(who, name, now);
    check_limit(limit);
    database_row made;
    made.id = id;
    made.owner = who.account;
    made.name = checked_name(who.name, name);
    made.created = now;
    made.is_private = is_private;
    made.storage_limit = limit;
    put(state_.databases, id, made);
    return described(who, made);
}

database catalog_rules::find(const caller& who, const database_name& name, catalog_time now) const {
    return described(who, usable(who, name, now));
}

database catalog_rules::update(const caller& who, const database_name& name,
                               const database_changes& changes, catalog_time now) {
    database_row changed = usable(who, name, now);
    const role mine = *role_of(who, changed);
    if (mine != role::owner && mine != role::admin) {
        throw error(errc::permission_denied,
                    "only OWNER and ADMIN may change the database \"" + changed.name.full() + "\"");
    }
    check_limit(changes.storage_limit_bytes);
    const database_name before = changed.name;
    if (changes.name) {
        changed.name = checked_name(std::string(before.user()), *changes.name);
        check_taken(changed.name, changed.id, now);
    }
    if (changes.visible) {
        changed.is_private = *changes.visible == visibility::private_;
    }
    changed.storage_limit = changes.storage_limit_bytes.value_or(changed.storage_limit);
    if (changed.name != before) {
        former_name_row former;
        former.name = before.full();
        former.database = changed.id;
        former.until = now + name_rest;
        put(state_.former_names, former.name, former);
        if (state_.former_names.erase(changed.name.full()) > 0) {
            changes_.push_back(former_name_removal{changed.name.full()});
        }
    }
    put(state_.databases, changed.id, changed);
    return described(who, changed);
}

database catalog_rules::remove(const caller& who, const database_name& name, catalog_time now) {
    const database_row row = usable(who, name, now);
    if (row.owner != who.account) {
        throw error(errc::permission_denied,
                    "only its owner may delete the database \"" + row.name.full() + "\"");
    }
    const database removed = described(who, row);
    former_name_row blocked;
    blocked.name = row.name.full();
    blocked.until = now + name_rest;
    for (const auto& [former, known] : std::map(state_.former_names)) {
        if (known.database == row.id) {
            former_name_row orphan = known;
            orphan.database.clear();
            put(state_.former_names, former, std::move(orphan));
        }
    }
    put(state_.former_names, blocked.name, blocked);
    state_.databases.erase(row.id);
    std::erase_if(state_.grants,
                  [&](const auto& entry) { return entry.second.database == row.id; });
    changes_.push_back(database_removal{row.id});
    return removed;
}

std::vector<database> catalog_rules::list(const caller& who) const {
    std::vector<database> result;
    for (const database_row* row : by_age(state_.databases)) {
        if (row->owner == who.account || state_.grants.contains({who.account, row->id})) {
            result.push_back(described(who, *row));
        }
    }
    return result;
}

std::vector<std::string> catalog_rules::ids() const {
    std::vector<std::string> result;
    for (const auto& [id, row] : state_.databases) {
        result.push_back(id);
    }
    return result;
}

std::optional<std::int64_t> catalog_rules::storage_limit(const std::string& id) const {
    const auto found = state_.databases.find(id);
    return found == state_.databases.end() ? std::nullopt
                                           : std::optional(found->second.storage_limit);
}

void catalog_rules::forget_names(catalog_time now) {
    for (const auto& [name, row] : std::map(state_.former_names)) {
        if (row.until <= now) {
            state_.former_names.erase(name);
            changes_.push_back(former_name_removal{name});
        }
    }
}

}  // namespace bitdotio
