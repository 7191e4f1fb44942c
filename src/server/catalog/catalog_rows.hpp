// What a server knows, as rows: the form that `catalog_file` stores and `catalog_rules` works on.
#pragma once

#include <bitdotio/database_name.hpp>
#include <bitdotio/models.hpp>

#include "server/catalog/usage_meter.hpp"

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace bitdotio {

using catalog_time = std::chrono::sys_time<std::chrono::microseconds>;

/// A user, or a service account, which belongs to one.
struct account_row {
    std::string id;
    std::string owner;  ///< the id of the user it belongs to; empty for a user
    std::string name;
    bitdotio::role role = bitdotio::role::reader;  ///< of a service account
    catalog_time created;

    bool is_service() const noexcept { return !owner.empty(); }
    friend bool operator==(const account_row&, const account_row&) = default;
};

/// What is kept of a key.
struct key_row {
    std::string id;  ///< the part of it that is not secret
    std::string account;
    std::string salt;    ///< hexadecimal
    std::string digest;  ///< hexadecimal; empty once it is revoked
    catalog_time created;
    std::optional<catalog_time> revoked;
    /// As scram_verifier writes it; empty once it is revoked, and for a key of an older version
    /// that has not been shown since.
    std::string verifier;

    friend bool operator==(const key_row&, const key_row&) = default;
};

struct database_row {
    std::string id;
    std::string owner;  ///< the id of a user
    database_name name{"user/db"};
    catalog_time created;
    bool is_private = true;
    std::int64_t storage_limit = 0;

    friend bool operator==(const database_row&, const database_row&) = default;
};

/// Says that an account other than the owner may use a database.
struct grant_row {
    std::string account;
    std::string database;
    bitdotio::role role = bitdotio::role::reader;

    friend bool operator==(const grant_row&, const grant_row&) = default;
};

/// A name that a database had.
struct former_name_row {
    std::string name;
    std::string database;  ///< the one that answers to it; empty if deleted
    catalog_time until;

    friend bool operator==(const former_name_row&, const former_name_row&) = default;
};

/// All rows of the catalog.
struct catalog_rows {
    std::map<std::string, account_row> accounts;
    std::map<std::string, key_row> keys;
    std::map<std::string, database_row> databases;
    std::map<std::pair<std::string, std::string>, grant_row> grants;  ///< by account and database
    std::map<std::string, former_name_row> former_names;
    usage_counts rows_queried;

    friend bool operator==(const catalog_rows&, const catalog_rows&) = default;
};

/// Removed rows. What belonged to an account or a database goes with it.
struct account_removal {
    std::string id;
};
struct database_removal {
    std::string id;
};
struct grant_removal {
    std::string account;
    std::string database;
};
struct former_name_removal {
    std::string name;
};
struct usage_change {
    usage_period period;
    std::int64_t rows = 0;
};

/// A row that is new, changed or removed.
using state_change =
    std::variant<account_row, key_row, database_row, grant_row, former_name_row, account_removal,
                 database_removal, grant_removal, former_name_removal, usage_change>;

using catalog_changes = std::vector<state_change>;

}  // namespace bitdotio
