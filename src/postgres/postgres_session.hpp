// One libpq connection on one strand: opened, used statement by statement, watched, closed.
#pragma once

#include <bitdotio/connect_options.hpp>
#include <bitdotio/copy.hpp>
#include <bitdotio/error.hpp>
#include <bitdotio/notification.hpp>
#include <bitdotio/params.hpp>
#include <bitdotio/pipeline.hpp>
#include <bitdotio/result.hpp>
#include <bitdotio/session_reset.hpp>
#include <bitdotio/statement.hpp>

#include "base/deadline.hpp"
#include "base/fork_guard.hpp"
#include "postgres/bound_parameters.hpp"
#include "postgres/cancel_queue.hpp"
#include "postgres/dial_parameters.hpp"
#include "postgres/failure.hpp"
#include "postgres/host_choice.hpp"
#include "postgres/idle_watch.hpp"
#include "postgres/libpq.hpp"
#include "postgres/libpq_socket.hpp"
#include "postgres/open_stream.hpp"
#include "postgres/pipeline_report.hpp"
#include "postgres/reset_plan.hpp"
#include "postgres/statement_cache.hpp"
#include "postgres/statement_report.hpp"
#include "postgres/type_book.hpp"

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/strand.hpp>

#include <atomic>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace bitdotio {

/// What the server's last ReadyForQuery said, or that there will be none.
enum class session_status { idle, busy, in_transaction, closed };

/// A COPY that has begun.
struct copy_start {
    std::uint64_t stream = 0;
    copy_format format = copy_format::text;
};

/// A session with PostgreSQL, driven by the rules of libpq's nonblocking mode.
///
/// Thread safety: every function may be called from any thread; what awaits runs on the session's
///     own strand and resumes on the caller's executor.
/// Lifetime: made by make_for_this_process. In a child of its process operations throw
///     errc::forked, and the rest does nothing.
class postgres_session : public std::enable_shared_from_this<postgres_session> {
public:
    postgres_session(asio::any_io_executor executor, const connect_options& options,
                     std::shared_ptr<cancel_queue> cancels);
    ~postgres_session();
    postgres_session(const postgres_session&) = delete;
    postgres_session& operator=(const postgres_session&) = delete;

    /// Opens it; names must be resolved (`hostaddr`), or libpq would block.
    asio::awaitable<void> open(libpq_parameters parameters, time_point deadline);

    asio::awaitable<result> run(statement sql, params values);
    asio::awaitable<std::vector<result>> script(statement sql);
    /// Runs COMMIT; a loss on the way is errc::commit_outcome_unknown.
    asio::awaitable<void> commit();
    asio::awaitable<pipeline_results> run_pipeline(std::shared_ptr<const pipeline> batch);

    // Streams: one at a time, known by its number. Between their calls the session is busy and
    // does nothing else.
    asio::awaitable<std::uint64_t> start_rows(statement sql, params values);
    /// Empty at the end.
    asio::awaitable<std::vector<result>> next_rows(std::uint64_t stream, std::size_t most);
    /// Starts a COPY; errc::bad_input if the statement is none of that direction.
    asio::awaitable<copy_start> start_copy(statement sql, bool in);
    asio::awaitable<void> write_copy(std::uint64_t stream, std::string data);
    /// Ends COPY FROM; with a reason the server undoes it.
    asio::awaitable<std::uint64_t> finish_copy_in(std::uint64_t stream,
                                                  std::optional<std::string> failure);
    /// Empty at the end; whole rows otherwise, at least one.
    asio::awaitable<std::string> read_copy(std::uint64_t stream, std::size_t about);
    /// Nobody will go on with the stream: the next operation, or `clean`, ends it first.
    void abandon_stream(std::uint64_t stream);

    /// Rolls back if a transaction is open; never throws. Afterwards it is idle or closed.
    asio::awaitable<void> clean(std::chrono::milliseconds timeout);

    /// The next statement rolls back first. For a transaction that nobody finished.
    void roll_back_first();

    /// For a session that comes back idle: what has been changed in it is undone ahead of the next
    /// statement, in the same trip where libpq can do that. The statement runs only if that
    /// succeeds; if not, the session is closed, and the statement's error is
    /// errc::connection_lost with outcome::not_sent.
    void reset_first(session_reset how);

