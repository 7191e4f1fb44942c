// Keeps databases within their storage limits: measures them and chooses the role of sessions.
#pragma once

#include "base/async_semaphore.hpp"
#include "base/deadline.hpp"
#include "base/strand.hpp"
#include "server/base/periodic.hpp"
#include "server/catalog/catalog.hpp"
#include "server/catalog/storage_rule.hpp"
#include "server/hosts/database_host.hpp"

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace bitdotio {

class failure_report;

/// Measures databases that are awake from time to time, all others once they have fallen asleep
/// and when a client wants in, and obeys `storage_rule`.
///
/// PostgreSQL has no limit of its own, and a session can take back any setting that makes it
/// read-only. So the limit is in the role: over it, callers that could write are let in as the role
/// "limited", which may only read, and earlier sessions are ended (57P01). Roles do not cover what
/// an owner has granted to everybody in advance; therefore a database that still grows is closed.
/// What a session writes between two measurements is not prevented. A database over its limit is
/// measured once a second.
///
/// Statements that free space run in the caller's own role, one at a time (`let_free`), and what
/// they call may write: the database is measured four times a second meanwhile, and the statement's
/// session is ended when it holds more than storage_rule::ceiling.
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

    /// Begins to measure all databases that are awake, or whose size is not known.
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
    /// What the database holds, as measured last; 0 if it is gone. Only a database that this server
    /// has not measured yet is measured now.
    ///
    /// While it is awake, that is no longer ago than the interval and the time of a round, and no
    /// longer than the last call or job that has written to it; asleep, it is what it holds.
    asio::awaitable<std::int64_t> used(std::string id);
    /// The same of several, in their order.
    asio::awaitable<std::vector<std::int64_t>> used_by(std::vector<std::string> ids);
    /// Lets a statement that frees space run, as long as what is returned lives; null if only DROP
    /// is taken now.
    ///
    /// Errors: errc::server_busy if another such statement runs in the database.
    asio::awaitable<std::shared_ptr<void>> let_free(std::string id, freeing what);
    /// Whether that statement, whose right this is, may be committed, measured now: it has not made
    /// the database grow, neither now nor when it was looked at before.
    asio::awaitable<bool> may_commit(std::string id, std::shared_ptr<void> right);
    /// Call it when that statement has ended: returns when no session is being ended on its account
    /// any more. Whether it was caught making the database grow; then there is room to vacuum what
    /// it wrote, which stays in the files until then.
    asio::awaitable<bool> settle(std::string id, std::shared_ptr<void> right);

    /// Whether sessions that could write were ended since then for what they wrote. Once that is
    /// undone, the files no longer show it.
    asio::awaitable<bool> has_ended_writers(std::string id, time_point since);

private:
    struct entry {
        storage_rule rule;
        std::int64_t used = 0;
        time_point measured{};
        bool is_known = false;    ///< it has been measured
        bool is_settled = false;  ///< and asleep before that, and nobody has asked for it since
        time_point ended = time_point::min();  ///< when writers were ended last

        // A statement that frees space, until it has been judged by what it left.
        std::weak_ptr<void> right;
        std::optional<std::int64_t> before;  ///< what the database held when that began
        std::int64_t ceiling = 0;
        bool caught = false;    ///< it has made the database grow
        bool accepted = false;  ///< it may be committed: it is not looked at any more

        bool is_freeing() const noexcept { return before && !right.expired(); }
    };

    asio::awaitable<std::string> do_session_role(database known);
    asio::awaitable<storage_state> do_state(std::string id);
    std::optional<storage_state> fresh_state(const std::string& id);
    const entry* measured(const std::string& id) const;
    std::vector<std::int64_t> known_sizes(const std::vector<std::string>& ids) const;
    asio::awaitable<storage_state> do_check(std::string id);
    asio::awaitable<std::vector<std::int64_t>> do_used_by(std::vector<std::string> ids);
    asio::awaitable<void> measure_one(std::string id);
    asio::awaitable<bool> do_has_ended_writers(std::string id, time_point since);
    asio::awaitable<std::shared_ptr<void>> do_let_free(std::string id, freeing what);
    asio::awaitable<bool> do_may_commit(std::string id, std::shared_ptr<void> right);
    asio::awaitable<bool> do_settle(std::string id, std::shared_ptr<void> right);
    asio::awaitable<void> do_close();
    asio::awaitable<void> measure_all();
    asio::awaitable<void> look_closely();
    asio::awaitable<void> look_closely_at(std::string id, bool in_turn);
    failure_report on_failure() const noexcept;
    asio::awaitable<void> end_sessions(std::string id, storage_state now);

    strand strand_;
    const std::shared_ptr<catalog> catalog_;
    const std::shared_ptr<database_host> databases_;
    const std::chrono::milliseconds interval_;
    std::map<std::string, entry> entries_;
    std::shared_ptr<event_log> events_;
    periodic rounds_;
    periodic close_looks_;
    async_semaphore looks_at_freeing_{1};  ///< one look at a time, or who waits for its end
    unsigned looks_ = 0;
};

}  // namespace bitdotio
