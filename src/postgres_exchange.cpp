// A statement's way to the server and back, and how it is stopped when it takes too long.
#include "blocking.hpp"
#include "failure.hpp"
#include "postgres_session.hpp"

#include <boost/asio/experimental/parallel_group.hpp>

#include <utility>

namespace bitdotio {

namespace {

error out_of_turn() {
    return error(errc::protocol_violated,
                 "the connection is busy with another operation; await it first, or use a "
                 "connection for each coroutine")
        .with(outcome::not_sent);
}

error waiting_cancelled() {
    return error(errc::cancelled, "the operation was cancelled");
}

}  // namespace

asio::awaitable<result> postgres_session::run(statement sql, params values) {
    return on_strand(strand_, shared_from_this(),
                     do_run(std::move(sql), std::move(values), phase::awaiting_reply));
}

asio::awaitable<std::vector<result>> postgres_session::script(statement sql) {
    return on_strand(strand_, shared_from_this(), do_script(std::move(sql)));
}

asio::awaitable<void> postgres_session::commit() {
    return on_strand(strand_, shared_from_this(), do_commit());
}

asio::awaitable<result> postgres_session::do_run(statement sql, params values, phase when) {
    co_await exchange(std::move(sql), std::move(values), kind::extended, when);
    result answer;
    if (!answers_.empty()) {
        answer = std::move(answers_.back());
        answers_.clear();
    }
    co_return answer;
}

asio::awaitable<std::vector<result>> postgres_session::do_script(statement sql) {
    co_await exchange(std::move(sql), params(), kind::simple, phase::awaiting_reply);
    co_return std::exchange(answers_, {});
}

asio::awaitable<void> postgres_session::do_commit() {
    co_await exchange(statement("COMMIT"), params(), kind::simple, phase::committing);
    const bool committed = !answers_.empty() && answers_.back().command_tag() == "COMMIT";
    answers_.clear();
    if (!committed) {
        throw error(errc::query_failed,
                    "the transaction was rolled back instead of committed, "
                    "because a statement in it had failed")
            .with(phase::committing)
            .with(outcome::not_executed);
    }
}

asio::awaitable<void> postgres_session::exchange(statement sql, params values, kind how,
                                                 phase when) {
    if (under_way_) {
        throw out_of_turn();
    }
    under_way_ = true;
    std::exception_ptr failure;
    try {
        co_await guarded_exchange(std::move(sql), std::move(values), how, when);
    } catch (...) {
        failure = std::current_exception();
    }
    under_way_ = false;
    if (close_when_done_) {
        finish();
    }
    if (failure) {
        std::rethrow_exception(failure);
    }
}

asio::awaitable<void> postgres_session::guarded_exchange(statement sql, params values, kind how,
                                                         phase when) {
    co_await asio::this_coro::reset_cancellation_state(asio::enable_total_cancellation());
    co_await asio::this_coro::throw_if_cancelled(false);
    ++watch_generation_;
    on_death_ = nullptr;
    if (std::exchange(watching_, false)) {
        socket_.cancel();
    }
    if (!alive()) {
        throw lost(phase::sending);
    }
    if (std::exchange(roll_back_first_, false) && status() == session_status::in_transaction) {
        send(statement("ROLLBACK"), params(), kind::simple);
        co_await settle();
        conclude(phase::sending, std::nullopt);
    }

    const time_point deadline = deadline_after(sql.timeout().value_or(statement_timeout_));
    send(sql, values, how);
    std::optional<error> interrupted;
    try {
        co_await with_deadline(settle(), deadline);
    } catch (const error& failure) {
        interrupted = failure;
    }
    if (interrupted) {
        co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
        if (!co_await stop_statement()) {
            abort();
            const bool commit = when == phase::committing;
            throw error(commit ? errc::commit_outcome_unknown : interrupted->code(),
                        "the statement was given up and its connection cut, because the server "
                        "did not acknowledge the cancellation; whether it was executed is "
                        "unknown")
                .with(when)
                .with(outcome::unknown);
        }
    }
    conclude(when, interrupted);
}

void postgres_session::send(const statement& sql, const params& values, kind how) {
    answers_.clear();
    refusal_ = {};
    copy_started_ = false;
    if (sql.sql().find('\0') != std::string::npos) {
        throw error(errc::bad_input, "the statement contains a zero byte");
    }
    int sent = 0;
    if (how == kind::simple) {
        sent = PQsendQuery(conn_.get(), sql.sql().c_str());
    } else {
        const std::size_t count = values.size();
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
        sent = PQsendQueryParams(conn_.get(), sql.sql().c_str(), static_cast<int>(count),
                                 types_.data(), values_.data(), lengths_.data(), formats_.data(),
                                 sql.wants_text_results() ? 0 : 1);
    }
    if (!sent && PQstatus(conn_.get()) == CONNECTION_OK) {
        throw error(errc::bad_input, "cannot send: " + libpq::last_words(conn_.get()));
    }
    if (!sent) {
        throw lost(phase::awaiting_reply);  // part of it may have gone out
    }
    status_ = session_status::busy;
}

// Until every answer has come. Ends well also when the connection breaks: `conclude` sees that.
asio::awaitable<void> postgres_session::settle() {
    co_await asio::this_coro::reset_cancellation_state(asio::enable_total_cancellation());
    co_await asio::this_coro::throw_if_cancelled(false);
    co_await flush();
    // Never wait first: bytes may sit in the buffers of OpenSSL or libpq, where no event will
    // announce them.
    while (true) {
        while (PQisBusy(conn_.get())) {
            co_await readable();
            PQconsumeInput(conn_.get());
        }
        libpq::result answer(PQgetResult(conn_.get()));
        if (!answer) {
            co_return;
        }
        collect(std::move(answer));
        if (copy_started_) {
            co_return;
        }
    }
}

// Reads while it writes: with both waiting to be read, neither side would ever go on.
asio::awaitable<void> postgres_session::flush() {
    while (PQflush(conn_.get()) == 1) {
        co_await readable_or_writable();
        PQconsumeInput(conn_.get());
    }
}

asio::awaitable<void> postgres_session::readable_or_writable() {
    using wait = asio::posix::descriptor_base;
    auto group = asio::experimental::make_parallel_group(
        socket_.async_wait(wait::wait_read, asio::deferred),
        socket_.async_wait(wait::wait_write, asio::deferred));
    const auto [order, read, write] =
        co_await group.async_wait(asio::experimental::wait_for_one(), asio::use_awaitable);
    if (read && write) {
        throw waiting_cancelled();
    }
}

asio::awaitable<void> postgres_session::readable() {
    boost::system::error_code failure;
    co_await socket_.async_wait(asio::posix::descriptor_base::wait_read,
                                asio::redirect_error(asio::use_awaitable, failure));
    if (failure) {
        throw waiting_cancelled();
    }
}

void postgres_session::collect(libpq::result answer) {
    switch (PQresultStatus(answer.get())) {
        case PGRES_FATAL_ERROR:
        case PGRES_BAD_RESPONSE:
            // The first error with a SQLSTATE is the cause, what follows is noise.
            if (refusal_.sqlstate.empty()) {
                refusal_ = libpq::message_of(answer.get());
            }
            break;
        case PGRES_COPY_IN:
        case PGRES_COPY_OUT:
        case PGRES_COPY_BOTH: copy_started_ = true; break;
        default: answers_.emplace_back(answer.release()); break;
    }
}

// Cancels on the server and takes in the answers. The session is idle again only when both have
// ended: a cancel still on its way would hit the next statement.
asio::awaitable<bool> postgres_session::stop_statement() {
    const std::shared_ptr<PGcancel> cancel(PQgetCancel(conn_.get()), libpq::free_cancel());
    if (!cancel) {
        co_return false;
    }
    std::function<void()> request = [cancel] {
        char words[256];
        PQcancel(cancel.get(), words, sizeof words);
    };
    const time_point deadline = std::chrono::steady_clock::now() + cancel_timeout_;
    try {
        co_await with_deadline(run_blocking(std::move(request)), deadline);
        co_await with_deadline(settle(), deadline);
    } catch (const error&) {
        co_return false;
    }
    co_return true;
}

// What the answers mean for the caller, and for the session from here on.
void postgres_session::conclude(phase when, const std::optional<error>& interrupted) {
    if (copy_started_) {
        abort();
        throw error(errc::bad_input,
                    "COPY from or to the client does not go through query or "
                    "script; the connection was closed")
            .with(outcome::not_executed);
    }
    if (PQstatus(conn_.get()) == CONNECTION_BAD) {
        throw lost(when);
    }
    const bool several = !answers_.empty();
    take_status();
    if (refusal_.sqlstate.empty() && refusal_.message.empty()) {
        return;  // also where a cancel came too late: it ended well
    }
    answers_.clear();
    error failure = refused_statement(std::move(refusal_)).with(when);
    if (interrupted && failure.sqlstate() == "57014") {
        failure = failure.with_code(interrupted->code())
                      .with_message(interrupted->code() == errc::timeout
                                        ? "the statement took too long and was stopped"
                                        : "the statement was cancelled and stopped");
    }
    // Of a script, what went before the failed statement may have been committed by it.
    throw several ? failure.with(outcome::unknown) : failure;
}

error postgres_session::lost(phase when) {
    const bool said = refusal_.severity == "FATAL" || refusal_.severity == "PANIC";
    error failure = lost_connection(when, said ? std::move(refusal_) : goodbye_,
                                    conn_ ? libpq::last_words(conn_.get()) : "it is closed");
    finish();
    return failure;
}

}  // namespace bitdotio
