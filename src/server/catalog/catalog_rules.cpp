// Decides who may use a database and how, and what it may be called.
#include "server/catalog/catalog_rules.hpp"

#include <bitdotio/error.hpp>

#include "server/catalog/rule_parts.hpp"

#include <algorithm>
#include <utility>

namespace bitdotio {

namespace {

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

error taken(const database_name& name) {
    return error(errc::conflict, "there is a database \"" + name.full() + "\" already");
}

}  // namespace

catalog_rules::catalog_rules(catalog_rows known) : state_(std::move(known)) {
    for (const auto& [id, row] : state_.databases) {
        by_name_[row.name.full()] = id;
    }
}

// The database of this name; else the one that recently had it.
const database_row* catalog_rules::named(const database_name& name, catalog_time now) const {
    if (const auto found = by_name_.find(name.full()); found != by_name_.end()) {
        return &state_.databases.at(found->second);
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
        throw unknown_database(name);
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
    if (const auto found = by_name_.find(name.full());
        found != by_name_.end() && found->second != id) {
        throw taken(name);
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
    by_name_[made.name.full()] = id;
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
    by_name_.erase(before.full());
    by_name_[changed.name.full()] = changed.id;
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
    by_name_.erase(row.name.full());
    std::erase_if(state_.grants,
                  [&](const auto& entry) { return entry.second.database == row.id; });
    changes_.push_back(database_removal{row.id});
    return removed;
}

std::vector<database> catalog_rules::list(const caller& who) const {
    std::vector<database> result;
    const auto is_theirs = [&](const database_row& row) {
        return row.owner == who.account || state_.grants.contains({who.account, row.id});
    };
    const auto theirs = by_age(state_.databases, is_theirs);
    result.reserve(theirs.size());
    for (const database_row* row : theirs) {
        result.push_back(described(who, *row));
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
