// Tries hosts in order: one attempt with all of them would stop at the first refusal.
#include "server/hosts/instance_session.hpp"

#include <bitdotio/error.hpp>

#include <optional>
#include <utility>
#include <vector>

namespace bitdotio {

namespace {

// The database or the login is unknown: on a standby, perhaps not yet known.
bool may_be_known_elsewhere(const error& failure) {
    return failure.sqlstate() == "3D000" || failure.sqlstate().starts_with("28");
}

}  // namespace

asio::awaitable<connection> open_at_primary(connect_options where) {
    std::optional<error> refused;
    try {
        co_return co_await connection::open(where);
    } catch (const error& failure) {
        if (where.hosts.size() < 2 || !may_be_known_elsewhere(failure)) throw;
        refused = failure;
    }
    const std::vector<host_port> hosts = where.hosts;
    where.wake_timeout = std::chrono::milliseconds(0);
    for (const host_port& each : hosts) {
        where.hosts.assign(1, each);
        try {
            co_return co_await connection::open(where);
        } catch (const error&) {  // the next one
        }
    }
    throw *refused;
}

asio::awaitable<connection> open_session(session_target where, std::string purpose) {
    where.connect.application_name = std::move(purpose);
    if (!where.options.empty()) {
        where.connect.options = where.options + " " + where.connect.options;
    }
    try {
        co_return co_await open_at_primary(where.connect);
    } catch (const error& failure) {
        if (failure.code() != errc::authentication_failed) throw;
        throw failure.with_code(errc::database_asleep);
    }
}

asio::awaitable<connection> open_session(session_target where, std::string purpose,
                                         std::string database, room_maker make_room) {
    std::optional<error> full;
    try {
        co_return co_await open_session(where, purpose);
    } catch (const error& failure) {
        if (!make_room || failure.sqlstate() != "53300") throw;
        full = failure;
    }
    const bool room = co_await make_room(std::move(database));
    if (!room) throw *full;
    co_return co_await open_session(std::move(where), std::move(purpose));
}

}  // namespace bitdotio
