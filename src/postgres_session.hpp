// One libpq connection on one strand: opened, used statement by statement, watched, closed.
#pragma once

#include <bitdotio/error.hpp>
#include <bitdotio/options.hpp>
#include <bitdotio/params.hpp>
#include <bitdotio/result.hpp>
#include <bitdotio/statement.hpp>

#include "deadline.hpp"
#include "libpq.hpp"

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/strand.hpp>

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace bitdotio {

/// libpq's connection parameters, in the order they are given.
using libpq_parameters = std::vector<std::pair<std::string, std::string>>;

/// What the server's last ReadyForQuery said, or that there will be none.
enum class session_status { idle, busy, in_transaction, closed };

/// A session with PostgreSQL, driven by the rules of libpq's nonblocking mode.
///
/// Thread safety: every function may be called from any thread; what awaits runs on the session's
///     own strand and resumes on the caller's executor.
class postgres_session : public std::enable_shared_from_this<postgres_session> {
public:
    postgres_session(asio::any_io_executor executor, const connect_options& options);
    ~postgres_session();
    postgres_session(const postgres_session&) = delete;
    postgres_session& operator=(const postgres_session&) = delete;

    /// Opens it; names must be resolved (`hostaddr`), or libpq would block.
    asio::awaitable<void> open(libpq_parameters parameters, time_point deadline);

    asio::awaitable<result> run(statement sql, params values);
    asio::awaitable<std::vector<result>> script(statement sql);
    /// Runs COMMIT; a loss on the way is errc::commit_outcome_unknown.
    asio::awaitable<void> commit();
    /// Rolls back if a transaction is open; never throws. Afterwards it is idle or closed.
    asio::awaitable<void> clean(std::chrono::milliseconds timeout);

    /// The next statement rolls back first. For a transaction that nobody finished.
    void roll_back_first();

    /// Calls `on_death` once, on the strand, when the idle session turns out to be dead; until
    /// the next operation begins. What the server sends to a living one is taken in.
    void watch(std::function<void()> on_death);

    /// Whether the kernel knows of no end of this idle session: no round trip, no waiting. Only
    /// for a session nobody else uses at the moment.
    bool looks_alive() const noexcept;

    session_status status() const noexcept { return status_.load(std::memory_order_acquire); }
    int backend_pid() const noexcept { return pid_.load(std::memory_order_relaxed); }

    /// Says goodbye and closes, once nothing is under way.
    void close();

private:
    enum class kind { extended, simple };

    using strand = asio::strand<asio::any_io_executor>;

    asio::awaitable<void> do_open(libpq_parameters parameters, time_point deadline);
    asio::awaitable<void> poll_until_open(libpq_parameters parameters);
    void attach();
    void detach() noexcept;
    void finish() noexcept;
    void abort() noexcept;
    error dial_error() const;

    asio::awaitable<result> do_run(statement sql, params values, phase when);
    asio::awaitable<std::vector<result>> do_script(statement sql);
    asio::awaitable<void> do_commit();
    asio::awaitable<void> do_clean(std::chrono::milliseconds timeout);
    void do_watch();
    void watch_event(std::uint64_t generation, const boost::system::error_code& failure);

    // postgres_exchange.cpp: one statement's way there and back.
    asio::awaitable<void> exchange(statement sql, params values, kind how, phase when);
    asio::awaitable<void> guarded_exchange(statement sql, params values, kind how, phase when);
    void send(const statement& sql, const params& values, kind how);
    asio::awaitable<void> settle();
    asio::awaitable<void> flush();
    asio::awaitable<void> readable_or_writable();
    asio::awaitable<void> readable();
    asio::awaitable<bool> stop_statement();
    void collect(libpq::result answer);
    void conclude(phase when, const std::optional<error>& interrupted);
    bool alive();
    error lost(phase when);
    void take_status();

    static void receive_notice(void* self, const PGresult* notice);

    strand strand_;
    asio::posix::stream_descriptor socket_;
    libpq::connection conn_;

    const std::chrono::milliseconds statement_timeout_;
    const std::chrono::milliseconds cancel_timeout_;

    // libpq's four arrays of parameters, kept for their capacity.
    std::vector<Oid> types_;
    std::vector<const char*> values_;
    std::vector<int> lengths_;
    std::vector<int> formats_;

    std::vector<result> answers_;  // of the statement under way
    server_message refusal_;       // its first error
    bool copy_started_ = false;    // it was a COPY, which this exchange cannot serve
    server_message goodbye_;       // a FATAL notice: why the server ended the session
    bool watching_ = false;
    bool roll_back_first_ = false;
    bool close_when_done_ = false;
    bool under_way_ = false;
    std::uint64_t watch_generation_ = 0;
    std::function<void()> on_death_;

    std::atomic<session_status> status_{session_status::closed};
    std::atomic<int> pid_{0};
    std::atomic<int> descriptor_{-1};
};

}  // namespace bitdotio
