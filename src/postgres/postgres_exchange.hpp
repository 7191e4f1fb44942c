// What is asked of a server over its connection, one thing at a time, and what the answers mean.
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
#include "base/strand.hpp"
#include "postgres/cancel_queue.hpp"
#include "postgres/deferred_begin.hpp"
#include "postgres/failure.hpp"
#include "postgres/host_choice.hpp"
#include "postgres/idle_watch.hpp"
#include "postgres/open_stream.hpp"
#include "postgres/pipeline_report.hpp"
#include "postgres/postgres_wire.hpp"
#include "postgres/reset_plan.hpp"
#include "postgres/statement_report.hpp"
#include "postgres/type_book.hpp"

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>

#include <atomic>
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

/// The conversation with a server. What awaits is one operation each; see postgres_session for
/// what they do, which enters the strand for them.
///
/// Thread safety: none but that of `status`, `backend_pid` and `has_stream`; it belongs to its
///     session, and is used on its strand.
class postgres_exchange {
    friend class shared_pipeline;  // an operation in a file of its own

public:
    postgres_exchange(const asio::any_io_executor& home, const connect_options& options,
                      std::shared_ptr<cancel_queue> cancels);

    asio::awaitable<void> open(libpq_parameters parameters, time_point deadline);
    /// Runs one statement.
    ///
    /// Lifetime: its caller keeps what it hands over until the end.
    asio::awaitable<result> answer(const statement& sql, const params& values);

    // postgres_plain.cpp: the way of most statements.
    using strand = bitdotio::strand;

    /// Whether a statement needs no more than to be sent and answered: nothing goes before it but
    /// what travels with it, and there is no time limit.
    bool is_plain(const statement& sql) const noexcept {
        return !owes_something() && !sql.largest_result() &&
               sql.timeout().value_or(statement_timeout_).count() == 0;
    }
    /// As `answer`, for a guest on the strand `home`, see `enter_strand`, whom nobody can cancel.
    asio::awaitable<result> answer_for(const strand& home, const statement& sql,
                                       const params& values) {
        return is_plain(sql) ? answer_plainly(home, sql, values)
                             : within_strand(home, answer(sql, values));
    }
    /// The same for one that is plain.
    asio::awaitable<result> answer_plainly(const strand& home, const statement& sql,
                                           const params& values);
    class plain_answer;
    /// What is left to do of a plain statement that takes more than to wait for its answer.
    asio::awaitable<result> finish_plainly(plain_answer& one);
    asio::awaitable<std::vector<result>> script(statement sql);
    asio::awaitable<void> commit();
    /// The same for a guest on the strand `home` whom nobody can cancel.
    asio::awaitable<void> commit_for(const strand& home);
    asio::awaitable<pipeline_results> run_pipeline(std::shared_ptr<const pipeline> shared);
    /// The same for such a guest.
    asio::awaitable<pipeline_results> run_pipeline_for(const strand& home,
                                                       std::shared_ptr<const pipeline> shared);

    asio::awaitable<std::uint64_t> start_rows(statement sql, params values, time_point until);
    asio::awaitable<std::uint64_t> start_script(statement sql, bool alone,
                                                time_point until = no_deadline);
    asio::awaitable<std::vector<result>> next_rows(std::uint64_t stream, std::size_t most,
                                                   time_point until);
    asio::awaitable<wire::row_span> fetch_rows(std::uint64_t stream, std::size_t most,
                                               time_point until);
    bool has_stream(std::uint64_t stream) const noexcept { return stream_.is_held(stream); }
    asio::awaitable<copy_start> start_copy(statement sql, bool in);
    asio::awaitable<void> write_copy(std::uint64_t stream, std::string data);
    asio::awaitable<std::uint64_t> finish_copy_in(std::uint64_t stream,
                                                  std::optional<std::string> failure);
    asio::awaitable<std::string> read_copy(std::uint64_t stream, std::size_t about);
    void abandon_stream(std::uint64_t stream) noexcept { stream_.abandon(stream); }

    /// Ends what its user left: streams, a transaction. Throws nothing; idle or closed afterwards.
    asio::awaitable<void> clean(std::chrono::milliseconds timeout);
    void roll_back_first() noexcept { roll_back_first_ = true; }
    void reset_first(session_reset how);

