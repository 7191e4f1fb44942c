// Writes the SQL of an instance's roles.
#include "server/instances/instance_roles.hpp"
#include "server/hosts/session_role.hpp"

#include <bitdotio/error.hpp>
#include <bitdotio/quoting.hpp>

#include <utility>

namespace bitdotio::instance_roles {

namespace {

// The comment on the role owner, which only a superuser can change.
constexpr const char* mark = "bitdotio roles 2";
constexpr std::size_t longest_id = 36;

bool acts_as_owner(std::string_view kind) {
    return kind == session_roles::owner || kind == session_roles::admin;
}

// Gives the groups what these roles will make.
std::string share(const std::string& makers) {
    const std::string given = "ALTER DEFAULT PRIVILEGES FOR ROLE " + makers + " GRANT ";
    return given + "SELECT ON TABLES TO reader, limited; " +                 //
           given + "SELECT, INSERT, UPDATE, DELETE ON TABLES TO writer; " +  //
           given + "SELECT ON SEQUENCES TO reader, limited; " +              //
           given + "SELECT, USAGE, UPDATE ON SEQUENCES TO writer; " +        //
           given + "USAGE ON SCHEMAS TO writer, reader, limited;";
}

// SQL: what to say and the statement that mends it, as expressions, and where they are true.
struct fault {
    std::string what;
    std::string fix;
    std::string from;
};

// The tables account, groups and main are those of find_faults.
std::vector<fault> faults(bool thorough) {
    // Settings that sessions begin with: here they are of no effect. Others are the owner's own.
    const std::string settings =
        thorough ? "true"
                 : "lower(name) IN ('local_preload_libraries', 'idle_session_timeout', "
                   "'idle_in_transaction_session_timeout', 'default_transaction_read_only', "
                   "'role', 'session_authorization')";
    std::vector<fault> all{
        // Everything else stands on it, so it comes first.
        {"'the roles of an older server'", "''",
         std::string("WHERE NOT EXISTS (SELECT FROM groups WHERE rolname = 'owner' "
                     "AND shobj_description(oid, 'pg_authid') = ") +
             quote_literal(mark) + ")"},
        {"'the owner of the database'", "'ALTER DATABASE main OWNER TO owner'",
         "FROM main WHERE datdba NOT IN (SELECT oid FROM groups WHERE rolname = 'owner')"},
        {"'the connection limit of the database: ' || datconnlimit",
         "'ALTER DATABASE main CONNECTION LIMIT -1'", "FROM main WHERE datconnlimit <> -1"},
        {"'the database was a template'", "'ALTER DATABASE main IS_TEMPLATE false'",
         "FROM main WHERE datistemplate"},
        {"'CONNECT on the database was revoked'", "'GRANT CONNECT ON DATABASE main TO PUBLIC'",
         "FROM main WHERE NOT EXISTS (SELECT FROM "
         "aclexplode(coalesce(datacl, acldefault('d', datdba))) g "
         "WHERE g.grantee = 0 AND g.privilege_type = 'CONNECT')"},
        {"'a setting of the database: ' || name", "format('ALTER DATABASE main RESET %I', name)",
         "FROM (SELECT DISTINCT split_part(one, '=', 1) AS name FROM main "
         "JOIN pg_db_role_setting s ON s.setdatabase = main.oid AND s.setrole = 0, "
         "unnest(s.setconfig) one) x WHERE " +
             settings},
        {"'settings of the role ' || rolname",
         "format('ALTER ROLE %I ', rolname) || CASE WHEN s.setdatabase = 0 THEN '' "
         "ELSE 'IN DATABASE main ' END || 'RESET ALL'",
         "FROM pg_db_role_setting s JOIN pg_roles r ON r.oid = s.setrole "
         "WHERE s.setdatabase IN (0, (SELECT oid FROM main))"},
        {"'the login of the role ' || rolname",
         "format('ALTER ROLE %I LOGIN %s CONNECTION LIMIT -1 VALID UNTIL ''infinity'' "
         "PASSWORD NULL', rolname, "
         "CASE WHEN kind IN ('owner', 'admin') THEN 'NOINHERIT' ELSE 'INHERIT' END)",
         "FROM account WHERE NOT rolcanlogin OR rolconnlimit <> -1 OR rolvaliduntil < 'infinity' "
         "OR rolpassword IS NOT NULL OR rolinherit = (kind IN ('owner', 'admin'))"},
        {"'the membership of the role ' || a.rolname",
         "format('GRANT %I TO %I', a.kind, a.rolname)",
         "FROM account a JOIN groups g ON g.rolname = a.kind WHERE NOT EXISTS "
         "(SELECT FROM pg_auth_members m WHERE m.roleid = g.oid AND m.member = a.oid)"},
        {"'what the role ' || rolname || ' owned'",
         "format('REASSIGN OWNED BY %I TO owner', rolname)",
         "FROM account WHERE kind IN ('owner', 'admin') AND EXISTS (SELECT FROM pg_shdepend d "
         "WHERE d.refclassid = 'pg_authid'::regclass AND d.refobjid = account.oid "
         "AND d.deptype = 'o')"},
    };
    if (thorough) {
        fault privileges;
        privileges.what = "'the default privileges'";
        privileges.fix = quote_literal(share("owner, admin"));
        privileges.from =
            "WHERE NOT EXISTS (SELECT FROM groups o JOIN pg_default_acl d "
            "ON d.defaclrole = o.oid AND d.defaclnamespace = 0 AND d.defaclobjtype = 'r', "
            "aclexplode(d.defaclacl) g JOIN groups r ON r.oid = g.grantee "
            "WHERE o.rolname = 'owner' AND r.rolname = 'reader' AND g.privilege_type = 'SELECT')";
        all.push_back(std::move(privileges));
    }
    return all;
}

// Functions of event triggers: SECURITY DEFINER, because they act as the superuser.
std::string trigger(const std::string& name, const std::string& when, const std::string& body) {
    return "DO $do$ BEGIN CREATE OR REPLACE FUNCTION pg_catalog." + name +
           "() RETURNS event_trigger LANGUAGE plpgsql SECURITY DEFINER "
           "SET search_path = pg_catalog, pg_temp AS $f$ " +
           body + " $f$; IF NOT EXISTS (SELECT FROM pg_event_trigger WHERE evtname = " +
           quote_literal(name) + ") THEN CREATE EVENT TRIGGER " + name + " ON " + when +
           " EXECUTE FUNCTION pg_catalog." + name +
           "(); ALTER EXTENSION plpgsql ADD EVENT TRIGGER " + name + "; END IF; END $do$;";
}

}  // namespace

std::vector<std::string> layout() {
    return {
        "DO $$ DECLARE kind text; BEGIN "
        "FOREACH kind IN ARRAY ARRAY['owner', 'admin', 'writer', 'reader', 'limited'] LOOP "
        "IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = kind) THEN "
        "EXECUTE format('CREATE ROLE %I', kind); END IF; "
        "EXECUTE format('ALTER ROLE %I NOLOGIN', kind); "
        "EXECUTE format('ALTER ROLE %I RESET ALL', kind); END LOOP; END $$;",
        "GRANT owner TO admin;",
        // An owner may do what the others may, and use what they make.
        "GRANT writer, reader, limited TO owner;",
        // One database, one instance: these reach nobody else's, and never a superuser's session.
        "GRANT pg_signal_backend, pg_read_all_stats TO owner;",
        // Of older servers: they reached the catalogs too, and so beyond row-level security.
        "DO $$ DECLARE held record; BEGIN "
        "FOR held IN SELECT g.rolname AS given, m.rolname AS whom FROM pg_auth_members a "
        "JOIN pg_roles g ON g.oid = a.roleid JOIN pg_roles m ON m.oid = a.member "
        "WHERE g.rolname IN ('pg_read_all_data', 'pg_write_all_data') LOOP "
        "EXECUTE format('REVOKE %I FROM %I', held.given, held.whom); END LOOP; "
        "FOR held IN SELECT n.nspname AS name FROM pg_namespace n "
        "WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' LOOP "
        "EXECUTE format('GRANT USAGE ON SCHEMA %I TO writer, reader, limited', held.name); "
        "EXECUTE format('GRANT SELECT ON ALL TABLES IN SCHEMA %I TO reader, limited', held.name); "
        "EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA %I "
        "TO writer', held.name); "
        "EXECUTE format('GRANT SELECT ON ALL SEQUENCES IN SCHEMA %I TO reader, limited', "
        "held.name); "
        "EXECUTE format('GRANT SELECT, USAGE, UPDATE ON ALL SEQUENCES IN SCHEMA %I TO writer', "
        "held.name); END LOOP; END $$;",
        "REASSIGN OWNED BY admin TO owner;",
        "DROP ROLE IF EXISTS keeper;",
        share("owner, admin"),
        trigger("bitdotio_keep_owner", "ddl_command_end",
                "DECLARE maker name; BEGIN FOR maker IN SELECT r.rolname FROM pg_auth_members m "
                "JOIN pg_roles r ON r.oid = m.member WHERE m.roleid IN ('owner'::regrole, "
                "'admin'::regrole) AND EXISTS (SELECT FROM pg_shdepend d "
                "WHERE d.refclassid = 'pg_authid'::regclass AND d.refobjid = m.member "
                "AND d.deptype = 'o') LOOP "
                "EXECUTE format('REASSIGN OWNED BY %I TO owner', maker); END LOOP; END"),
        trigger("bitdotio_guard_groups", "ddl_command_start WHEN TAG IN ('DROP OWNED')",
                "BEGIN IF NOT pg_has_role(session_user, 'owner', 'MEMBER') THEN "
                "RAISE insufficient_privilege USING MESSAGE = 'permission denied for ' || tg_tag; "
                "END IF; END"),
        std::string("COMMENT ON ROLE owner IS ") + quote_literal(mark) + ";",
    };
}

std::string find_faults(bool thorough) {
    std::string found;
    int number = 0;
    for (const fault& each : faults(thorough)) {
        found += number == 0 ? "" : " UNION ALL ";
        found += "SELECT " + std::to_string(++number) + " AS n, " + each.what + " AS what, " +
                 each.fix + " AS fix " + each.from;
    }
    const std::string accounts = quote_literal(pattern({}));
    return "WITH account AS (SELECT *, split_part(rolname, '_', 1) AS kind FROM pg_authid "
           "WHERE rolname ~ " +
           accounts +
           "), groups AS (SELECT oid, rolname FROM pg_roles WHERE rolname IN "
           "('owner', 'admin', 'writer', 'reader', 'limited')), "
           "main AS (SELECT * FROM pg_database WHERE datname = current_database()) "
           "SELECT what, fix FROM (" +
           found + ") all_of_them ORDER BY n; SELECT rolname::text FROM pg_roles WHERE rolname ~ " +
           accounts;
}

std::string account_role(std::string_view kind, std::string_view account) {
    std::string name(kind);
    name += '_';
    if (account.empty()) return name + std::string(no_account);
    if (account.size() > longest_id ||
        account.find_first_not_of("0123456789abcdef-") != std::string_view::npos) {
        throw error(errc::bad_input, "the id of an account is not a UUID");
    }
    for (const char c : account) {
        if (c != '-') name += c;
    }
    return name;
}

std::string account_of(std::string_view role) {
    return std::string(role.substr(role.find('_') + 1));
}

std::string make_account_role(std::string_view kind, const std::string& role) {
    const std::string name = quote_identifier(role);
    const std::string group(kind);
    if (acts_as_owner(kind)) {
        return "CREATE ROLE " + name + " LOGIN NOINHERIT IN ROLE " + group;
    }
    // So that what it makes, large objects for instance, is the owner's to use as well.
    std::string script =
        "CREATE ROLE " + name + " LOGIN IN ROLE " + group + "; GRANT " + name + " TO owner;";
    if (kind == session_roles::writer) script += " " + share(name);
    return script;
}

std::string drop_account_role(const std::string& role) {
    const std::string name = quote_identifier(role);
    return "REASSIGN OWNED BY " + name + " TO owner; DROP OWNED BY " + name + "; DROP ROLE " + name;
}

std::string settings(std::string_view kind, std::chrono::milliseconds idle,
                     std::chrono::milliseconds idle_in_transaction) {
    std::string all =
        "-c local_preload_libraries= -c idle_session_timeout=" + std::to_string(idle.count()) +
        " -c idle_in_transaction_session_timeout=" + std::to_string(idle_in_transaction.count()) +
        " -c default_transaction_read_only=";
    // For a clear refusal; what counts are the rights it was not given.
    all += kind == session_roles::limited ? "on" : "off";
    all += std::string(" -c role=") + (acts_as_owner(kind) ? session_roles::owner : "none");
    return all;
}

std::string pattern(const std::vector<std::string>& kinds) {
    std::string any;
    for (const std::string& each : kinds) {
        any += (any.empty() ? "" : "|") + each;
    }
    return "^(" + (any.empty() ? "owner|admin|writer|reader|limited" : any) + ")_[0-9a-z]+$";
}

}  // namespace bitdotio::instance_roles
