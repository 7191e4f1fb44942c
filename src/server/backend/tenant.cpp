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

std::string tenant::find_faults(int max_connections, bool thorough) const {
    const std::string database = quote_literal(database_);
    const std::string main = quote_identifier(database_);
    std::string roles;
    for (const char* each : all_roles) {
        roles += (roles.empty() ? "" : ", ") + quote_literal(role(each));
    }
    const std::string owner = quote_literal(role(session_roles::owner));
    const std::string admin = quote_literal(role(session_roles::admin));
    const std::string limited = quote_literal(role(session_roles::limited));
    const std::string limit = std::to_string(max_connections);
    return "WITH main AS (SELECT * FROM pg_catalog.pg_database WHERE datname = " + database +
           "), ours AS (SELECT oid, rolname::text AS name FROM pg_catalog.pg_roles "
           "WHERE rolname IN (" +
           roles +
           ")), settings AS (SELECT s.setdatabase, o.name AS role, one FROM main "
           "CROSS JOIN pg_catalog.pg_db_role_setting s LEFT JOIN ours o ON o.oid = s.setrole, "
           "pg_catalog.unnest(s.setconfig) one WHERE (s.setrole = 0 AND s.setdatabase = main.oid) "
           "OR o.oid IS NOT NULL) "
           "SELECT 'the connection limit of the database: ' || datconnlimit, 'ALTER DATABASE " +
           main + " CONNECTION LIMIT " + limit + "' FROM main WHERE datconnlimit <> " + limit +
           " UNION ALL SELECT 'CONNECT on the database was revoked', " +
           quote_literal(shut_out_others() + "GRANT CONNECT ON DATABASE " + main + " TO " +
                         quote_identifier(role(session_roles::owner))) +
           " WHERE EXISTS (SELECT FROM main, ours WHERE NOT "
           "pg_catalog.has_database_privilege(ours.oid, main.oid, 'CONNECT')) "
           "UNION ALL SELECT DISTINCT 'a setting of the database: ' || "
           "pg_catalog.split_part(one, '=', 1), pg_catalog.format('ALTER DATABASE " +
           main + " RESET %I', pg_catalog.split_part(one, '=', 1)) FROM settings " +
           "WHERE role IS NULL AND (" + (thorough ? "true" : "false") +
           " OR pg_catalog.lower(pg_catalog.split_part(one, '=', 1)) IN "
           "('local_preload_libraries', 'idle_session_timeout', "
           "'idle_in_transaction_session_timeout', 'role', 'session_authorization', "
           "'default_transaction_read_only')) "
           "UNION ALL SELECT DISTINCT 'the setting ' || pg_catalog.split_part(one, '=', 1) || "
           "' of the role ' || role, pg_catalog.format('ALTER ROLE %I ', role) || CASE WHEN "
           "setdatabase = 0 THEN '' ELSE 'IN DATABASE " +
           main +
           " ' END || pg_catalog.format('RESET %I', pg_catalog.split_part(one, '=', 1)) "
           "FROM settings WHERE role IS NOT NULL AND NOT (setdatabase = 0 AND ((role = " +
           admin + " AND one = 'role=' || " + owner + ") OR (role = " + limited +
           " AND one = 'default_transaction_read_only=on'))) "
           "UNION ALL SELECT 'the setting that an admin acts as the owner', "
           "pg_catalog.format('ALTER ROLE %I SET role TO %L', " +
           admin + ", " + owner + ") WHERE NOT EXISTS (SELECT FROM settings WHERE role = " + admin +
           " AND setdatabase = 0 AND one = 'role=' || " + owner +
           ") UNION ALL SELECT 'the setting that makes a limited session read-only', "
           "pg_catalog.format('ALTER ROLE %I SET default_transaction_read_only TO on', " +
           limited + ") WHERE NOT EXISTS (SELECT FROM settings WHERE role = " + limited +
           " AND setdatabase = 0 AND one = 'default_transaction_read_only=on')";
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
