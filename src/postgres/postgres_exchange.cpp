// What a statement asks, and what its answers mean.
#include "postgres/postgres_exchange.hpp"

#include <bitdotio/named.hpp>

#include "postgres/failure.hpp"
#include "postgres/statement_words.hpp"

#include <utility>

namespace bitdotio {

namespace {

error out_of_turn() {
    return error(errc::protocol_violated,
                 "the connection is busy with another operation; await it first, or use a "
                 "connection for each coroutine")
        .with(outcome::not_sent);
}

// A setting that is on or off; nothing if the server does not report it.
std::optional<bool> is_on(const char* value) {
    return value ? std::optional(std::string_view(value) == "on") : std::nullopt;
}

}  // namespace

postgres_exchange::postgres_exchange(const asio::any_io_executor& home,
                                     const connect_options& options,
                                     std::shared_ptr<cancel_queue> cancels)
    : statement_timeout_(options.statement_timeout),
      cancel_timeout_(options.cancel_timeout),
      on_notice_(options.on_notice),
      cancels_(std::move(cancels)),
      wire_(home, options) {}

postgres_exchange::turn::turn(postgres_exchange& whose) : whose_(whose) {
    if (whose.under_way_) {
        throw out_of_turn();
    }
    whose.under_way_ = true;
}

postgres_exchange::turn::~turn() {
    whose_.under_way_ = false;
    if (whose_.close_when_done_) {
        whose_.finish();
    }
}

asio::awaitable<void> postgres_exchange::open(libpq_parameters parameters, time_point deadline) {
    co_await asio::this_coro::reset_cancellation_state(asio::enable_total_cancellation());
    co_await asio::this_coro::throw_if_cancelled(false);
    try {
        auto opening = wire_.open(std::move(parameters), &postgres_exchange::receive_notice, this);
        co_await with_deadline(std::move(opening), deadline);
    } catch (const error& failure) {
        abort();
        if (failure.code() == errc::timeout) {
            throw error(errc::timeout, "cannot connect: the server did not answer in time")
                .with(phase::connecting)
                .with(outcome::not_sent);
        }
        throw;
    }
    role_.standby = is_on(wire_.reported("in_hot_standby"));
    role_.read_only = is_on(wire_.reported("default_transaction_read_only"));
    reset_.begin([this](const char* setting) { return wire_.reported(setting); });
    take_status();
}

asio::awaitable<result> postgres_exchange::answer(const statement& sql, const params& values) {
    const turn mine(*this);
    co_await ask(sql, values, kind::extended, phase::awaiting_reply);
    if (std::exchange(send_again_, false)) {
        co_await ask(sql, values, kind::extended, phase::awaiting_reply);
    }
    result answer = report_.take_last_answer();
    if (type_book::concerns(answer)) {
        std::vector<result*> told{&answer};
        co_await tell_types(std::move(told), sql.timeout().value_or(statement_timeout_));
    }
    co_return answer;
}

asio::awaitable<std::vector<result>> postgres_exchange::script(statement sql) {
    const turn mine(*this);
    const params none;
    co_await ask(sql, none, kind::simple, phase::awaiting_reply);
    std::vector<result> answers = report_.take_answers();
    std::vector<result*> told = type_book::concerned(answers);
    if (!told.empty()) {
        co_await tell_types(std::move(told), sql.timeout().value_or(statement_timeout_));
    }
    co_return answers;
}

asio::awaitable<void> postgres_exchange::commit() {
    const turn mine(*this);
    const statement commit("COMMIT");
    const params none;
    co_await ask(commit, none, kind::simple, phase::committing);
}

// The one who awaits it holds the turn, and what it refers to.
asio::awaitable<void> postgres_exchange::ask(const statement& sql, const params& values, kind how,
                                             phase when) {
    co_await asio::this_coro::reset_cancellation_state(asio::enable_total_cancellation());
    co_await asio::this_coro::throw_if_cancelled(false);
    if (owes_something()) {
        co_await settle_debts();
    }
    const bool alone =
        sql.largest_result() || (how == kind::simple && !is_one_statement(sql.sql()));
    if (alone && goes_ahead()) {
        co_await prepare_alone();
    }
    const bool in_transaction = begin_asking(sql, values, how, when);
    const time_point deadline = deadline_after(sql.timeout().value_or(statement_timeout_));
    const auto interrupted = co_await supervise(settle(), deadline, when);
    conclude(how, when, interrupted, in_transaction);
    if (has_other_encoding()) {
        co_await restore_encoding();
        throw changed_encoding();
    }
    if (!report_.has_room()) {  // it has ended all the same
        report_.take_answers();
        throw report_.too_large().with(phase::replied).with(outcome::executed);
    }
    if (report_.commits() || (how == kind::simple && commits(sql.sql()))) {
        report_.require_commit(how == kind::simple);
    }
}

// Sends what is asked, and returns whether that is in a transaction.
bool postgres_exchange::begin_asking(const statement& sql, const params& values, kind how,
                                     phase& when) {
    get_ready();
    send_again_ = false;  // that of another statement, which failed otherwise after all
    const bool in_transaction = status() == session_status::in_transaction;
    prepare(sql, values, how);
    report_.note(sql, how == kind::extended, in_transaction, wire_.known());
    if (report_.commits()) {
        when = phase::committing;
    }
    send_prepared(sql, how);
    note_changes(sql.sql());
    return in_transaction;
}

// Before anything is said: the watch ends, and what the server said meanwhile is heard.
void postgres_exchange::get_ready() {
    end_watch();
    if (!is_still_alive()) {
        throw lost(phase::sending);
    }
    report_.begin();
    reset_.forget_failure();
    forget_meanings();
}

// What was left behind goes first: a stream nobody reads any more, a transaction nobody finished.
asio::awaitable<void> postgres_exchange::settle_debts() {
    if (stream_.is_open() && !stream_.is_abandoned()) {
        throw error(errc::protocol_violated,
                    "a stream is open on the connection; read it to its end, or drop it first")
            .with(outcome::not_sent);
    }
    if (stream_.is_open()) {
        co_await end_stream();
    }
    get_ready();
    roll_back_first_ = roll_back_first_ && !drop_begin();
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
    if (has_other_encoding()) {
        co_await restore_encoding();
    }
}

void postgres_exchange::send(const statement& sql, const params& values, kind how) {
    prepare(sql, values, how);
    send_prepared(sql, how);
}

// Refuses what cannot be sent: half a pipeline could not be taken back. A reset that is due may
// take away what is planned so early.
void postgres_exchange::prepare(const statement& sql, const params& values, kind how) {
    postgres_wire::check(sql);
    wire_.forget_plan();
    wire_.bind(values);
    if (sql.largest_result()) {
        return;
    }
    if (reset_.is_due()) {
        wire::check_count(sql.sql(), values.size());
    } else if (how == kind::extended) {
        wire_.plan(sql);
    }
}

// What is due to be undone, and BEGIN, go ahead of one statement, in a pipeline; of all others
// they went before.
void postgres_exchange::send_prepared(const statement& sql, kind how) {
    if (sql.largest_result()) {
        statement alone(sql);
        alone.unprepared();  // in a pipeline, rows in pieces would have to be asked for in between
        require_sent(how == kind::extended ? wire_.send_alone(alone) : wire_.send_text(sql.sql()));
        report_.limit(*sql.largest_result());
        libpq::ask_for_pieces(wire_.conn(), 100);
    } else if (goes_ahead()) {
        wire_.enter_pipeline();
        require_sent((!reset_.is_due() || send_reset()) && (!begin_.is_due() || send_begin()));
        require_sent(wire_.send_alone(
            how == kind::extended ? sql : statement(sql).unprepared().text_results()));
    } else {
        require_sent(how == kind::extended ? wire_.send_alone(sql) : wire_.send_text(sql.sql()));
    }
    status_ = session_status::busy;
}

// What libpq refuses to send was malformed, as long as the connection is well.
void postgres_exchange::require_sent(bool sent) {
    if (sent) {
        return;
    }
    if (wire_.is_broken()) {
        throw lost(phase::awaiting_reply);  // part of it may have gone out
    }
    const error refused =
        error(errc::bad_input, "cannot send: " + wire_.last_words()).with(outcome::not_sent);
    if (!wire_.leave_pipeline()) {
        abort();  // half a pipeline cannot be taken back
    }
    throw refused;
}

// Until every answer has come. Ends well also when the connection breaks: `conclude` sees that.
asio::awaitable<void> postgres_exchange::settle() {
    co_await asio::this_coro::reset_cancellation_state(asio::enable_total_cancellation());
    co_await asio::this_coro::throw_if_cancelled(false);
    ask_for_pieces(1);  // of a stream that ends before its first rows were asked for
    if (!wire_.is_flushed()) {
        co_await wire_.flush();
    }
    if (stream_.is(open_stream::kind::copy_out)) {
        co_await wire_.skip_copy();
    }
    while (!take_all_there_is()) {
        const auto [failure] = co_await wire_.wait_readable();
        if (failure) {
            throw waiting_cancelled();
        }
        wire_.take_in();
    }
}

// Takes in what there is without waiting. Whether all was answered.
bool postgres_exchange::take_all_there_is() {
    // Never wait first: bytes may sit in libpq's buffer, where no event will announce them.
    while (!take_answers()) {
        if (!wire_.holds_unread()) {
            return false;
        }
        wire_.take_in();
    }
    return true;
}

// Takes the answers that are there. Whether they are all.
bool postgres_exchange::take_answers() {
    libpq::result answer;
    while (wire_.next_answer(answer)) {
        // In a pipeline NULL is not the end, but the last sync, which never comes if the server
        // goes away.
        if (!answer && (wire_.syncs() == 0 || wire_.is_broken())) {
            return true;
        }
        const bool had_room = report_.has_room();
        collect(std::move(answer));
        if (report_.has_copy_started()) {
            return true;
        }
        if (had_room && !report_.has_room()) {  // once: what comes from here on is dropped
            throw report_.too_large();
        }
    }
    return false;
}

void postgres_exchange::collect(libpq::result answer) {
    if (reset_.swallow(answer.get()) || begin_.swallow(answer.get())) {
        return;
    }
    const bool syncs = answer && PQresultStatus(answer.get()) == PGRES_PIPELINE_SYNC;
    if (syncs) {
        wire_.sync_answered();
    }
    if (answer && PQresultStatus(answer.get()) == PGRES_COMMAND_OK) {
        note_meanings(PQcmdStatus(answer.get()));
    }
    if (batch_) {
        const bool broken = wire_.is_broken();
        if (const auto refused = batch_->add(std::move(answer), broken)) {
            // For the next time: here the statements after it may have run already.
            wire_.statements().refused(refused->plan, judge_plan(refused->said),
                                       refused->was_prepared);
        }
    } else if (answer && !syncs) {
        report_.add(std::move(answer));
    }
}

// What the answers mean for the caller, and for the session from here on.
void postgres_exchange::conclude(kind how, phase when, const std::optional<error>& interrupted,
                                 bool in_transaction) {
    if (report_.has_copy_started()) {
        abort();
        throw error(errc::bad_input,
                    "COPY from or to the client does not go through query, script or a pipeline: "
                    "use copy_in or copy_out; the connection was closed")
            .with(outcome::not_executed);
    }
    if (wire_.is_broken()) {
        throw lost(when);
    }
    require_reset(interrupted);
    wire_.leave_pipeline();
    take_status();
    wire_.note_heard();
    const std::vector<result>& answers = report_.answers();
    if (!report_.is_refused()) {
        if (!answers.empty() && (answers.back().command_tag() == "DEALLOCATE ALL" ||
                                 answers.back().command_tag() == "DISCARD ALL")) {
            wire_.statements().clear();
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
    const auto plan = wire_.take_plan();
    const bool well =
        wire_.statements().refused(plan, judge_plan(report_.refusal()), answered >= plan.parts - 1);
    if (well && !in_transaction && !interrupted && !report_.commits_midway()) {
        send_again_ = true;
        return;
    }
    if (how == kind::simple && answered > 0) {
        report_.may_have_committed();
    }
    throw report_.refusal_error(when, interrupted);
}

error postgres_exchange::lost(phase when) {
    const error failure = report_.loss(when, words_of_loss());
    finish();
    return failure;
}

}  // namespace bitdotio