    /// From any thread: an idle session counts as in a transaction, and `begin_first` follows.
    /// False if it is not idle.
    bool promise_begin() noexcept {
        auto idle = session_status::idle;
        return status_.compare_exchange_strong(idle, session_status::in_transaction);
    }
    /// The next statement begins a transaction first, with this text.
    void begin_first(std::string text) noexcept;
    /// Ends a transaction that was promised and of which nothing was sent; false if there is none.
    asio::awaitable<bool> end_unbegun();
    bool owes_begin() const noexcept { return begin_.is_due(); }
    bool has_begun() const noexcept { return begin_.has_begun(); }
    /// Asks for a sign of life: a lone Sync. Without one it is closed.
    asio::awaitable<void> probe(std::chrono::milliseconds timeout);

    // ---- between operations

    /// Takes in what came while nothing was asked, and tells a NOTIFY from a goodbye.
    bool is_alive();
    /// The same before something is sent: what was heard just now is not looked at once more.
    bool is_still_alive() { return wire_.was_heard_just_now() || is_alive(); }
    idle_watch& watch() noexcept { return watch_; }
    /// Calls `event` once, with an error if the wait for something to read ended otherwise. It
    /// must be noexcept.
    template <class Event>
    void when_readable(Event event) {
        wire_.when_readable(std::move(event));
    }
    /// The notifications that have come are kept from now on; those there are so far.
    std::vector<notification>& notifications();

    // ---- its state

    bool is_open() const noexcept { return wire_.is_open(); }
    bool is_under_way() const noexcept { return under_way_; }
    bool has_notifications() const noexcept { return notified_ && !notified_->empty(); }
    const server_message& goodbye() const noexcept { return report_.goodbye(); }
    const server_role& role() const noexcept { return role_; }
    session_status status() const noexcept { return status_.load(std::memory_order_acquire); }
    int backend_pid() const noexcept { return wire_.backend_pid(); }
    bool looks_alive() noexcept { return wire_.looks_alive(); }

    // ---- its end

    /// From any thread: nobody is to begin anything any more.
    void refuse_more() noexcept { status_ = session_status::closed; }
    /// Says goodbye and closes, once nothing is under way.
    void close() noexcept;
    /// Ends it at once and without a goodbye; what is under way ends as a lost connection.
    ///
    /// Parameters: `why`, for the error of its user.
    void cut(std::string why) noexcept;

private:
    enum class kind { extended, simple };

    // One operation at a time: whoever holds it talks to the server.
    class turn {
    public:
        /// Errors: errc::protocol_violated if another operation is under way.
        explicit turn(postgres_exchange& whose);
        ~turn();
        turn(const turn&) = delete;

    private:
        postgres_exchange& whose_;
    };

    asio::awaitable<void> ask(const statement& sql, const params& values, kind how, phase when);
    bool begin_asking(const statement& sql, const params& values, kind how, phase& when);
    bool take_all_there_is();
    bool take_answers();
    void get_ready();
    void end_watch();
    bool owes_something() const noexcept {
        return stream_.is_open() || roll_back_first_ || has_other_encoding();
    }
    // What fails with its transaction goes back with it.
    bool has_other_encoding() const noexcept {
        return !wire_.speaks_utf8() && PQtransactionStatus(wire_.conn()) != PQTRANS_INERROR;
    }
    asio::awaitable<void> settle_debts();
    void send(const statement& sql, const params& values, kind how);
    void prepare(const statement& sql, const params& values, kind how);
    void send_prepared(const statement& sql, kind how);
    void require_sent(bool sent);
    asio::awaitable<void> settle();
    asio::awaitable<void> settle_for(const strand& home);
    void collect(libpq::result answer);
    void conclude(kind how, phase when, const std::optional<error>& interrupted,
                  bool in_transaction);
    error lost(phase when);
    std::string words_of_loss() const {
        return cut_because_.empty() ? wire_.last_words() : cut_because_;
    }
    void take_status();
    void finish() noexcept;
    void abort() noexcept;
    void take_notifications();
    static void receive_notice(void* self, const PGresult* notice);

