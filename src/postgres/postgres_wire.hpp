// A connection of libpq on Asio: statements go out and answers come in, not yet understood.
#pragma once

#include <bitdotio/connect_options.hpp>
#include <bitdotio/params.hpp>
#include <bitdotio/statement.hpp>

#include "postgres/bound_parameters.hpp"
#include "postgres/dial_parameters.hpp"
#include "postgres/libpq.hpp"
#include "postgres/libpq_socket.hpp"
#include "postgres/statement_cache.hpp"

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <string>
#include <utility>

namespace bitdotio {

/// One libpq connection in nonblocking mode, with the statements that are prepared on it.
///
/// Thread safety: none but where said; it belongs to its session, and is used on its strand.
/// Cancellation: what is awaited here supports terminal, partial and total; bytes may have gone
///     out or come in.
class postgres_wire {
public:
    postgres_wire(const asio::any_io_executor& strand, const connect_options& options);
    ~postgres_wire() { close(); }
    postgres_wire(const postgres_wire&) = delete;
    postgres_wire& operator=(const postgres_wire&) = delete;

    // ---- its life

    /// Opens it; names must be resolved (`hostaddr`), or libpq would block.
    ///
    /// Parameters: `hear` is called with `hearer` and each notice, from now on.
    asio::awaitable<void> open(libpq_parameters parameters, PQnoticeReceiver hear, void* hearer);
    /// Says goodbye, as far as that needs no waiting.
    void close() noexcept;
    /// Ends the connection under libpq, which reads that as its end. A reset instead of a goodbye:
    /// nothing that waits in a buffer may still reach the server.
    void shut_down() noexcept;

    PGconn* conn() const noexcept { return conn_.get(); }
    bool is_open() const noexcept { return conn_ != nullptr; }
    bool is_broken() const noexcept { return PQstatus(conn_.get()) == CONNECTION_BAD; }
    std::string last_words() const {
        return conn_ ? libpq::last_words(conn_.get()) : "it is closed";
    }
    /// What the server reports of a setting; null if it does not.
    const char* reported(const char* setting) const noexcept {
        return PQparameterStatus(conn_.get(), setting);
    }
    /// Whether texts are UTF-8 both ways, as they were when it was opened.
    bool speaks_utf8() const noexcept {
        return !conn_ || PQclientEncoding(conn_.get()) == encoding_;
    }
    /// From any thread; 0 if it is closed.
    int backend_pid() const noexcept { return pid_.load(std::memory_order_relaxed); }
    /// Whether the kernel knows of no end. If something has come, it is still to be looked at.
    bool looks_alive() noexcept;
    /// The server has just ended an answer, and all of it was read.
    void note_heard() noexcept { heard_ = std::chrono::steady_clock::now(); }
    /// Whether that, or a look, is so short a time ago that another look, which costs a system
    /// call, would find nothing that could not as well come while the next statement is on its way.
    bool was_heard_just_now() const noexcept {
        return descriptor_ >= 0 && std::chrono::steady_clock::now() - heard_ < just_now;
    }

    // ---- bytes there and back

    asio::awaitable<void> readable() { return socket_.readable(); }
    /// What `readable` is made of, without a frame of its own: see libpq_socket.
    bool holds_unread() const noexcept { return socket_.holds_unread(); }
    auto wait_readable() { return socket_.wait_readable(); }
    template <class Strand>
    auto wait_readable(const Strand& strand) {
        return socket_.wait_readable(strand);
    }
    asio::awaitable<void> readable_or_writable() { return socket_.readable_or_writable(); }
    bool is_readable() const noexcept { return socket_.is_readable(); }
    template <class Handler>
    void when_readable(Handler handler) {
        socket_.when_readable(std::move(handler));
    }
    template <class Event>
    void on_event(Event event) {
        socket_.on_event(std::move(event));
    }
    void stop_waiting() { socket_.cancel(); }

