// A statement's bytes to the server and its answers back.
#include "postgres/postgres_session.hpp"

#include <utility>

namespace bitdotio {

void postgres_session::send(const statement& sql, const params& values, kind how) {
    check_text(sql);
    plan_ = {};
    if (sql.largest_result()) {
        statement alone(sql);
        alone.unprepared();  // in a pipeline, rows in pieces would have to be asked for in between
        check_sent(how == kind::extended ? send_extended(alone, values)
                                         : PQsendQuery(conn_.get(), sql.sql().c_str()) != 0);
        bounded_.emplace(*sql.largest_result());
        libpq::ask_for_pieces(conn_.get(), 100);
    } else if (how == kind::extended) {
        check_sent(send_extended(sql, values));
    } else if (owes_reset()) {  // one statement, which may go either way
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
    bind(values);
    const bool resets = owes_reset();
    if (resets) {
        PQenterPipelineMode(conn_.get());
        if (!send_reset()) {
            return false;
        }
    }
    if (sql.may_be_prepared()) {
        plan_ = statements_.look_up(sql.sql(), types_);
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

// The parameters as libpq wants them: four arrays, kept for their capacity.
void postgres_session::bind(const params& values) {
    const std::size_t count = values.size();
    constexpr std::size_t most = 65'535;  // a 16-bit count in the protocol
    if (count > most) {
        throw error(errc::bad_input, std::to_string(count) + " parameters are bound, and " +
                                         std::to_string(most) +
                                         " are the most a statement can have: bind arrays, or "
                                         "use copy_in")
            .with(outcome::not_sent);
    }
    types_.resize(count);
    values_.resize(count);
    lengths_.resize(count);
    formats_.resize(count);
    for (std::size_t i = 0; i < count; ++i) {
        types_[i] = values.type(i);
        values_[i] = values.is_null(i) ? nullptr : values.value(i).data();
        lengths_[i] = static_cast<int>(values.value(i).size());
        formats_[i] = values.is_binary(i);
    }
}

// In a pipeline: what the server may forget, then the new statement.
bool postgres_session::send_preparation(const statement& sql) {
    for (const std::string& name : statements_.take_evicted()) {
        if (!libpq::send_forget(conn_.get(), name)) {
            return false;
        }
    }
    return PQsendPrepare(conn_.get(), plan_.name.c_str(), sql.sql().c_str(),
                         static_cast<int>(types_.size()), types_.data()) != 0;
}

bool postgres_session::send_bound(const statement& sql) {
    const int count = static_cast<int>(types_.size());
    const int format = sql.wants_text_results() ? 0 : 1;
    if (plan_.what == statement_cache::action::unnamed) {
        return PQsendQueryParams(conn_.get(), sql.sql().c_str(), count, types_.data(),
                                 values_.data(), lengths_.data(), formats_.data(), format) != 0;
    }
    return PQsendQueryPrepared(conn_.get(), plan_.name.c_str(), count, values_.data(),
                               lengths_.data(), formats_.data(), format) != 0;
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
    if (flow_ == flow::copy_out) {
        co_await discard_copy();
    }
    // Never wait first: bytes may sit in libpq's buffer, where no event will announce them.
    while (true) {
        while (PQisBusy(conn_.get())) {
            co_await socket_.readable();
            take_in();
        }
        libpq::result answer(PQgetResult(conn_.get()));
        // In a pipeline NULL is not the end, but the last sync, which never comes if the server
        // goes away.
        if (!answer && (syncs_ == 0 || PQstatus(conn_.get()) == CONNECTION_BAD)) {
            co_return;
        }
        const bool had_room = has_room();
        collect(std::move(answer));
        if (copy_started_) {
            co_return;
        }
        if (had_room && !has_room()) {  // once: what comes from here on is dropped
            throw too_large();
        }
    }
}

bool postgres_session::has_room() const noexcept {
    return !bounded_ || !bounded_->is_full();
}

error postgres_session::too_large() const {
    return error(errc::result_too_large,
                 "the result takes more than " + std::to_string(bounded_->most()) + " bytes");
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

void postgres_session::collect(libpq::result answer) {
    if (swallow(answer)) {
        return;
    }
    if (batch_) {
        collect_batch(std::move(answer));
        return;
    }
    if (!answer) {
        return;
    }
    const ExecStatusType status = PQresultStatus(answer.get());
    if (libpq::is_piece(status)) {
        if (bounded_) bounded_->add(answer.get());
        return;  // else of a stream nobody reads any more
    }
    switch (status) {
        case PGRES_FATAL_ERROR:
        case PGRES_BAD_RESPONSE:
            // The first error with a SQLSTATE is the cause, what follows is noise.
            if (refusal_.sqlstate.empty()) {
                refusal_ = libpq::message_of(answer.get());
            }
            break;
        case PGRES_PIPELINE_SYNC: --syncs_; break;
        case PGRES_PIPELINE_ABORTED: break;
        case PGRES_COPY_IN:
        case PGRES_COPY_OUT:
        case PGRES_COPY_BOTH: copy_started_ = true; break;
        default:
            if (bounded_) answer = bounded_->whole(std::move(answer));
            answers_.emplace_back(answer.release());
            break;
    }
}

}  // namespace bitdotio
