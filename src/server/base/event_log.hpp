// Counts what happens in a server, and hands it to the log.
#pragma once

#include <bitdotio/server_event.hpp>

#include "server/base/instance_event.hpp"
#include "server/base/metrics_text.hpp"

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <exception>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace bitdotio {

/// Who is connected to what at the Postgres endpoint.
struct visit_facts {
    visit_facts() = default;

    std::string database_id;
    std::string database;  ///< its name
    std::string account;   ///< whose key it was
    std::string peer;      ///< the client's address, without the port
};

/// Counts events and logs them.
///
/// Thread safety: every function may be called from any thread. A mutex is held for a few
///     assignments only; the log is called without it, so lines of two threads may change places.
class event_log : public std::enable_shared_from_this<event_log> {
public:
    using clock = std::chrono::system_clock;
    using log = std::function<void(const server_event&)>;

    /// What is known of a database since the server started.
    struct database_figures {
        std::uint64_t wakes = 0;
        std::uint64_t failed_wakes = 0;
        std::uint64_t sessions = 0;  ///< open ones
        std::optional<clock::time_point> last_used;
    };
    struct open_visit {
        visit_facts facts;
        clock::time_point since;
    };
    struct figures {
        std::uint64_t wakes = 0;
        std::uint64_t failed_wakes = 0;
        duration_histogram wake_durations;
        std::uint64_t sessions_admitted = 0;
        std::map<std::string, std::uint64_t> refused;  ///< by SQLSTATE
        std::array<std::uint64_t, 6> answers{};        ///< by the first digit of the status
        std::uint64_t rows_queried = 0;
        std::uint64_t jobs_done = 0;
        std::uint64_t jobs_failed = 0;
        std::int64_t certificate_expires = 0;               ///< in Unix time
        std::map<std::string, database_figures> databases;  ///< by id
        std::map<std::string, std::uint64_t> moved;         ///< bytes, by the id of a job under way
        std::map<std::uint64_t, open_visit> visits;         ///< in the order they came
    };

    /// Parameters: `to` may be empty. Its exceptions are dropped: there is no other log.
    explicit event_log(log to) : log_(std::move(to)) {}

    clock::time_point started() const noexcept { return started_; }
    figures look() const;

    /// Hands an event to the log without counting.
    void tell(const server_event& event) const noexcept;
    /// Logs a failure that has no caller to be thrown at; does nothing if `thrown` is null.
    ///
    /// Parameters: `part` of the server that failed, such as "the server"; `error_id` is what a
    ///     caller was told in place of the details; empty if nobody was.
    void failed(std::string_view part, const std::exception_ptr& thrown,
                const std::string& error_id = {}) const noexcept;

    /// Notes what happens to a database's PostgreSQL.
    void note(const instance_event& event);
    /// Notes that a database was used just now.
    void used(const std::string& id);
    void forget_database(const std::string& id);

    /// Notes that a client was let in; its visit lasts as long as the returned object.
    std::shared_ptr<void> admitted(visit_facts facts);
    /// Notes that a client was refused.
    void refused(std::string_view sqlstate, const std::string& database, const std::string& peer);

    void answered(std::string_view method, std::string_view target, int status,
                  std::chrono::steady_clock::duration took, const std::string& account);
    void rows(std::size_t count) { rows_ += count; }
    void certificate_expires(clock::time_point when) { expires_ = clock::to_time_t(when); }
    /// Notes that a job has moved some bytes from or to PostgreSQL.
    void moved(const std::string& job, std::size_t bytes);
    void job_ended(const std::string& job, bool failed);

private:
    class visit;

    const log log_;
    const clock::time_point started_ = clock::now();
    mutable std::mutex mutex_;  ///< guards `known_` and `next_visit_`
    figures known_;
    std::uint64_t next_visit_ = 0;
    std::atomic<std::uint64_t> rows_{0};
    std::atomic<std::int64_t> expires_{0};
};

/// The end of a coroutine that nobody awaits, or of a guarded handler: see `spawn` and `guarded`.
class failure_report {
public:
    /// Parameters: `events` may be null; `part` as for event_log::failed.
    failure_report(std::shared_ptr<const event_log> events, const char* part) noexcept
        : events_(std::move(events)), part_(part) {}

    void operator()(const std::exception_ptr& thrown) const noexcept {
        if (events_) events_->failed(part_, thrown);
    }

private:
    std::shared_ptr<const event_log> events_;
    const char* part_;
};

/// What went wrong, safe for a log: the messages of our own errors and of the system's codes. Of
/// anything else only the type, because its message may quote anything.
std::string loggable_failure(const std::exception_ptr& thrown);

/// What a caller is told of a failure of the server's own, whose details are in the log beside this
/// id: they could tell of its files.
std::string words_for_caller(const std::string& error_id);

/// Whether the words name a file by its whole path, so that they are for the log alone.
bool name_a_file(std::string_view words) noexcept;

/// Whether the failure was unforeseen: neither an `error` nor one of the network or the system.
bool is_unforeseen(const std::exception_ptr& thrown) noexcept;

/// The path of a request's target, safe for a log: without its query, of limited length, and with
/// any keys in it masked.
std::string loggable_path(std::string_view target);

}  // namespace bitdotio
