// Keeps databases within their storage limits: measures them and chooses the role of sessions.
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

/// Measures databases that are awake from time to time, all others when a client wants in, and
/// obeys `storage_rule`.
///
/// PostgreSQL has no limit of its own, and a session can take back any setting that makes it
/// read-only. So the limit is in the role: over it, callers that could write are let in as the role
/// "limited", which may only read, and earlier sessions are ended (57P01). Roles do not cover what
/// an owner has granted to everybody in advance; therefore a database that still grows is closed.
/// What a session writes between two measurements is not prevented.
///
/// Thread safety: its functions may be called from any thread.
/// Lifetime: await `close` if `watch` was called.
class storage_quota : public std::enable_shared_from_this<storage_quota> {
public:
    /// Parameters: `interval` from one measurement to the next.
    storage_quota(asio::any_io_executor executor, std::shared_ptr<catalog> known,
                  std::shared_ptr<database_host> databases, std::chrono::milliseconds interval);

    /// Sets who is told of limits reached; call it before `watch`.
    void report_to(std::shared_ptr<event_log> events) { events_ = std::move(events); }

    /// Begins to measure all databases that are awake.
    void watch();
    /// Stops measuring.
    ///
    /// Cancellation: none.
    asio::awaitable<void> close();

    /// The PostgreSQL role in which the caller of catalog::find is let into the database now.
    ///
    /// Errors: errc::server_busy with SQLSTATE 53100 if the database is closed.
    asio::awaitable<std::string> session_role(database known);

    /// How the database may be used, measured no longer ago than the interval.
    asio::awaitable<storage_state> state(std::string id);
    /// The same, measured now. Sessions whose role is no longer right are ended.
    asio::awaitable<storage_state> check(std::string id);
    /// Whether sessions that could write were ended since then for what they wrote. Once that is
    /// undone, the files no longer show it.
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
