// One libpq connection on one strand: opened, used statement by statement, watched, closed.
#pragma once

#include <bitdotio/connect_options.hpp>
#include <bitdotio/error.hpp>
#include <bitdotio/notification.hpp>
#include <bitdotio/params.hpp>
#include <bitdotio/pipeline.hpp>
#include <bitdotio/result.hpp>
#include <bitdotio/session_reset.hpp>
#include <bitdotio/statement.hpp>

#include "base/deadline.hpp"
#include "base/fork_guard.hpp"
#include "base/spawn.hpp"
#include "base/strand.hpp"
#include "postgres/postgres_exchange.hpp"

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>

#include <atomic>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace bitdotio {

class shared_pipeline;

/// A session with PostgreSQL, driven by the rules of libpq's nonblocking mode.
///
/// Thread safety: every function may be called from any thread; what awaits runs on the session's
///     own strand and resumes on the caller's executor.
/// Lifetime: made by make_for_this_process. In a child of its process operations throw
///     errc::forked, and the rest does nothing.
class postgres_session : public std::enable_shared_from_this<postgres_session> {
public:
    using strand = bitdotio::strand;

    /// Parameters: `home` is the strand it lives on: its own, or its pool's.
    postgres_session(strand home, const connect_options& options,
                     std::shared_ptr<cancel_queue> cancels);
    /// The same on a strand of its own.
    postgres_session(asio::any_io_executor executor, const connect_options& options,
                     std::shared_ptr<cancel_queue> cancels)
        : postgres_session(strand(std::move(executor)), options, std::move(cancels)) {}
    postgres_session(const postgres_session&) = delete;
    postgres_session& operator=(const postgres_session&) = delete;

    /// Opens it; names must be resolved (`hostaddr`), or libpq would block.
    asio::awaitable<void> open(libpq_parameters parameters, time_point deadline);

    asio::awaitable<result> run(statement sql, params values);
    /// As `run`, for one that keeps what it hands over until the end.
    asio::awaitable<result> run_kept(const statement& sql, const params& values);
    /// The conversation itself, for one that is on the session's strand.
    postgres_exchange& exchange_here() noexcept { return exchange_; }
    /// Takes an operation to the session's strand: one of the conversation's, or one that is made
    /// of several of them.
    template <class T>
    asio::awaitable<T> on_own_strand(asio::awaitable<T> operation) {
        birth_.check_same_process("the connection");
        return on_shared_strand(strand_, call(shared_from_this()), std::move(operation));
    }
    asio::awaitable<std::vector<result>> script(statement sql) {
        return on_own_strand(exchange_.script(std::move(sql)));
    }
    /// Runs COMMIT; a loss on the way is errc::commit_outcome_unknown.
    asio::awaitable<void> commit();
    asio::awaitable<pipeline_results> run_pipeline(std::shared_ptr<const pipeline> batch);

    /// Serves the statements of many callers until it is ended, see shared_pipeline::serve.
    asio::awaitable<void> share(std::shared_ptr<shared_pipeline> all);

    // Streams: one at a time, known by its number. Between their calls the session is busy and
    // does nothing else.
    /// Parameters: `until` limits this step, beside the statement's timeout.
    asio::awaitable<std::uint64_t> start_rows(statement sql, params values,
                                              time_point until = no_deadline) {
        return on_own_strand(exchange_.start_rows(std::move(sql), std::move(values), until));
    }
    /// The same for the statements of a script, or for one `alone`, all in text: the rows of each
    /// end with a result that has none, but their columns and the command's tag.
    asio::awaitable<std::uint64_t> start_script(statement sql, bool alone) {
        return on_own_strand(exchange_.start_script(std::move(sql), alone));
    }
    /// The rows of a statement that have come, or the first that come: at least one, about `most`,
    /// and what has come together with them. Empty at the end.
    ///
    /// Parameters: `most` at least 1; `until` as above.
    asio::awaitable<wire::row_span> fetch_rows(std::uint64_t stream, std::size_t most,
                                               time_point until = no_deadline) {
        return on_own_strand(exchange_.fetch_rows(stream, most, until));
    }
    /// Whether the stream is open, so that its holder may go on with it. False in a child.
    bool has_stream(std::uint64_t stream) const noexcept {
        return birth_.is_here() && exchange_.has_stream(stream);
    }
    /// The rows of a script, at most `most`. Empty at the end.
    ///
    /// Parameters: as above.
    asio::awaitable<std::vector<result>> next_rows(std::uint64_t stream, std::size_t most,
                                                   time_point until = no_deadline) {
        return on_own_strand(exchange_.next_rows(stream, most, until));
    }
    /// Starts a COPY; errc::bad_input if the statement is none of that direction.
    asio::awaitable<copy_start> start_copy(statement sql, bool in) {
        return on_own_strand(exchange_.start_copy(std::move(sql), in));
    }
    asio::awaitable<void> write_copy(std::uint64_t stream, std::string data) {
        return on_own_strand(exchange_.write_copy(stream, std::move(data)));
    }
    /// Ends COPY FROM; with a reason the server undoes it.
    asio::awaitable<std::uint64_t> finish_copy_in(std::uint64_t stream,
                                                  std::optional<std::string> failure) {
        return on_own_strand(exchange_.finish_copy_in(stream, std::move(failure)));
    }
    /// Empty at the end; whole rows otherwise, at least one.
    asio::awaitable<std::string> read_copy(std::uint64_t stream, std::size_t about) {
        return on_own_strand(exchange_.read_copy(stream, about));
    }
    /// Nobody will go on with the stream: the next operation, or `clean`, ends it first.
    void abandon_stream(std::uint64_t stream);

