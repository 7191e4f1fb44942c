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
    result answer = report_.take_last_answer();
    const std::vector<result*> told{&answer};
    co_await tell_types(told, sql.timeout().value_or(statement_timeout_));
    co_return answer;
}

asio::awaitable<std::vector<result>> postgres_session::do_script(statement sql) {
    const turn mine(*this);
    const params none;
    co_await exchange(sql, none, kind::simple, phase::awaiting_reply);
    std::vector<result> answers = report_.take_answers();
    const auto told = type_book::answers_of(answers);
    co_await tell_types(told, sql.timeout().value_or(statement_timeout_));
    co_return answers;
}

asio::awaitable<void> postgres_session::do_commit() {
    const turn mine(*this);
    const statement commit("COMMIT");
    const params none;
    co_await exchange(commit, none, kind::simple, phase::committing);
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
    if (reset_.is_due() && alone) {
        co_await reset_now();
    }
    get_ready();
    const bool in_transaction = status() == session_status::in_transaction;
    report_.note(sql, how == kind::extended, in_transaction);
    reset_.note(sql.sql());
    types_.note(sql.sql());
    if (report_.commits()) {
        when = phase::committing;
    }
    send(sql, values, how);
    const auto interrupted = co_await supervise(settle(), deadline_of(sql), when);
    conclude(how, when, interrupted, in_transaction);
    if (!report_.has_room()) {  // it has ended all the same
        report_.take_answers();
        throw report_.too_large().with(phase::replied).with(outcome::executed);
    }
    if (commits(sql.sql())) {
        report_.require_commit(how == kind::simple);
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
    report_.begin();
    reset_.forget_failure();
}

bool postgres_session::owes_something() const {
    return stream_.is_open() || roll_back_first_;
}

// What was left behind goes first: a stream nobody reads any more, a transaction nobody finished.
asio::awaitable<void> postgres_session::settle_debts() {
    if (stream_.is_open() && !stream_.is_abandoned()) {
        throw error(errc::protocol_violated,
                    "a stream is open on the connection; read it to its end, or drop it first")
            .with(outcome::not_sent);
    }
    if (stream_.is_open()) {
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
        const outcome known = judge(report_.stage_at(when), failure_facts()).outcome;
        throw error(
            commit ? errc::commit_outcome_unknown : interrupted->code(),
            std::string("the statement was given up and its connection cut, because the "
                        "server did not acknowledge the cancellation; ") +
                (report_.is_in_transaction() && !commit ? "its transaction is rolled back"
                                                        : "whether it was executed is unknown"))
            .with(when)
            .with(known);
    }
    co_return interrupted;
}

// Cancels on the server and takes in the answers. The session is idle again only when both have
// ended: a cancel still on its way would hit the next statement.
asio::awaitable<bool> postgres_session::stop_statement() {
    if (stream_.is(flow::copy_in)) {
        PQputCopyEnd(conn_.get(), "given up by the client");
        stream_.await_answers();
        co_return co_await settles_before(std::min(deadline_after(cancel_timeout_), give_up_at_));
    }
    if (PQsocket(conn_.get()) < 0 || (batch_ && !batch_->is_stoppable())) {
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
    if (report_.has_copy_started()) {
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
    const std::vector<result>& answers = report_.answers();
    if (!report_.is_refused()) {
        if (!answers.empty() && (answers.back().command_tag() == "DEALLOCATE ALL" ||
                                 answers.back().command_tag() == "DISCARD ALL")) {
            statements_.clear();
        }
        if (const auto executed = report_.unconfirmed(when, interrupted)) {
            throw *executed;
        }
        return;  // also where a cancel came too late: it ended well
    }
    if (in_transaction) {
        report_.fail_transaction(report_.refusal());
    }
    const std::size_t answered = report_.take_answers().size();
    const auto plan = std::exchange(plan_, {});
    const bool well =
        statements_.refused(plan, judge_plan(report_.refusal()), answered >= plan.parts - 1);
    if (well && !in_transaction && !interrupted) {
        send_again_ = true;
        return;
    }
    if (how == kind::simple && answered > 0) {
        report_.may_have_committed();
    }
    throw report_.refusal_error(when, interrupted);
}

error postgres_session::lost(phase when) {
    const error failure =
        report_.loss(when, conn_ ? libpq::last_words(conn_.get()) : "it is closed");
    finish();
    return failure;
}

}  // namespace bitdotio
