// A statement's bytes to the server and its answers back.
#include <bitdotio/named.hpp>

#include "postgres/postgres_session.hpp"

#include <utility>

namespace bitdotio {

void postgres_session::send(const statement& sql, const params& values, kind how) {
    check_text(sql);
    wire::check_count(sql.sql(), values.size());
    plan_ = {};
    if (sql.largest_result()) {
        statement alone(sql);
        alone.unprepared();  // in a pipeline, rows in pieces would have to be asked for in between
        check_sent(how == kind::extended ? send_extended(alone, values)
                                         : PQsendQuery(conn_.get(), sql.sql().c_str()) != 0);
        report_.limit(*sql.largest_result());
        libpq::ask_for_pieces(conn_.get(), 100);
    } else if (how == kind::extended) {
        check_sent(send_extended(sql, values));
    } else if (reset_.is_due()) {  // one statement, which may go either way
        check_sent(send_extended(statement(sql).unprepared().text_results(), values));
    } else {
        check_sent(PQsendQuery(conn_.get(), sql.sql().c_str()) != 0);
    }
    status_ = session_status::busy;
}

void postgres_session::check_text(const statement& sql) const {
    if (sql.sql().find('\0') != std::string::npos) {
        throw error(errc::bad_input, "the statement contains a zero byte").with(outcome::not_sent);
    }
}

// What libpq refuses to send was malformed, as long as the connection is well.
void postgres_session::check_sent(bool sent) {
    if (sent) {
        return;
    }
    if (PQstatus(conn_.get()) == CONNECTION_BAD) {
        throw lost(phase::awaiting_reply);  // part of it may have gone out
    }
    const error refused = error(errc::bad_input, "cannot send: " + libpq::last_words(conn_.get()))
                              .with(outcome::not_sent);
    if (PQpipelineStatus(conn_.get()) != PQ_PIPELINE_OFF && !PQexitPipelineMode(conn_.get())) {
        abort();  // half a pipeline cannot be taken back
    }
    throw refused;
}

bool postgres_session::send_extended(const statement& sql, const params& values) {
    bound_.bind(values);
    const bool resets = reset_.is_due();
    if (resets) {
        PQenterPipelineMode(conn_.get());
        if (!send_reset()) {
            return false;
        }
    }
    if (sql.may_be_prepared()) {
        plan_ = statements_.look_up(sql.sql(), bound_.types());
    }
    const bool prepares = plan_.what == statement_cache::action::prepare;
    if (!resets && !prepares) {
        return send_bound(sql);
    }
    // They take one trip in a pipeline.
    PQenterPipelineMode(conn_.get());
    const bool sent =
        (!prepares || send_preparation(sql)) && send_bound(sql) && libpq::send_sync(conn_.get());
    syncs_ += sent;
    if (!sent && prepares) {
        statements_.forget(plan_.name);
    }
    return sent;
}

// In a pipeline: what the server may forget, then the new statement.
bool postgres_session::send_preparation(const statement& sql) {
    for (const std::string& name : statements_.take_evicted()) {
        if (!libpq::send_forget(conn_.get(), name)) {
            return false;
        }
    }
    return PQsendPrepare(conn_.get(), plan_.name.c_str(), sql.sql().c_str(), bound_.count(),
                         bound_.types().data()) != 0;
}

bool postgres_session::send_bound(const statement& sql) {
    const int format = sql.wants_text_results() ? 0 : 1;
    if (plan_.what == statement_cache::action::unnamed) {
        return PQsendQueryParams(conn_.get(), sql.sql().c_str(), bound_.count(),
                                 bound_.types().data(), bound_.values(), bound_.lengths(),
                                 bound_.formats(), format) != 0;
    }
    return PQsendQueryPrepared(conn_.get(), plan_.name.c_str(), bound_.count(), bound_.values(),
                               bound_.lengths(), bound_.formats(), format) != 0;
}

void postgres_session::leave_pipeline() {
    if (PQpipelineStatus(conn_.get()) != PQ_PIPELINE_OFF) {
        PQexitPipelineMode(conn_.get());
    }
}

// Until every answer has come. Ends well also when the connection breaks: `conclude` sees that.
asio::awaitable<void> postgres_session::settle() {
    co_await asio::this_coro::reset_cancellation_state(asio::enable_total_cancellation());
    co_await asio::this_coro::throw_if_cancelled(false);
    ask_for_pieces(1);  // of a stream that ends before its first rows were asked for
    co_await flush();
    if (stream_.is(flow::copy_out)) {
        co_await discard_copy();
    }
    // Never wait first: bytes may sit in libpq's buffer, where no event will announce them.
    libpq::result answer;
    while (true) {
        while (!next_answer(answer)) {
            co_await socket_.readable();
            take_in();
        }
        // In a pipeline NULL is not the end, but the last sync, which never comes if the server
        // goes away.
        if (!answer && (syncs_ == 0 || PQstatus(conn_.get()) == CONNECTION_BAD)) {
            co_return;
        }
        const bool had_room = report_.has_room();
        collect(std::move(answer));
        if (report_.has_copy_started()) {
            co_return;
        }
        if (had_room && !report_.has_room()) {  // once: what comes from here on is dropped
            throw report_.too_large();
        }
    }
}

// Reads while it writes: with both waiting to be read, neither side would ever go on.
asio::awaitable<void> postgres_session::flush() {
    while (PQflush(conn_.get()) == 1) {
        co_await socket_.readable_or_writable();
        take_in();
    }
}

// What cannot be taken in because memory is short ends the session: a loop would ask for ever.
void postgres_session::take_in() {
    if (!libpq::take_in(conn_.get()) && PQstatus(conn_.get()) == CONNECTION_OK) {
        abort();
    }
}

// Whether an answer is there; null is the end of one.
bool postgres_session::next_answer(libpq::result& answer) {
    if (PQisBusy(conn_.get())) {
        return false;
    }
    answer.reset(PQgetResult(conn_.get()));
    return true;
}

void postgres_session::collect(libpq::result answer) {
    if (reset_.swallow(answer.get())) {
        return;
    }
    const bool syncs = answer && PQresultStatus(answer.get()) == PGRES_PIPELINE_SYNC;
    syncs_ -= syncs;
    if (batch_) {
        const bool broken = PQstatus(conn_.get()) == CONNECTION_BAD;
        if (const auto refused = batch_->add(std::move(answer), broken)) {
            // For the next time: here the statements after it may have run already.
            statements_.refused(refused->plan, judge_plan(refused->said), refused->was_prepared);
        }
    } else if (answer && !syncs) {
        report_.add(std::move(answer));
    }
}

}  // namespace bitdotio
