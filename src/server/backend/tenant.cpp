// Builds names and statements. Ids are UUIDs, so a name cannot be anything but a name.
#include "server/backend/tenant.hpp"
#include "server/hosts/session_role.hpp"

#include <bitdotio/quoting.hpp>

#include <utility>

namespace bitdotio {

namespace {

constexpr std::string_view prefix = "bitdotio_";
constexpr const char* all_roles[] = {session_roles::owner, session_roles::admin,
                                     session_roles::writer, session_roles::reader,
                                     session_roles::limited};

}  // namespace

tenant::tenant(std::string_view id) : database_(std::string(prefix) + std::string(id)) {}

std::string tenant::role(std::string_view role) const {
    return database_ + "_" + std::string(role);
}

std::string tenant::make_roles(const std::string& mark,
                               const std::function<std::string(const std::string& role)>& verifier,
                               bool as_superuser) const {
    const auto quoted = [&](const char* name) { return quote_identifier(role(name)); };
    const std::string owner = quoted(session_roles::owner);
    std::string script;
    for (const char* each : all_roles) {
        script += "CREATE ROLE " + quoted(each) +
                  " LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION PASSWORD " +
                  quote_literal(verifier(each)) + ";\n";
    }
    script += "COMMENT ON ROLE " + owner + " IS " + quote_literal(mark) + ";\n";
    script += "GRANT " + owner + " TO " + quoted(session_roles::admin) + ";\n";
    // What it makes belongs to the owner, whichever role connects next.
    script += "ALTER ROLE " + quoted(session_roles::admin) + " SET role TO " +
              quote_literal(role(session_roles::owner)) + ";\n";
    // For a clear refusal; what counts are the rights it was not given.
    script += "ALTER ROLE " + quoted(session_roles::limited) +
              " SET default_transaction_read_only TO on;\n";
    if (as_superuser) return script;
    // We must be members to give away the database and to end sessions.
    for (const char* each : all_roles) {
        script += "GRANT " + quoted(each) + " TO CURRENT_USER;\n";
    }
    return script;
}

std::string tenant::make_database(int max_connections) const {
    // template0 has no additions and no connections.
    return "CREATE DATABASE " + quote_identifier(database_) + " OWNER " +
           quote_identifier(role(session_roles::owner)) +
           " TEMPLATE template0 ENCODING 'UTF8' CONNECTION LIMIT " +
           std::to_string(max_connections);
}

std::string tenant::shut_out_others() const {
    const std::string database = quote_identifier(database_);
    const auto quoted = [&](const char* name) { return quote_identifier(role(name)); };
    return "REVOKE ALL ON DATABASE " + database + " FROM PUBLIC;\nGRANT CONNECT ON DATABASE " +
           database + " TO " + quoted(session_roles::admin) + ", " + quoted(session_roles::writer) +
           ", " + quoted(session_roles::reader) + ", " + quoted(session_roles::limited) +
           ";\nGRANT TEMPORARY ON DATABASE " + database + " TO " + quoted(session_roles::writer) +
           ";\n";
}

std::string tenant::share_by_default() const {
    const auto quoted = [&](const char* name) { return quote_identifier(role(name)); };
    const std::string makers = "ALTER DEFAULT PRIVILEGES FOR ROLE " + quoted(session_roles::owner) +
                               ", " + quoted(session_roles::admin) + " GRANT ";
    const std::string writer = quoted(session_roles::writer);
    const std::string readers =
        quoted(session_roles::reader) + ", " + quoted(session_roles::limited);
    return makers + "SELECT ON TABLES TO " + readers + ";\n" +                         //
           makers + "SELECT, INSERT, UPDATE, DELETE ON TABLES TO " + writer + ";\n" +  //
           makers + "SELECT ON SEQUENCES TO " + readers + ";\n" +                      //
           makers + "SELECT, USAGE, UPDATE ON SEQUENCES TO " + writer + ";\n" +        //
           makers + "USAGE ON SCHEMAS TO " + writer + ", " + readers + ";\n";
}

std::string tenant::limit_connections(int count) const {
    return "ALTER DATABASE " + quote_identifier(database_) + " CONNECTION LIMIT " +
           std::to_string(count);
}

std::string tenant::set_passwords(
    const std::function<std::string(const std::string& role)>& verifier) const {
    std::string script;
    for (const char* each : all_roles) {
        script += "ALTER ROLE " + quote_identifier(role(each)) + " PASSWORD " +
                  quote_literal(verifier(each)) + ";\n";
    }
    return script;
}

std::string tenant::drop_database() const {
    return "DROP DATABASE IF EXISTS " + quote_identifier(database_) + " WITH (FORCE)";
}

std::string tenant::drop_roles() const {
    std::string script;
    for (const char* each : all_roles) {
        script += "DROP ROLE IF EXISTS " + quote_identifier(role(each)) + ";\n";
    }
    return script;
}

std::string_view tenant::find_marked() {
    return "SELECT pg_catalog.substr(r.rolname, 10, 36), coalesce(d.datconnlimit, -1) "
           "FROM pg_catalog.pg_roles r LEFT JOIN pg_catalog.pg_database d "
           "ON d.datname = pg_catalog.substr(r.rolname, 1, 45) "
           "WHERE r.rolname ~ '^bitdotio_[0-9a-f-]{36}_owner$' "
           "AND pg_catalog.shobj_description(r.oid, 'pg_authid') = $1";
}

}  // namespace bitdotio