    /// Calls `on_death` once, on the strand, when the idle session turns out to be dead; until
    /// the next operation begins. What the server sends to a living one is taken in.
    void watch(std::function<void()> on_death);

    /// Calls `on_event` once, on the strand, when notifications have come or, if there are none
    /// then, the session is dead; until the next operation begins. False, and no call, if that is
    /// so already. Nothing is read from the socket but for this.
    /// To be called on the strand, or where nothing of the session can run beside it.
    bool watch_notifications(std::function<void()> on_event);
    /// The notifications that have come since the last time. They are dropped before the first
    /// call of this or the one above. To be called as that one.
    std::vector<notification> notifications();
    /// Why the server ended the session, if it said so. To be called as the two above.
    const server_message& goodbye() const noexcept { return report_.goodbye(); }

    /// Asks an idle session for a sign of life: a lone Sync, which runs nothing and leaves all as
    /// it was, a watch included. False if no answer came in time, or it is not idle, or broken;
    /// unless an operation is under way it is closed then, without a goodbye. Never throws.
    ///
    /// Cancellation: none once it has begun; it is bounded.
    asio::awaitable<bool> probe(std::chrono::milliseconds timeout);

    /// What the server reported about its role when the session was opened.
    const server_role& role() const noexcept { return role_; }

    /// Whether the kernel knows of no end of this idle session: no round trip, no waiting. Only
    /// for a session nobody else uses at the moment.
    bool looks_alive() const noexcept;

    session_status status() const noexcept { return status_.load(std::memory_order_acquire); }
    int backend_pid() const noexcept { return pid_.load(std::memory_order_relaxed); }

    /// Says goodbye and closes, once nothing is under way.
    void close();
    /// Closes at once and without a goodbye; what is under way ends as a lost connection.
    void cut();

private:
    enum class kind { extended, simple };
    using flow = open_stream::kind;

    // One operation at a time: whoever holds it talks to the server.
    class turn {
    public:
        /// Errors: errc::protocol_violated if another operation is under way.
        explicit turn(postgres_session& session);
        ~turn();
        turn(const turn&) = delete;

    private:
        postgres_session& session_;
    };

    using strand = asio::strand<asio::any_io_executor>;

    template <class T>
    asio::awaitable<T> on_own_strand(asio::awaitable<T> operation) {
        birth_.check_same_process("the connection");
        return on_strand(strand_, shared_from_this(), std::move(operation));
    }

    asio::awaitable<void> do_open(libpq_parameters parameters, time_point deadline);
    asio::awaitable<void> poll_until_open(libpq_parameters parameters);
    void attach();
    void finish() noexcept;
    void abort() noexcept;
    void cut_now() noexcept;

    // The end of a handler that failed at what nobody waits for.
    struct failure_end {
        std::weak_ptr<postgres_session> session;
        void operator()(const std::exception_ptr&) const noexcept {
            if (const auto self = session.lock()) self->cut_now();
        }
    };
    // Its next user learns that the session is lost.
    failure_end on_failure() noexcept { return {weak_from_this()}; }

    void shut_down() noexcept;
    error dial_error() const;

    asio::awaitable<result> do_run(statement sql, params values);
    asio::awaitable<std::vector<result>> do_script(statement sql);
    asio::awaitable<void> do_commit();
    asio::awaitable<void> do_clean(std::chrono::milliseconds timeout);
    asio::awaitable<void> do_clean_up();
    asio::awaitable<bool> do_probe(std::chrono::milliseconds timeout);
    asio::awaitable<void> probe_or_abort(std::chrono::milliseconds timeout);
    void end_watch();
    void do_watch();
    void watch_event(std::uint64_t generation, const boost::system::error_code& failure);

    // postgres_exchange.cpp: what is asked, and what the answers mean.
    asio::awaitable<void> exchange(const statement& sql, const params& values, kind how,
                                   phase when);
    time_point deadline_of(const statement& sql) const;
    bool owes_something() const;
    asio::awaitable<void> settle_debts();
    void get_ready();
    asio::awaitable<std::optional<error>> supervise(asio::awaitable<void> talk, time_point deadline,
                                                    phase when);
    asio::awaitable<bool> stop_statement();
    asio::awaitable<bool> settles_before(time_point deadline);
    void conclude(kind how, phase when, const std::optional<error>& interrupted,
                  bool in_transaction);
    bool alive();
    error lost(phase when);
    void take_status();

