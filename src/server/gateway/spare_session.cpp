// Reads messages up to ReadyForQuery: of a greeting, and of one query.
#include "server/gateway/spare_session.hpp"

#include <bitdotio/error.hpp>

#include <boost/asio/buffer.hpp>
#include <boost/system/system_error.hpp>

#include <optional>
#include <string_view>
#include <utility>
#include <vector>

namespace bitdotio {

namespace {

// The limit on what a session says before it rests.
constexpr std::size_t largest_answer = 1024 * 1024;
// The size of ReadyForQuery.
constexpr std::size_t ready_size = 6;

// The names are qualified, operators too: whatever the role's search_path, it asks this. A row's
// xmin changes with each of its changes, so a setting that was changed and changed back differs.
constexpr const char* about_circumstances =
    "SELECT d.xmin, d.datname, d.datallowconn, d.datconnlimit, d.datacl, "
    "pg_catalog.has_database_privilege(session_user, d.oid, 'CONNECT'), "
    "pg_catalog.pg_has_role(session_user, current_user, 'MEMBER'), "
    "r.rolname, r.rolcanlogin, r.rolconnlimit, r.rolvaliduntil, r.rolsuper, r.rolinherit, "
    "r.rolbypassrls, (SELECT pg_catalog.array_agg(ROW(s.xmin, s.setdatabase, s.setrole, "
    "s.setconfig) ORDER BY s.setdatabase USING OPERATOR(pg_catalog.<), "
    "s.setrole USING OPERATOR(pg_catalog.<)) FROM pg_catalog.pg_db_role_setting s "
    "WHERE (s.setdatabase OPERATOR(pg_catalog.=) 0 OR s.setdatabase OPERATOR(pg_catalog.=) d.oid) "
    "AND (s.setrole OPERATOR(pg_catalog.=) 0 OR s.setrole OPERATOR(pg_catalog.=) r.oid)) "
    "FROM pg_catalog.pg_database d, pg_catalog.pg_roles r "
    "WHERE d.datname OPERATOR(pg_catalog.=) pg_catalog.current_database() "
    "AND r.rolname OPERATOR(pg_catalog.=) session_user";

// Reads on until a ReadyForQuery of a session without a transaction is the last of `bytes`.
asio::awaitable<void> read_until_ready(backend_link& link, std::string& bytes) {
    std::vector<char> room(16 * 1024);
    std::size_t at = 0;  // of the first message that is not complete
    char type = 0;
    while (true) {
        auto rest = std::string_view(bytes).substr(at);
        for (auto size = message_size(rest); size && *size <= rest.size();
             size = message_size(rest)) {
            type = rest[0];
            if (type == 'E') throw error(errc::connect_failed, "PostgreSQL refuses a session");
            if (type == 'Z' && (*size != rest.size() || rest[*size - 1] != 'I')) {
                throw error(errc::protocol_violated, "a new session does not rest");
            }
            at += *size;
            rest.remove_prefix(*size);
        }
        if (type == 'Z' && rest.empty()) co_return;
        if (bytes.size() > largest_answer) {
            throw error(errc::protocol_violated, "a new session says too much");
        }
        boost::system::error_code failure;
        const std::size_t got = co_await link.stream().read_some(asio::buffer(room), failure);
        if (failure) throw boost::system::system_error(failure);
        bytes.append(room.data(), got);
    }
}

asio::awaitable<void> begin_in(spare_session& made, session_target where, startup_message wish,
                               time_point deadline) {
    // Nobody waits for it.
    where.waits = false;
    made.greeting = co_await made.link->open(std::move(where), std::move(wish), deadline);
    if (!made.greeting.key) throw error(errc::connect_failed, "PostgreSQL refuses a session");
    co_await read_until_ready(*made.link, made.greeting.bytes);
    made.circumstances = co_await circumstances_of(*made.link);
}

}  // namespace

asio::awaitable<std::unique_ptr<spare_session>> begin_spare(asio::any_io_executor executor,
                                                            session_target where,
                                                            startup_message wish,
                                                            time_point deadline) {
    auto made = std::make_unique<spare_session>();
    made->link = std::make_unique<backend_link>(executor);
    co_await with_deadline(begin_in(*made, std::move(where), std::move(wish), deadline), deadline);
    made->since = std::chrono::steady_clock::now();
    co_return made;
}

asio::awaitable<std::string> circumstances_of(backend_link& link) {
    const std::string asked = wire_message::query(about_circumstances);
    co_await link.stream().write(asio::buffer(asked));
    std::string answer;
    co_await read_until_ready(link, answer);
    // A row, and nothing else: a notice or a changed setting would be the client's to know.
    const auto description = message_size(answer);
    if (answer[0] != 'T' || !description || answer.size() <= *description ||
        answer[*description] != 'D') {
        throw error(errc::protocol_violated, "a new session does not answer what it was asked");
    }
    std::string_view rows = std::string_view(answer).substr(*description);
    const std::string row(rows.substr(0, *message_size(rows)));
    rows.remove_prefix(row.size());
    const auto done = message_size(rows);
    if (rows[0] != 'C' || !done || rows.size() != *done + ready_size) {
        throw error(errc::protocol_violated, "a new session does not answer what it was asked");
    }
    co_return row;
}

}  // namespace bitdotio
