// Rows and COPY, piece by piece: the session belongs to the stream until its end.
#include "postgres/failure.hpp"
#include "postgres/postgres_session.hpp"

#include <algorithm>
#include <utility>

namespace bitdotio {

asio::awaitable<std::uint64_t> postgres_session::start_rows(statement sql, params values) {
    return on_own_strand(do_start_rows(std::move(sql), std::move(values)));
}

asio::awaitable<std::vector<result>> postgres_session::next_rows(std::uint64_t stream,
                                                                 std::size_t most) {
    return on_own_strand(do_next_rows(stream, most));
}

asio::awaitable<copy_start> postgres_session::start_copy(statement sql, bool in) {
    return on_own_strand(do_start_copy(std::move(sql), in));
}

asio::awaitable<void> postgres_session::write_copy(std::uint64_t stream, std::string data) {
    return on_own_strand(do_write_copy(stream, std::move(data)));
}

asio::awaitable<std::uint64_t> postgres_session::finish_copy_in(
    std::uint64_t stream, std::optional<std::string> failure) {
    return on_own_strand(do_finish_copy_in(stream, std::move(failure)));
}

asio::awaitable<std::string> postgres_session::read_copy(std::uint64_t stream, std::size_t about) {
    return on_own_strand(do_read_copy(stream, about));
}

void postgres_session::abandon_stream(std::uint64_t stream) {
    if (!birth_.is_here()) {
        return;
    }
    dispatch_work(
        strand_, [self = shared_from_this(), stream]() noexcept { self->stream_.abandon(stream); });
}

// What a stream's first operation shares with a statement.
asio::awaitable<void> postgres_session::begin_flow(const statement& sql, const params& values) {
    if (owes_something()) {
        co_await settle_debts();
    }
    if (reset_.is_due()) {
        co_await reset_now();
    }
    get_ready();
    report_.note(sql, true, status() == session_status::in_transaction);
    reset_.note(sql.sql());
    stream_.prepare(report_.is_in_transaction(), sql.timeout().value_or(statement_timeout_));
    send(statement(sql).unprepared(), values, kind::extended);
}

asio::awaitable<std::uint64_t> postgres_session::do_start_rows(statement sql, params values) {
    co_await asio::this_coro::reset_cancellation_state(asio::enable_total_cancellation());
    co_await asio::this_coro::throw_if_cancelled(false);
    const turn mine(*this);
    co_await begin_flow(sql, values);
    stream_.begin(flow::rows);
    const auto interrupted =
        co_await supervise(flush(), deadline_after(stream_.timeout()), phase::awaiting_reply);
    if (interrupted) {
        conclude_flow(interrupted);
    }
    co_return stream_.number();
}

asio::awaitable<std::vector<result>> postgres_session::do_next_rows(std::uint64_t stream,
                                                                    std::size_t most) {
    co_await asio::this_coro::reset_cancellation_state(asio::enable_total_cancellation());
    co_await asio::this_coro::throw_if_cancelled(false);
    const turn mine(*this);
    require_flow(flow::rows, stream);
    std::vector<result> rows;
    const auto interrupted = co_await supervise(
        fill_rows(rows, most), deadline_after(stream_.timeout()), phase::awaiting_reply);
    if (interrupted) {
        rows.clear();
    }
    if (rows.empty()) {
        conclude_flow(interrupted);
    }
    types_.tell(type_book::answers_of(rows));  // what is known already
    co_return rows;
}

// As large as the first portion, so that nobody waits for rows that were not asked for; and small,
// because each piece waits for its last row. Larger ones are hardly faster.
void postgres_session::ask_for_pieces(std::size_t most) {
    constexpr std::size_t enough = 100;
    if (stream_.asks_for_pieces()) {
        libpq::ask_for_pieces(conn_.get(), static_cast<int>(std::clamp(most, 1UL, enough)));
    }
}

// Whatever has come, or waits for the first; nothing at the end. An error behind rows is left for
// the next call.
asio::awaitable<void> postgres_session::fill_rows(std::vector<result>& rows, std::size_t most) {
    co_await asio::this_coro::reset_cancellation_state(asio::enable_total_cancellation());
    co_await asio::this_coro::throw_if_cancelled(false);
    ask_for_pieces(most);
    open_stream::portion wanted(stream_, rows, most);
    libpq::result answer;
    while (!wanted.is_full()) {
        while (!next_answer(answer)) {
            if (!wanted.is_empty()) {
                co_return;
            }
            co_await socket_.readable();
            take_in();
        }
        if (!answer) {
            co_return;
        }
        if (libpq::is_piece(PQresultStatus(answer.get()))) {
            wanted.add(std::move(answer));
        } else {
            collect(std::move(answer));
        }
        if (report_.has_copy_started()) {
            co_return;
        }
    }
}

asio::awaitable<copy_start> postgres_session::do_start_copy(statement sql, bool in) {
    co_await asio::this_coro::reset_cancellation_state(asio::enable_total_cancellation());
    co_await asio::this_coro::throw_if_cancelled(false);
    const turn mine(*this);
    const params none;
    co_await begin_flow(sql, none);
    copy_format format = copy_format::text;
    const auto interrupted = co_await supervise(
        await_copy_start(format), deadline_after(stream_.timeout()), phase::awaiting_reply);
    const flow wanted = in ? flow::copy_in : flow::copy_out;
    if (stream_.is(wanted) && !interrupted) {
        co_return copy_start{stream_.number(), format};
    }
    if (stream_.is_open() && !interrupted) {
        co_await end_flow();
    } else {
        conclude_flow(interrupted);
    }
    throw error(errc::bad_input, in ? "the statement is not a COPY … FROM STDIN"
                                    : "the statement is not a COPY … TO STDOUT");
}

asio::awaitable<void> postgres_session::await_copy_start(copy_format& format) {
    co_await asio::this_coro::reset_cancellation_state(asio::enable_total_cancellation());
    co_await asio::this_coro::throw_if_cancelled(false);
    co_await flush();
    libpq::result answer;
    while (true) {
        while (!next_answer(answer)) {
            co_await socket_.readable();
            take_in();
        }
        if (!answer) {
            co_return;
        }
        const ExecStatusType status = PQresultStatus(answer.get());
        if (status == PGRES_COPY_IN || status == PGRES_COPY_OUT) {
            stream_.begin(status == PGRES_COPY_IN ? flow::copy_in : flow::copy_out);
            format = PQbinaryTuples(answer.get()) ? copy_format::binary : copy_format::text;
            co_return;
        }
        collect(std::move(answer));
    }
}

asio::awaitable<void> postgres_session::do_write_copy(std::uint64_t stream, std::string data) {
    co_await asio::this_coro::reset_cancellation_state(asio::enable_total_cancellation());
    co_await asio::this_coro::throw_if_cancelled(false);
    const turn mine(*this);
    require_flow(flow::copy_in, stream);
    const auto interrupted = co_await supervise(put_copy(data), deadline_after(stream_.timeout()),
                                                phase::awaiting_reply);
    if (interrupted || report_.is_refused() || PQstatus(conn_.get()) == CONNECTION_BAD) {
        try {
            conclude_flow(interrupted);
        } catch (const error& failure) {  // without its end a COPY has copied nothing
            throw failure.with(outcome::not_executed);
        }
    }
}

asio::awaitable<void> postgres_session::put_copy(const std::string& data) {
    co_await asio::this_coro::reset_cancellation_state(asio::enable_total_cancellation());
    co_await asio::this_coro::throw_if_cancelled(false);
    constexpr std::size_t piece = 1 << 20;  // libpq doubles its buffer for more
    for (std::size_t at = 0; at < data.size();) {
        const std::size_t size = std::min(piece, data.size() - at);
        const int put = PQputCopyData(conn_.get(), data.data() + at, static_cast<int>(size));
        if (put < 0) {  // the server has refused the rows already
            co_await settle();
            co_return;
        }
        at += put > 0 ? size : 0;
        co_await flush();
    }
}

asio::awaitable<std::uint64_t> postgres_session::do_finish_copy_in(
    std::uint64_t stream, std::optional<std::string> failure) {
    co_await asio::this_coro::reset_cancellation_state(asio::enable_total_cancellation());
    co_await asio::this_coro::throw_if_cancelled(false);
    const turn mine(*this);
    require_flow(flow::copy_in, stream);
    const bool was_alive = alive();
    PQputCopyEnd(conn_.get(), failure ? failure->c_str() : nullptr);
    stream_.await_answers();
    const auto interrupted =
        co_await supervise(settle(), deadline_after(stream_.timeout()), phase::awaiting_reply);
    if (failure && was_stopped(report_.refusal().sqlstate)) {
        report_.forget_refusal();  // as was asked for
    }
    const std::vector<result>& answers = report_.answers();
    const std::uint64_t rows = answers.empty() ? 0 : answers.back().affected_rows();
    try {
        conclude_flow(interrupted);
    } catch (const error& lost) {
        // Nothing was copied where its end was never sent, or another one than it needs.
        throw was_alive && !failure ? lost : lost.with(outcome::not_executed);
    }
    co_return rows;
}

asio::awaitable<std::string> postgres_session::do_read_copy(std::uint64_t stream,
                                                            std::size_t about) {
    co_await asio::this_coro::reset_cancellation_state(asio::enable_total_cancellation());
    co_await asio::this_coro::throw_if_cancelled(false);
    const turn mine(*this);
    require_flow(flow::copy_out, stream);
    std::string data;
    const auto interrupted = co_await supervise(
        fill_copy(data, about), deadline_after(stream_.timeout()), phase::awaiting_reply);
    if (interrupted) {
        data.clear();
    }
    if (data.empty()) {
        conclude_flow(interrupted);
    }
    co_return data;
}

asio::awaitable<void> postgres_session::fill_copy(std::string& data, std::size_t about) {
    co_await asio::this_coro::reset_cancellation_state(asio::enable_total_cancellation());
    co_await asio::this_coro::throw_if_cancelled(false);
    while (data.size() < about) {
        char* row = nullptr;
        const int size = PQgetCopyData(conn_.get(), &row, 1);
        if (size > 0) {
            data.append(row, static_cast<std::size_t>(size));
            PQfreemem(row);
        } else if (size == 0 && data.empty()) {
            co_await socket_.readable();
            take_in();
        } else if (size == 0) {
            co_return;
        } else {
            co_await settle();
            co_return;
        }
    }
}

asio::awaitable<void> postgres_session::discard_copy() {
    while (true) {
        char* row = nullptr;
        const int size = PQgetCopyData(conn_.get(), &row, 1);
        if (size < 0) {
            co_return;
        }
        if (size > 0) {
            PQfreemem(row);
        } else {
            co_await socket_.readable();
            take_in();
        }
    }
}

// Inside a transaction the rest is read and thrown away, because stopping the statement would
// abort the transaction with it; unless that is to be rolled back anyway.
asio::awaitable<void> postgres_session::end_flow() {
    const bool drain = stream_.must_be_drained() && !roll_back_first_;
    bool ended = false;
    if (drain) {
        ended = co_await settles_before(no_deadline);
    } else {
        ended = co_await stop_statement();
    }
    if (!ended) {
        abort();
        co_return;
    }
    stream_.end();
    report_.begin();
    take_status();
}

void postgres_session::require_flow(flow wanted, std::uint64_t stream) const {
    if (!conn_) {
        throw report_.loss_before(phase::awaiting_reply, "it is closed");
    }
    if (!stream_.belongs_to(wanted, stream)) {
        throw error(errc::protocol_violated, "the stream is over").with(outcome::not_sent);
    }
}

void postgres_session::conclude_flow(const std::optional<error>& interrupted) {
    stream_.end();
    if (report_.has_copy_started()) {
        conclude(kind::extended, phase::awaiting_reply, interrupted, true);
    }
    if (PQstatus(conn_.get()) == CONNECTION_BAD) {
        throw lost(phase::awaiting_reply);
    }
    take_status();
    report_.take_answers();
    if (report_.is_refused()) {
        if (stream_.is_in_transaction()) {
            report_.fail_transaction(report_.refusal());
        }
        throw report_.refusal_error(phase::awaiting_reply, interrupted);
    }
    if (const auto executed = report_.unconfirmed(phase::awaiting_reply, interrupted)) {
        throw *executed;
    }
    if (interrupted) {
        throw interrupted->with(phase::awaiting_reply).with(outcome::executed);
    }
}

}  // namespace bitdotio
