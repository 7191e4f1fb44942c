// What a statement asks, what its answers mean, and how it is stopped when it takes too long.
#include "postgres/failure.hpp"
#include "postgres/postgres_session.hpp"
#include "postgres/statement_words.hpp"

#include <algorithm>
#include <utility>

namespace bitdotio {

namespace {

error out_of_turn() {
    return error(errc::protocol_violated,
                 "the connection is busy with another operation; await it first, or use a "
                 "connection for each coroutine")
        .with(outcome::not_sent);
}

constexpr std::chrono::milliseconds cancel_interval{250};

std::string stopped_because(const error& interrupted) {
    switch (interrupted.code()) {
        case errc::timeout: return "the statement took too long and was stopped";
        case errc::result_too_large:
            return std::string(interrupted.what()) + "; the statement was stopped";
        default: return "the statement was cancelled and stopped";
    }
}

}  // namespace

postgres_session::turn::turn(postgres_session& session) : session_(session) {
    if (session.under_way_) {
        throw out_of_turn();
    }
    session.under_way_ = true;
}

postgres_session::turn::~turn() {
    session_.under_way_ = false;
    if (session_.close_when_done_) {
        session_.finish();
    }
}

asio::awaitable<result> postgres_session::run(statement sql, params values) {
    return on_own_strand(do_run(std::move(sql), std::move(values)));
}

asio::awaitable<std::vector<result>> postgres_session::script(statement sql) {
    return on_own_strand(do_script(std::move(sql)));
}

asio::awaitable<void> postgres_session::commit() {
    return on_own_strand(do_commit());
}

asio::awaitable<result> postgres_session::do_run(statement sql, params values) {
    const turn mine(*this);
    co_await exchange(sql, values, kind::extended, phase::awaiting_reply);
    if (std::exchange(send_again_, false)) {
        co_await exchange(sql, values, kind::extended, phase::awaiting_reply);
    }
    result answer;
    if (!answers_.empty()) {
        answer = std::move(answers_.back());
        answers_.clear();
    }
    co_return answer;
}

asio::awaitable<std::vector<result>> postgres_session::do_script(statement sql) {
    const turn mine(*this);
    const params none;
    co_await exchange(sql, none, kind::simple, phase::awaiting_reply);
    co_return std::exchange(answers_, {});
}

asio::awaitable<void> postgres_session::do_commit() {
    const turn mine(*this);
    const statement commit("COMMIT");
    const params none;
    co_await exchange(commit, none, kind::simple, phase::committing);
    answers_.clear();
}

// The one who awaits it holds the turn, and what it refers to.
asio::awaitable<void> postgres_session::exchange(const statement& sql, const params& values,
                                                 kind how, phase when) {
    co_await asio::this_coro::reset_cancellation_state(asio::enable_total_cancellation());
    co_await asio::this_coro::throw_if_cancelled(false);
    if (owes_something()) {
        co_await settle_debts();
    }
    const bool alone =
        sql.largest_result() || (how == kind::simple && !is_one_statement(sql.sql()));
    if (owes_reset() && alone) {
        co_await reset_now();
    }
    get_ready();
    note(sql, how);
    if (commits_) {
        when = phase::committing;
    }
    const bool in_transaction = status() == session_status::in_transaction;
    send(sql, values, how);
    const auto interrupted = co_await supervise(settle(), deadline_of(sql), when);
    conclude(how, when, interrupted, in_transaction);
    if (!has_room()) {  // it has ended all the same
        answers_.clear();
        throw too_large().with(phase::replied).with(outcome::executed);
    }
    if (commits(sql.sql())) {
        require_commit(how);
    }
}

// To commit a transaction that has failed, or to prepare it, rolls it back, which the server does
// not call an error. It would be taken for success.
void postgres_session::require_commit(kind how) {
    if (answers_.empty()) {
        return;
    }
    const result& answer = how == kind::simple ? answers_.front() : answers_.back();
    if (answer.command_tag() == "ROLLBACK") {
        answers_.clear();
        throw refused_commit(std::exchange(failed_by_, {}));
    }
}

// What has to be known of a statement to say what its failure means.
void postgres_session::note(const statement& sql, kind how) {
    const bool open = status() == session_status::in_transaction;
    if (!open) {
        failed_by_ = {};
    }
    // A text of several statements may commit anywhere.
    in_transaction_ = open && (how == kind::extended || !may_commit(sql.sql()));
    midway_ = !open && may_commit_midway(sql.sql());
    commits_ = how == kind::extended && commits(sql.sql());
    changed_ = changed_ | session_changes_of(sql.sql());
}

stage postgres_session::stage_at(phase when) const {
    switch (when) {
        case phase::none:
        case phase::sending: return stage::leased;
        case phase::committing: return stage::committing;
        default: return in_transaction_ ? stage::in_transaction : stage::sent;
    }
}

time_point postgres_session::deadline_of(const statement& sql) const {
    return deadline_after(sql.timeout().value_or(statement_timeout_));
}

// Before anything is said: the watch ends, and what the server said meanwhile is heard.
void postgres_session::get_ready() {
    end_watch();
    if (!alive()) {
        throw lost(phase::sending);
    }
    answers_.clear();
    bounded_.reset();
    refusal_ = {};
    committed_ = {};
    in_transaction_ = false;
    midway_ = false;
    copy_started_ = false;
    reset_failure_.reset();
}

bool postgres_session::owes_something() const {
    return flow_ != flow::none || roll_back_first_;
}

// What was left behind goes first: a stream nobody reads any more, a transaction nobody finished.
asio::awaitable<void> postgres_session::settle_debts() {
    if (flow_ != flow::none && !flow_abandoned_) {
        throw error(errc::protocol_violated,
                    "a stream is open on the connection; read it to its end, or drop it first")
            .with(outcome::not_sent);
    }
    if (flow_ != flow::none) {
        co_await end_flow();
    }
    get_ready();
    if (std::exchange(roll_back_first_, false) && status() == session_status::in_transaction) {
        const statement rollback("ROLLBACK");
        const params none;
        send(rollback, none, kind::simple);
        const auto interrupted =
            co_await supervise(settle(), deadline_after(cancel_timeout_), phase::sending);
        conclude(kind::simple, phase::sending, interrupted, true);
        if (interrupted) {  // the caller has given up before its own statement was sent
            throw interrupted->with(phase::sending).with(outcome::not_sent);
        }
    }
}

// Lets the session talk until the deadline or a cancellation, which stop the statement on the
// server. What interrupted it is told, unless the session did not survive it.
asio::awaitable<std::optional<error>> postgres_session::supervise(asio::awaitable<void> talk,
                                                                  time_point deadline, phase when) {
    std::optional<error> interrupted;
    try {
        co_await with_deadline(std::move(talk), deadline);
    } catch (const error& failure) {
        interrupted = failure;
    }
    if (!interrupted) {
        co_return std::nullopt;
    }
    co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
    const bool stopped = co_await stop_statement();
    if (!stopped) {
        abort();
        const bool commit = when == phase::committing;
        const outcome known = judge(stage_at(when), failure_facts()).outcome;
        throw error(commit ? errc::commit_outcome_unknown : interrupted->code(),
                    std::string("the statement was given up and its connection cut, because the "
                                "server did not acknowledge the cancellation; ") +
                        (in_transaction_ && !commit ? "its transaction is rolled back"
                                                    : "whether it was executed is unknown"))
            .with(when)
            .with(known);
    }
    co_return interrupted;
}

// Cancels on the server and takes in the answers. The session is idle again only when both have
// ended: a cancel still on its way would hit the next statement.
asio::awaitable<bool> postgres_session::stop_statement() {
    if (flow_ == flow::copy_in) {
        PQputCopyEnd(conn_.get(), "given up by the client");
        flow_ = flow::rows;
        co_return co_await settles_before(std::min(deadline_after(cancel_timeout_), give_up_at_));
    }
    if (PQsocket(conn_.get()) < 0 || !is_stoppable()) {
        co_return false;
    }
    const time_point deadline = std::min(deadline_after(cancel_timeout_), give_up_at_);
    try {
        // Before the whole statement is there, the server would ignore it; and where several run,
        // it stops only one: so it is repeated.
        co_await with_deadline(flush(), deadline);
        while (true) {
            co_await with_deadline(cancels_->request(conn_.get()), deadline);
            const time_point again = std::min(deadline, deadline_after(cancel_interval));
            const bool settled = co_await settles_before(again);
            if (settled || again == deadline) {
                co_return settled;
            }
        }
    } catch (const error&) {
        co_return false;
    }
}

asio::awaitable<bool> postgres_session::settles_before(time_point deadline) {
    try {
        co_await with_deadline(settle(), deadline);
    } catch (const error&) {
        co_return false;
    }
    co_return true;
}

// What the answers mean for the caller, and for the session from here on.
void postgres_session::conclude(kind how, phase when, const std::optional<error>& interrupted,
                                bool in_transaction) {
    if (copy_started_) {
        abort();
        throw error(errc::bad_input,
                    "COPY from or to the client does not go through query, script or a pipeline: "
                    "use copy_in or copy_out; the connection was closed")
            .with(outcome::not_executed);
    }
    if (PQstatus(conn_.get()) == CONNECTION_BAD) {
        throw lost(when);
    }
    require_reset(interrupted);
    leave_pipeline();
    take_status();
    if (!refused()) {
        if (!answers_.empty() && (answers_.back().command_tag() == "DEALLOCATE ALL" ||
                                  answers_.back().command_tag() == "DISCARD ALL")) {
            statements_.clear();
        }
        if (const auto executed = unconfirmed(when, interrupted)) {
            throw *executed;
        }
        return;  // also where a cancel came too late: it ended well
    }
    if (in_transaction && !echoes_earlier(refusal_)) {
        failed_by_ = refusal_;
    }
    const bool several = how == kind::simple && !answers_.empty();
    const bool was_prepared = std::exchange(answers_, {}).size() >= plan_.parts - 1;
    if (heal(was_prepared) && !in_transaction && !interrupted) {
        send_again_ = true;
        return;
    }
    // Of a script, what went before the failed statement may have been committed by it.
    midway_ = midway_ || several;
    throw refusal_error(when, interrupted);
}

bool postgres_session::refused() const {
    return !refusal_.sqlstate.empty() || !refusal_.message.empty();
}

error postgres_session::refusal_error(phase when, const std::optional<error>& interrupted) {
    error failure = refused_statement(stage_at(when), std::exchange(refusal_, {}), midway_);
    if (interrupted && was_stopped(failure.sqlstate())) {
        failure =
            failure.with_code(interrupted->code()).with_message(stopped_because(*interrupted));
    }
    return failure;
}

// After a refusal: what it says about the prepared statement. True if the statement was refused
// for that alone, and provably did nothing.
bool postgres_session::heal(bool was_prepared) {
    const statement_cache::plan plan = std::exchange(plan_, {});
    if (plan.what == statement_cache::action::unnamed) {
        return false;
    }
    const plan_verdict found = judge_plan(refusal_);
    if (found == plan_verdict::missing) {
        // Somebody deallocated it, or a pooler gave us another server connection: then preparing
        // would go on failing.
        statements_.clear();
        if (++strangers_ == 2) {
            statements_.disable();
        }
        return true;
    }
    if (!was_prepared) {
        statements_.forget(plan.name);
        return false;
    }
    if (found == plan_verdict::outdated) {
        statements_.evict(plan.name);
        return true;
    }
    return false;
}

error postgres_session::lost(phase when) {
    failure_facts facts;
    facts.midway = midway_;
    facts.committed = !committed_.message.empty();
    const bool said = refusal_.severity == "FATAL" || refusal_.severity == "PANIC";
    facts.said = facts.committed ? committed_ : said ? std::move(refusal_) : goodbye_;
    error failure = lost_connection(stage_at(when), std::move(facts),
                                    conn_ ? libpq::last_words(conn_.get()) : "it is closed");
    finish();
    return failure;
}

// The statement ended well, but the server had stopped waiting for its standby: cancelled by us,
// or by somebody else.
std::optional<error> postgres_session::unconfirmed(phase when,
                                                   const std::optional<error>& interrupted) {
    if (committed_.message.empty()) {
        return std::nullopt;
    }
    const error told = unconfirmed_commit(stage_at(when), std::exchange(committed_, {}));
    return interrupted ? told.with_code(interrupted->code()) : told;
}

}  // namespace bitdotio
