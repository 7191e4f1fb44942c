// Runs the statements of instance_roles.
#include "server/instances/instance_keeper.hpp"

#include <bitdotio/connection.hpp>
#include <bitdotio/error.hpp>

#include "server/hosts/instance_session.hpp"
#include "server/instances/instance.hpp"
#include "server/instances/instance_roles.hpp"

#include <utility>

namespace bitdotio {

namespace {

constexpr const char* purpose = "bitdotio server";
// The limit for one of our own scripts.
constexpr std::chrono::seconds patience{30};

statement script_of(std::string sql) {
    statement script(std::move(sql));
    script.timeout(patience);
    return script;
}

}  // namespace

session_target instance_keeper::target() const {
    session_target where;
    where.connect.hosts.emplace_back(socket_directory_, std::uint16_t{5432});
    where.connect.user = instance_roles::superuser;
    where.connect.database = instance::database;
    where.connect.tls = tls_mode::disable;
    where.connect.wake_timeout = std::chrono::milliseconds(0);
    where.options =
        "-c local_preload_libraries= -c search_path=pg_catalog -c statement_timeout=0 "
        "-c lock_timeout=5000 -c idle_session_timeout=0 -c default_transaction_read_only=off "
        "-c standard_conforming_strings=on -c client_min_messages=error";
    return where;
}

asio::awaitable<instance_keeper::findings> instance_keeper::repair(bool thorough) const {
    connection session = co_await open_session(target(), purpose);
    const statement find = script_of(instance_roles::find_faults(thorough));
    findings known;
    // Twice if the layout was old: the rest stands on it.
    for (int round = 0; round < 2; ++round) {
        const std::vector<result> found = co_await session.script(find);
        std::string fixes;
        bool again = false;
        for (const row_view row : found.at(0)) {
            known.put_right.push_back(row[0].as<std::string>());
            const std::string fix = row[1].as<std::string>();
            again = again || fix.empty();
            fixes += fix + (fix.empty() || fix.ends_with(';') ? "" : ";");
        }
        known.roles.clear();
        for (const row_view row : found.at(1)) {
            known.roles.push_back(row[0].as<std::string>());
        }
        if (again) {
            known.put_right.resize(1);
            fixes.clear();
            for (const std::string& line : instance_roles::layout()) {
                fixes += line;
            }
        }
        if (!fixes.empty()) {
            const statement mend = script_of(std::move(fixes));
            co_await session.script(mend);
        }
        if (!again) break;
    }
    co_await session.close();
    co_return known;
}

// Whoever has sent the last statement and gone may still have it running.
asio::awaitable<bool> instance_keeper::is_alone() const {
    connection session = co_await open_session(target(), purpose);
    statement look(
        "SELECT NOT EXISTS (SELECT FROM pg_catalog.pg_stat_activity "
        "WHERE backend_type = 'client backend' AND pid <> pg_catalog.pg_backend_pid() "
        "AND state IS DISTINCT FROM 'idle')");
    look.timeout(patience);
    const result answer = co_await session.query(look);
    co_await session.close();
    co_return answer.one<bool>();
}

asio::awaitable<void> instance_keeper::make_role(std::string kind, std::string role) const {
    connection session = co_await open_session(target(), purpose);
    const statement make = script_of(instance_roles::make_account_role(kind, role));
    try {
        co_await session.script(make);
    } catch (const error& failure) {
        // Another session of the account has just made it.
        if (failure.sqlstate() != "42710" && failure.sqlstate() != "23505") throw;
    }
    co_await session.close();
}

asio::awaitable<void> instance_keeper::drop_roles(std::vector<std::string> roles) const {
    connection session = co_await open_session(target(), purpose);
    for (const std::string& role : roles) {
        const statement drop = script_of(instance_roles::drop_account_role(role));
        co_await session.script(drop);
    }
    co_await session.close();
}

asio::awaitable<void> instance_keeper::end_sessions(std::vector<std::string> kinds) const {
    connection session = co_await open_session(target(), purpose);
    const std::string which = instance_roles::pattern(kinds);
    statement end(
        "SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity "
        "WHERE usename OPERATOR(pg_catalog.~) $1::text");
    end.timeout(patience);
    co_await session.query(end, which);
    co_await session.close();
}

}  // namespace bitdotio