    /// Rolls back if a transaction is open; never throws. Afterwards it is idle or closed.
    asio::awaitable<void> clean(std::chrono::milliseconds timeout);

    /// The next statement rolls back first. For a transaction that nobody finished.
    void roll_back_first();

    /// The next statement begins a transaction first, with this text and in the same trip where
    /// that can be. Until then the session counts as in a transaction. False, and nothing happens,
    /// if it is not idle.
    bool begin_first(std::string text);
    /// Ends such a transaction if nothing was sent of it; false if something was, or none is open.
    asio::awaitable<bool> end_unbegun() { return on_own_strand(exchange_.end_unbegun()); }
    /// Whether the last one is still to begin; for its user, between operations.
    bool owes_begin() const noexcept { return exchange_.owes_begin(); }
    /// Whether the server has said that it begun, so that its loss is a transaction's; as above.
    bool has_begun() const noexcept { return exchange_.has_begun(); }

    /// For a session that comes back idle: what has been changed in it is undone ahead of the next
    /// statement, in the same trip where libpq can do that. The statement runs only if that
    /// succeeds; if not, the session is closed, and the statement's error is
    /// errc::connection_lost with outcome::not_sent.
    void reset_first(session_reset how);
    /// The same for one that is on the session's strand already.
    void reset_first_here(session_reset how) {
        if (how != session_reset::never) exchange_.reset_first(how);
    }

    /// Calls `on_death` once, on the strand, when the idle session turns out to be dead; until
    /// the next operation begins. What the server sends to a living one is taken in.
    void watch(std::function<void()> on_death);
    /// Whether somebody waits for its death. To be called on the strand.
    bool is_watched() noexcept { return exchange_.watch().whom() != nullptr; }

    /// Calls `on_event` once, on the strand, when notifications have come or, if there are none
    /// then, the session is dead; until the next operation begins. False, and no call, if that is
    /// so already. Nothing is read from the socket but for this.
    /// To be called on the strand, or where nothing of the session can run beside it.
    bool watch_notifications(std::function<void()> on_event);
    /// The notifications that have come since the last time. They are dropped before the first
    /// call of this or the one above. To be called as that one.
    std::vector<notification> notifications();
    /// Why the server ended the session, if it said so. To be called as the two above.
    const server_message& goodbye() const noexcept { return exchange_.goodbye(); }

    /// Asks an idle session for a sign of life: a lone Sync, which runs nothing and leaves all as
    /// it was, a watch included. False if no answer came in time, or it is not idle, or broken;
    /// unless an operation is under way it is closed then, without a goodbye. Never throws.
    ///
    /// Cancellation: none once it has begun; it is bounded.
    asio::awaitable<bool> probe(std::chrono::milliseconds timeout);

    /// What the server reported about its role when the session was opened.
    const server_role& role() const noexcept { return exchange_.role(); }

    /// Whether the kernel knows of no end of this idle session: no round trip, no waiting. Only
    /// for a session nobody else uses at the moment, and on its strand.
    bool looks_alive() noexcept { return exchange_.looks_alive(); }

    /// Busy from the call of an operation on, also before that has begun.
    session_status status() const noexcept {
        const session_status last = exchange_.status();
        const bool called = calls_.load(std::memory_order_acquire) > 0;
        return last == session_status::idle && called ? session_status::busy : last;
    }
    int backend_pid() const noexcept { return exchange_.backend_pid(); }

    /// Says goodbye and closes, once nothing is under way.
    void close();
    /// Closes at once and without a goodbye; what is under way ends as a lost connection.
    ///
    /// Parameters: `why`, for the error of its user.
    void cut(std::string why);

private:
    // An operation, from its call on: it counts before it has come to the strand.
    class call {
    public:
        explicit call(std::shared_ptr<postgres_session> session) : session_(std::move(session)) {
            session_->calls_.fetch_add(1, std::memory_order_relaxed);
        }
        call(call&&) noexcept = default;
        ~call() {
            if (session_) session_->calls_.fetch_sub(1, std::memory_order_release);
        }

    private:
        std::shared_ptr<postgres_session> session_;
    };

    template <class T, class Ask>
    asio::awaitable<T> in_place(call mine, Ask ask);
    asio::awaitable<bool> do_probe(std::chrono::milliseconds timeout);
    void do_watch();
    void watch_event(std::uint64_t generation, const boost::system::error_code& failure);

    // The end of a handler that failed at what nobody waits for.
    struct failure_end {
        std::weak_ptr<postgres_session> session;
        void operator()(const std::exception_ptr&) const noexcept {
            if (const auto self = session.lock()) self->exchange_.cut({});
        }
    };
    // Its next user learns that the session is lost.
    failure_end on_failure() noexcept { return {weak_from_this()}; }

    const fork_guard birth_;
    const strand strand_;
    std::atomic<int> calls_{0};
    postgres_exchange exchange_;
};

}  // namespace bitdotio