    // postgres_interrupt.cpp: what takes too long, or was given up, is stopped on the server.
    asio::awaitable<std::optional<error>> supervise(asio::awaitable<void> talk, time_point deadline,
                                                    phase when);
    asio::awaitable<bool> stop_statement();
    asio::awaitable<bool> settles_before(time_point deadline);

    // postgres_reset.cpp: what statements change for those after them.
    bool send_reset();
    asio::awaitable<void> reset_now();
    error unfit(const std::string& why);
    void require_reset(const std::optional<error>& interrupted);
    void note_changes(const std::string& sql) { note_changes(sql, wire_.changes_of(sql)); }
    void note_changes(const std::string& sql, session_change changes);
    void note_meanings(std::string_view command_tag);
    void forget_meanings();
    asio::awaitable<void> restore_encoding();
    static error changed_encoding();

    // postgres_transaction.cpp: a BEGIN with the first statement, or ahead of it.
    bool goes_ahead() const noexcept { return begin_.is_due() || reset_.is_due(); }
    bool send_begin();
    asio::awaitable<void> begin_now();
    asio::awaitable<void> prepare_alone();
    bool drop_begin() noexcept;

    // postgres_types.cpp: what the types of an answer are.
    asio::awaitable<void> tell_types(std::vector<result*> answers,
                                     std::chrono::milliseconds timeout);

    // postgres_pipeline.cpp: many statements, one trip.
    static void check_batch(const pipeline& batch);
    void require_outside(const pipeline& batch) const;
    bool needs_trips_before(const pipeline& batch) const;
    asio::awaitable<void> go_before(const pipeline& batch);
    phase begin_batch(const pipeline& batch);
    asio::awaitable<void> talk_pipeline(const pipeline& batch);
    void send_ahead();
    bool send_next(const pipeline& batch, std::size_t& next);
    asio::awaitable<void> push();
    void take_available();
    void end_batch(std::optional<error>& cut, const std::optional<error>& interrupted, phase when);
    asio::awaitable<void> fail_with(error failure);

    // postgres_stream.cpp: rows and COPY, piece by piece.
    asio::awaitable<void> begin_stream(const statement& sql, const params& values, kind how);
    asio::awaitable<void> flush_stream(time_point until);
    void ask_for_pieces(std::size_t most);
    asio::awaitable<void> fill_rows(std::vector<result>& rows, std::size_t most);
    bool gather_rows(row_batch& rows, std::size_t most);
    void add_rows(row_batch& rows, libpq::result& answer);
    asio::awaitable<void> await_rows(row_batch& rows, std::size_t most);
    asio::awaitable<void> await_copy_start(copy_format& format);
    asio::awaitable<void> put_copy(const std::string& data);
    asio::awaitable<void> fill_copy(std::string& data, std::size_t about);
    asio::awaitable<void> end_stream();
    void require_stream(open_stream::kind wanted, std::uint64_t stream) const;
    void conclude_stream(const std::optional<error>& interrupted);

    const std::chrono::milliseconds statement_timeout_;
    const std::chrono::milliseconds cancel_timeout_;
    time_point give_up_at_ = no_deadline;  // when nobody waits for a cancellation any longer
    const std::function<void(const server_message&)> on_notice_;
    const std::shared_ptr<cancel_queue> cancels_;

    postgres_wire wire_;
    statement_report report_;           // of the statement under way
    pipeline_report* batch_ = nullptr;  // of the pipeline under way
    open_stream stream_;
    reset_plan reset_;
    deferred_begin begin_;
    type_book types_;
    idle_watch watch_;
    std::optional<std::vector<notification>> notified_;  // none before somebody asks for them
    server_role role_;

    bool meanings_changed_ = false;        // what plans inferred may be wrong
    bool changed_in_transaction_ = false;  // the same again if it is rolled back
    bool path_changed_ = false;            // the same again when the session is reset
    bool may_be_changed_ = false;          // since it came back the last time
    bool under_way_ = false;
    bool send_again_ = false;  // it was refused for being prepared, and did nothing
    bool roll_back_first_ = false;
    bool close_when_done_ = false;
    std::string cut_because_;
    std::atomic<session_status> status_{session_status::closed};
};

}  // namespace bitdotio
