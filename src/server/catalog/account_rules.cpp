// Decides who has which key, and what service accounts there are.
#include "server/catalog/catalog_rules.hpp"

#include <bitdotio/error.hpp>

#include "server/catalog/key_secret.hpp"
#include "server/catalog/rule_parts.hpp"
#include "server/hosts/scram_client.hpp"

#include <algorithm>
#include <utility>

namespace bitdotio {

namespace {

// As PostgreSQL's own.
constexpr int scram_iterations = 4096;
constexpr std::size_t scram_salt_size = 16;

void check_account_name(const std::string& name) {
    const auto is_control = [](char c) {
        return static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
    };
    if (name.empty() || name.size() > 64 || std::any_of(name.begin(), name.end(), is_control)) {
        throw error(errc::bad_input,
                    "the name of a service account is 1 to 64 bytes without control characters");
    }
}

error unknown_account(const std::string& id) {
    return error(errc::not_found, "there is no service account \"" + id + "\"");
}

}  // namespace

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

std::vector<provable_key> catalog_rules::provable_keys() const {
    std::vector<provable_key> all;
    for (const auto& [id, row] : state_.keys) {
        auto kept = row.revoked ? std::nullopt : parse_scram_verifier(row.verifier);
        if (!kept) continue;
        provable_key& one = all.emplace_back();
        one.id = id;
        one.verifier = std::move(*kept);
    }
    return all;
}

std::optional<proven_key> prove(const std::vector<provable_key>& keys, const scram_server& shown) {
    std::optional<proven_key> found;
    for (const provable_key& each : keys) {
        if (!shown.is_proven_by(each.verifier)) continue;  // to the end, found or not
        found.emplace();
        found->id = each.id;
        found->signature = shown.signature(each.verifier);
    }
    return found;
}

std::optional<proven_caller> catalog_rules::find_caller(const scram_server& shown) const {
    auto proven = prove(provable_keys(), shown);
    if (!proven) return std::nullopt;
    proven_caller found;
    found.who = caller_of(state_.keys.at(proven->id));
    found.signature = std::move(proven->signature);
    return found;
}

std::optional<caller> catalog_rules::holder_of(const std::string& key) const {
    const auto found = state_.keys.find(key);
    if (found == state_.keys.end() || found->second.revoked) return std::nullopt;
    return caller_of(found->second);
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
    const auto is_owned = [&](const account_row& row) {
        return row.is_service() && row.owner == owner;
    };
    for (const account_row* row : by_age(state_.accounts, is_owned)) {
        result.push_back(described(*row));
    }
    return result;
}

service_account catalog_rules::described(const account_row& row) const {
    service_account told;
    told.id = row.id;
    told.name = row.name;
    told.date_created = row.created;
    told.role = row.role;
    const auto is_given = [&](const database_row& each) {
        return state_.grants.contains({row.id, each.id});
    };
    for (const database_row* each : by_age(state_.databases, is_given)) {
        service_account::grant entry;
        entry.id = each->id;
        entry.name = each->name;
        told.databases.push_back(std::move(entry));
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
        throw unknown_database(name);
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
        throw unknown_database(name);
    }
    changes_.push_back(grant_removal{account, what->id});
}

}  // namespace bitdotio