    /// Sends what the system takes of what libpq has kept. Whether that was all.
    bool is_flushed() { return PQflush(conn_.get()) != 1; }
    /// Sends what libpq has kept. Reads while it writes: with both waiting to be read, neither
    /// side would ever go on.
    asio::awaitable<void> flush();
    /// Takes in what has come. What cannot be taken in because memory is short ends the
    /// connection: a loop would ask for ever.
    void take_in();
    /// Whether an answer is there; null is the end of one.
    bool next_answer(libpq::result& answer) {
        if (PQisBusy(conn_.get())) {
            return false;
        }
        answer.reset(PQgetResult(conn_.get()));
        return true;
    }
    /// Drops what is left of a COPY to us.
    asio::awaitable<void> skip_copy();

    // ---- statements

    void enter_pipeline() noexcept {
        if (!is_in_pipeline()) {
            libpq::forget_pieces(conn_.get());
        }
        PQenterPipelineMode(conn_.get());
    }
    bool is_in_pipeline() const noexcept {
        return PQpipelineStatus(conn_.get()) != PQ_PIPELINE_OFF;
    }
    /// False if half a pipeline stands in the way.
    bool leave_pipeline() noexcept {
        return !is_in_pipeline() || PQexitPipelineMode(conn_.get()) != 0;
    }
    bool send_sync();
    /// Syncs that are not answered yet.
    int syncs() const noexcept { return syncs_; }
    void sync_answered() noexcept { --syncs_; }

    /// Errors: errc::bad_input for a text that libpq would cut.
    static void check(const statement& sql);
    /// The parameters of the statement that is sent next.
    ///
    /// Errors: errc::bad_input if they are more than the protocol can count; nothing was sent.
    void bind(const params& values) {
        is_planned_ = false;
        bound_.bind(values);
    }
    /// Decides how what is bound is sent, for one that wants to know of it before it is.
    void plan(const statement& sql) {
        choose_plan(sql);
        is_planned_ = true;
    }
    /// What is known of the words of the statement that was planned or sent last; null if nothing
    /// is.
    const statement_facts* known() const noexcept { return plan_.known ? &*plan_.known : nullptr; }
    std::size_t bound_octets() const noexcept { return bound_.octets(); }
    /// Sends what is bound, prepared if that is worth it: by itself, or within a pipeline that
    /// was entered and that is synced here too.
    bool send_alone(const statement& sql);
    /// The same within a pipeline, without a sync.
    bool send_part(const statement& sql);
    /// Sends a text without parameters, as one statement or several.
    bool send_text(const std::string& sql) {
        plan_.clear();
        return PQsendQuery(conn_.get(), sql.c_str()) != 0;
    }

    /// What the statement sent last may change in the session.
    session_change changes_of(const std::string& sql) const {
        return plan_.known ? plan_.known->changes : session_changes_of(sql);
    }
    /// All that its words say.
    statement_facts all_of(const std::string& sql) const {
        return plan_.known ? *plan_.known : facts_of(sql);
    }
    /// How the statement sent last was sent; nothing of it is known afterwards.
    statement_cache::plan take_plan() noexcept { return std::exchange(plan_, {}); }
    void forget_plan() noexcept { plan_.clear(); }
    statement_cache& statements() noexcept { return statements_; }

private:
    void choose_plan(const statement& sql);
    bool send_preparation(const statement& sql);
    bool send_bound(const statement& sql);
    error dial_error() const;

    libpq_socket socket_;
    libpq::connection conn_;
    bound_parameters bound_;
    statement_cache statements_;
    statement_cache::plan plan_;  // of the statement sent last
    bool is_planned_ = false;     // what is bound
    static constexpr std::chrono::microseconds just_now{20};

    std::chrono::steady_clock::time_point heard_{};
    int encoding_ = 0;
    int syncs_ = 0;  // sent, not yet answered
    std::atomic<int> pid_{0};
    std::atomic<int> descriptor_{-1};
};

}  // namespace bitdotio