    // postgres_reset.cpp: what the last borrower left.
    bool send_reset();
    asio::awaitable<void> reset_now();
    error unfit(const std::string& why);
    void require_reset(const std::optional<error>& interrupted);

    // postgres_types.cpp: what the types of an answer are.
    asio::awaitable<void> tell_types(std::vector<result*> answers,
                                     std::chrono::milliseconds timeout);

    // postgres_transfer.cpp: bytes there and back.
    void send(const statement& sql, const params& values, kind how);
    void check_sent(bool sent);
    void check_text(const statement& sql) const;
    bool send_extended(const statement& sql, const params& values);
    bool send_preparation(const statement& sql);
    bool send_bound(const statement& sql);
    void leave_pipeline();
    asio::awaitable<void> settle();
    asio::awaitable<void> flush();
    void take_in();
    bool next_answer(libpq::result& answer);
    void collect(libpq::result answer);

    // postgres_pipeline.cpp: many statements, one trip.
    asio::awaitable<pipeline_results> do_run_pipeline(std::shared_ptr<const pipeline> shared);
    asio::awaitable<void> talk_pipeline(const pipeline& batch);
    bool send_entry(const statement& sql, const params& values, bool sync);
    phase note_batch(const pipeline& batch);
    void take_available();

    // postgres_stream.cpp: rows and COPY, piece by piece.
    asio::awaitable<void> begin_flow(const statement& sql, const params& values);
    asio::awaitable<std::uint64_t> do_start_rows(statement sql, params values);
    asio::awaitable<std::vector<result>> do_next_rows(std::uint64_t stream, std::size_t most);
    void ask_for_pieces(std::size_t most);
    asio::awaitable<void> fill_rows(std::vector<result>& rows, std::size_t most);
    asio::awaitable<copy_start> do_start_copy(statement sql, bool in);
    asio::awaitable<void> await_copy_start(copy_format& format);
    asio::awaitable<void> do_write_copy(std::uint64_t stream, std::string data);
    asio::awaitable<void> put_copy(const std::string& data);
    asio::awaitable<std::uint64_t> do_finish_copy_in(std::uint64_t stream,
                                                     std::optional<std::string> failure);
    asio::awaitable<std::string> do_read_copy(std::uint64_t stream, std::size_t about);
    asio::awaitable<void> fill_copy(std::string& data, std::size_t about);
    asio::awaitable<void> discard_copy();
    asio::awaitable<void> end_flow();
    void require_flow(flow wanted, std::uint64_t stream) const;
    void conclude_flow(const std::optional<error>& interrupted);
    void keep_notifications() {
        if (!notified_) notified_.emplace();
    }
    void take_notifications();
    const char* reported(const char* setting) const {
        return PQparameterStatus(conn_.get(), setting);
    }

    static void receive_notice(void* self, const PGresult* notice);

    const fork_guard birth_;
    strand strand_;
    libpq_socket socket_;
    libpq::connection conn_;

    const std::chrono::milliseconds statement_timeout_;
    const std::chrono::milliseconds cancel_timeout_;
    time_point give_up_at_ = no_deadline;  // when nobody waits for a cancellation any longer
    const std::function<void(const server_message&)> on_notice_;
    const std::shared_ptr<cancel_queue> cancels_;

    bound_parameters bound_;
    statement_cache statements_;
    statement_cache::plan plan_;        // of the statement under way
    int syncs_ = 0;                     // sent, not yet answered
    statement_report report_;           // of the statement under way
    pipeline_report* batch_ = nullptr;  // of the pipeline under way
    open_stream stream_;
    reset_plan reset_;
    type_book types_;
    idle_watch watch_;
    std::optional<std::vector<notification>> notified_;  // none before somebody asks for them
    server_role role_;

    bool under_way_ = false;
    bool send_again_ = false;  // it was refused for being prepared, and did nothing
    bool roll_back_first_ = false;
    bool close_when_done_ = false;

    std::atomic<session_status> status_{session_status::closed};
    std::atomic<int> pid_{0};
    std::atomic<int> descriptor_{-1};
};

}  // namespace bitdotio
