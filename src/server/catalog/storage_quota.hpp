// Holds databases to their storage limits: measures, and says in which role sessions run.
#pragma once

#include "base/deadline.hpp"
#include "server/base/periodic.hpp"
#include "server/catalog/catalog.hpp"
#include "server/catalog/storage_rule.hpp"
#include "server/hosts/database_host.hpp"

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/strand.hpp>

#include <chrono>
#include <map>
#include <memory>
#include <string>
#include <utility>

namespace bitdotio {

class failure_report;

/// Measures databases that are awake from time to time, all others when somebody wants in, and
/// obeys `storage_rule`.
///
/// PostgreSQL has no limit of its own, and whatever setting makes a session read-only, the session
/// can take back. So the limit is in the role: over it, whoever could write is let in as the role
/// "limited", which was given nothing but reading, and sessions of before are ended (57P01). What
/// an owner has granted to everybody in advance is beyond roles; therefore a database that grows
/// even so is closed. What a session writes between two measurements is not prevented.
///
/// Thread safety: its functions may be called from any thread.
/// Lifetime: await `close` if `watch` was called.
class storage_quota : public std::enable_shared_from_this<storage_quota> {
public:
    /// Parameters: `interval` from one measurement to the next.
    storage_quota(asio::any_io_executor executor, std::shared_ptr<catalog> known,
                  std::shared_ptr<database_host> databases, std::chrono::milliseconds interval);

    /// Who is told of limits reached; to be called before `watch`.
    void report_to(std::shared_ptr<event_log> events) { events_ = std::move(events); }

    /// Begins to measure all that are awake.
    void watch();
    /// Ends that.
    ///
    /// Cancellation: none.
    asio::awaitable<void> close();

    /// The role of PostgreSQL in which the caller of catalog::find is let into his database now.
    ///
    /// Errors: errc::server_busy with SQLSTATE 53100 if it is closed.
    asio::awaitable<std::string> session_role(database known);

    /// How the database may be used, measured no longer ago than the interval.
    asio::awaitable<storage_state> state(std::string id);
    /// The same, measured now. Sessions whose role is no longer right are ended.
    asio::awaitable<storage_state> check(std::string id);
    /// Whether sessions that could write were ended since then for what they wrote. Undone, it is
    /// not seen in the files any more.
    asio::awaitable<bool> has_ended_writers(std::string id, time_point since);

private:
    struct entry {
        storage_rule rule;
        std::int64_t used = 0;
        time_point measured{};
        time_point ended = time_point::min();  ///< when writers were ended last
    };

    asio::awaitable<std::string> do_session_role(database known);
    asio::awaitable<storage_state> do_state(std::string id);
    asio::awaitable<storage_state> do_check(std::string id);
    asio::awaitable<bool> do_has_ended_writers(std::string id, time_point since);
    asio::awaitable<void> measure_all();
    failure_report on_failure() const noexcept;
    asio::awaitable<void> end_sessions(std::string id, storage_state now);

    asio::strand<asio::any_io_executor> strand_;
    const std::shared_ptr<catalog> catalog_;
    const std::shared_ptr<database_host> databases_;
    const std::chrono::milliseconds interval_;
    std::map<std::string, entry> entries_;
    std::shared_ptr<event_log> events_;
    periodic rounds_;
};

}  // namespace bitdotio
