// Runs our own statements, and translates their failures for callers that asked for other things.
#include "server/backend/backend_admin.hpp"

#include <bitdotio/arrays.hpp>
#include <bitdotio/error.hpp>

#include "base/deadline.hpp"
#include "server/hosts/instance_session.hpp"
#include "server/hosts/session_role.hpp"

#include <optional>
#include <utility>

namespace bitdotio {

namespace {

constexpr int oldest_version = 150'000;
// The limit for one of our own statements; CREATE DATABASE copies files.
constexpr std::chrono::seconds statement_patience{60};

error trouble(const std::string& what, const error& failure) {
    switch (failure.code()) {
        case errc::query_failed:
        case errc::permission_denied:
        case errc::bad_input:
        case errc::not_found:
        case errc::authentication_failed:
            return error(errc::system_failed, "the backend " + what + ": " + failure.what());
        default:
            return error(errc::database_asleep,
                         std::string("the backend is not available: ") + failure.what());
    }
}

pool_options few_connections(const connect_options& login) {
    pool_options few;
    few.max_size = 4;
    few.acquire_timeout = login.wake_timeout;
    few.reset = session_reset::never;  // our statements leave nothing behind
    return few;
}

}  // namespace

connect_options backend_admin::login(const std::string& conninfo,
                                     std::chrono::milliseconds patience) {
    connect_options login = connect_options::parse(conninfo);
    switch (login.target_session_attrs) {
        case session_attributes::any:
        case session_attributes::read_write:
        case session_attributes::primary: break;
        default:
            throw error(errc::bad_input,
                        "the backend must be a primary: leave target_session_attrs out");
    }
    if (login.channel_binding == channel_binding::require) {
        throw error(errc::bad_input,
                    "channel_binding=require cannot be had: the gateway binds no channel");
    }
    // Not read-write: the role "limited" is read-only on any server.
    login.target_session_attrs = session_attributes::primary;
    if (login.database.empty()) login.database = "postgres";
    login.application_name = "bitdotio server";
    login.wake_timeout = patience;
    login.statement_cache_size = 0;  // there may be a pooler between
    return login;
}

backend_admin::backend_admin(asio::any_io_executor executor, connect_options login,
                             backend_secret secret, int max_connections)
    : login_(std::move(login)),
      secret_(std::move(secret)),
      max_connections_(max_connections),
      pool_(std::move(executor), login_, few_connections(login_)) {}

asio::awaitable<void> backend_admin::check() {
    statement ask(
        "SELECT pg_catalog.current_setting('server_version_num')::int, "
        "pg_catalog.current_setting('server_version'), rolname::text, rolsuper, rolcreatedb, "
        "rolcreaterole, rolinherit FROM pg_catalog.pg_roles WHERE rolname = current_user");
    ask.timeout(statement_patience).read_only();
    const result answer = co_await pool_.query(ask);
    if (answer.size() != 1) throw error(errc::system_failed, "the backend is no PostgreSQL");
    const row_view row = answer[0];
    if (row[0].as<int>() < oldest_version) {
        throw error(errc::system_failed, "the backend is PostgreSQL " + row[1].as<std::string>() +
                                             ": 15 or newer is needed, because up to 14 every role "
                                             "may make tables in the schema public");
    }
    superuser_ = row[3].as<bool>();
    std::string missing;
    std::size_t column = 4;
    for (const char* privilege : {"CREATEDB", "CREATEROLE", "INHERIT"}) {
        if (!row[column++].as<bool>()) missing += std::string(" ") + privilege;
    }
    if (!superuser_ && !missing.empty()) {
        const std::string who = row[2].as<std::string>();
        throw error(errc::system_failed, "the backend's role \"" + who + "\" lacks" + missing +
                                             ": ALTER ROLE \"" + who + "\"" + missing);
    }
}

asio::awaitable<std::vector<std::string>> backend_admin::look() {
    co_await check();
    statement find{std::string(tenant::find_marked())};
    find.timeout(statement_patience).read_only();
    const result marked = co_await pool_.query(find, secret_.mark());
    std::vector<std::string> ids;
    for (const row_view row : marked) {
        ids.push_back(row[0].as<std::string>());
        const auto limit = row[1].as<int>();
        // -1 if there is a role but no database: a creation was cut short.
        if (limit != -1 && limit != max_connections_) {
            co_await run(tenant(ids.back()).limit_connections(max_connections_));
        }
    }
    co_return ids;
}

asio::awaitable<std::vector<result>> backend_admin::run(std::string sql) {
    statement script(std::move(sql));
    script.timeout(statement_patience);
    std::optional<error> failure;
    try {
        pooled_connection ours = co_await pool_.acquire();
        co_return co_await ours->script(script);
    } catch (const error& thrown) {
        failure = thrown;
    }
    // A server that is gone, or has become a standby, is not asked again.
    if (failure->sqlstate() == "25006" || failure->code() == errc::connection_lost) pool_.reset();
    throw *failure;
}

asio::awaitable<std::vector<result>> backend_admin::run_in(connect_options where, std::string sql) {
    connection session = co_await open_at_primary(where);
    statement script(std::move(sql));
    script.timeout(statement_patience);
    std::vector<result> answers = co_await session.script(script);
    co_await session.close();
    co_return answers;
}

asio::awaitable<void> backend_admin::make(tenant what) {
    std::optional<error> failure;
    try {
        co_await do_make(what);
    } catch (const error& thrown) {
        failure = thrown;
    }
    if (failure) throw trouble("did not make the database", *failure);
}

asio::awaitable<void> backend_admin::do_make(tenant what) {
    const auto verifier = [&](const std::string& role) {
        return secret_.verifier(what.role(role));
    };
    // Roles come first: the owner role has the mark by which remains of this are found.
    const std::string roles = what.make_roles(secret_.mark(), verifier, superuser_);
    co_await run(roles);
    co_await run(what.make_database(max_connections_));
    co_await run(what.shut_out_others());
    connect_options inside = login_;
    inside.database = what.database();
    co_await run_in(inside, what.share_by_default());
    // Checked as the role that may least, which also shows that the roles can log in.
    const connect_options reader = session(what, session_roles::reader);
    const std::vector<result> answers =
        co_await run_in(reader, "SELECT pg_catalog.has_schema_privilege('public', 'CREATE')::text");
    if (answers.back().one<std::string>() == "true") {
        throw error(errc::bad_input,
                    "every role may make tables in the schema public: run REVOKE CREATE ON SCHEMA "
                    "public FROM PUBLIC in its database template0");
    }
}

asio::awaitable<void> backend_admin::drop(tenant what) {
    std::optional<error> failure;
    try {
        co_await run(what.drop_database());
        co_await run(what.drop_roles());
    } catch (const error& thrown) {
        failure = thrown;
    }
    if (failure) throw trouble("did not remove the database", *failure);
}

asio::awaitable<void> backend_admin::end_sessions(tenant what, std::vector<std::string> roles) {
    for (std::string& each : roles) {
        each = what.role(each);
    }
    statement end(
        "SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity "
        "WHERE datname = $1 AND usename = ANY ($2::pg_catalog.name[])");
    end.timeout(statement_patience).idempotent();
    std::optional<error> failure;
    try {
        co_await pool_.query(end, what.database(), roles);
    } catch (const error& thrown) {
        failure = thrown;
    }
    if (failure) throw trouble("did not end sessions", *failure);
}

asio::awaitable<void> backend_admin::end_all_sessions(tenant what) {
    std::vector<std::string> all;
    for (const char* each : {session_roles::owner, session_roles::admin, session_roles::writer,
                             session_roles::reader, session_roles::limited}) {
        all.emplace_back(each);
    }
    co_await end_sessions(std::move(what), std::move(all));
}

asio::awaitable<std::vector<std::string>> backend_admin::repair(tenant what, bool thorough) {
    std::optional<error> failure;
    try {
        co_return co_await do_repair(std::move(what), thorough);
    } catch (const error& thrown) {
        failure = thrown;
    }
    throw trouble("did not repair the database", *failure);
}

asio::awaitable<std::vector<std::string>> backend_admin::do_repair(tenant what, bool thorough) {
    const std::vector<result> found = co_await run(what.find_faults(max_connections_, thorough));
    std::vector<std::string> wrong;
    std::string fixes;
    // A setting that is wrong is reset before the right one is set.
    for (const row_view row : found.back()) {
        wrong.push_back(row[0].as<std::string>());
        fixes += row[1].as<std::string>() + ";";
    }
    if (!fixes.empty()) co_await run(std::move(fixes));
    if (thorough) co_await set_passwords(std::move(what));
    co_return wrong;
}

asio::awaitable<std::int64_t> backend_admin::size_of(tenant what) {
    std::optional<error> failure;
    try {
        statement measure("SELECT pg_catalog.pg_database_size($1::pg_catalog.name)");
        measure.timeout(statement_patience).read_only();
        const result answer = co_await pool_.query(measure, what.database());
        co_return answer.one<std::int64_t>();
    } catch (const error& thrown) {
        failure = thrown;
    }
    if (failure->code() == errc::not_found || failure->sqlstate() == "3D000") {
        throw error(errc::not_found, "the backend has no database " + what.database());
    }
    throw trouble("did not tell the size of the database", *failure);
}

connect_options backend_admin::session(const tenant& what, const std::string& role) const {
    connect_options theirs = login_;
    theirs.user = what.role(role);
    theirs.password.clear();
    theirs.password_file.clear();
    theirs.database = what.database();
    theirs.ask_credentials = [self = weak_from_this(), what, role](int attempt) {
        return password_of(self, what, role, attempt);
    };
    return theirs;
}

asio::awaitable<credentials> backend_admin::password_of(std::weak_ptr<const backend_admin> self,
                                                        tenant what, std::string role,
                                                        int attempt) {
    const auto all = self.lock();
    if (!all) throw error(errc::conflict, "the server has been stopped");
    if (attempt > 1) {
        // A role may change its own password, and so lock out others that use it.
        co_await std::const_pointer_cast<backend_admin>(all)->set_passwords(what);
    }
    credentials known(all->secret_.password(what.role(role)));
    co_return known;
}

asio::awaitable<void> backend_admin::set_passwords(tenant what) {
    const auto verifier = [&](const std::string& role) {
        return secret_.verifier(what.role(role));
    };
    const std::string script = what.set_passwords(verifier);
    co_await run(script);
}

asio::awaitable<void> backend_admin::close() {
    try {
        co_await pool_.close(std::chrono::seconds(1));
    } catch (const error&) {  // what is under way is cut
    }
}

}  // namespace bitdotio
