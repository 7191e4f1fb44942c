// A database's names in a PostgreSQL that it shares with others, and the SQL that makes it.
#pragma once

#include <functional>
#include <string>
#include <string_view>

namespace bitdotio {

/// A database and its roles, named after its id.
///
/// Roles belong to a whole PostgreSQL, so every database has its own. `owner` owns the database;
/// `admin` acts as `owner`; default privileges give `writer`, `reader` and `limited` what `owner`
/// makes. Unlike in an instance of one's own, they are not members of pg_read_all_data: that would
/// show them pg_authid, the verifiers of everybody's passwords.
///
/// Our databases are known by the comment on `owner`, made in the same transaction as the role:
/// databases of other servers, or of nobody, are never touched.
///
/// Thread safety: a value.
class tenant {
public:
    explicit tenant(std::string_view id);

    const std::string& database() const noexcept { return database_; }
    /// Parameters: `role` is one of session_roles.
    std::string role(std::string_view role) const;

    /// Makes the roles, all or none.
    ///
    /// Parameters: `mark` of the server; `verifier` returns what PostgreSQL keeps of a role's
    ///     password.
    std::string make_roles(const std::string& mark,
                           const std::function<std::string(const std::string& role)>& verifier,
                           bool as_superuser) const;
    std::string make_database(int max_connections) const;
    /// Keeps everybody else out of the database.
    std::string shut_out_others() const;
    /// Run this in the database itself.
    std::string share_by_default() const;
    std::string limit_connections(int count) const;
    std::string set_passwords(
        const std::function<std::string(const std::string& role)>& verifier) const;

    /// Finds what keys have changed of it: rows of words and the statement that puts it right.
    ///
    /// Parameters: `thorough` also looks for settings of the database that no session needs.
    std::string find_faults(int max_connections, bool thorough) const;

    std::string drop_database() const;
    std::string drop_roles() const;

    /// Finds the ids of databases whose owners have the mark $1.
    static std::string_view find_marked();

private:
    std::string database_;
};

}  // namespace bitdotio
