// Rows and COPY, piece by piece: the session belongs to the stream until its end.
#include "postgres/failure.hpp"
#include "postgres/postgres_exchange.hpp"

#include <algorithm>
#include <utility>

namespace bitdotio {

// What a stream's first operation shares with a statement.
asio::awaitable<void> postgres_exchange::begin_stream(const statement& sql, const params& values,
                                                      kind how) {
    if (owes_something()) {
        co_await settle_debts();
    }
    if (goes_ahead()) {
        co_await prepare_alone();
    }
    get_ready();
    report_.note(sql, how == kind::extended, status() == session_status::in_transaction);
    stream_.prepare(report_.is_in_transaction(), sql.timeout().value_or(statement_timeout_));
    send(statement(sql).unprepared(), values, how);
    note_changes(sql.sql());
}

asio::awaitable<std::uint64_t> postgres_exchange::start_rows(statement sql, params values,
                                                             time_point until) {
    co_await asio::this_coro::reset_cancellation_state(asio::enable_total_cancellation());
    co_await asio::this_coro::throw_if_cancelled(false);
    const turn mine(*this);
    co_await begin_stream(sql, values, kind::extended);
    stream_.begin(open_stream::kind::rows);
    co_await flush_stream(until);
    co_return stream_.number();
}

asio::awaitable<std::uint64_t> postgres_exchange::start_script(statement sql, bool alone,
                                                               time_point until) {
    co_await asio::this_coro::reset_cancellation_state(asio::enable_total_cancellation());
    co_await asio::this_coro::throw_if_cancelled(false);
    const turn mine(*this);
    const params none;
    sql.text_results();
    co_await begin_stream(sql, none, alone ? kind::extended : kind::simple);
    stream_.begin(open_stream::kind::rows, true);
    co_await flush_stream(until);
    co_return stream_.number();
}

asio::awaitable<void> postgres_exchange::flush_stream(time_point until) {
    const time_point deadline = std::min(until, deadline_after(stream_.timeout()));
    const auto interrupted = co_await supervise(wire_.flush(), deadline, phase::awaiting_reply);
    if (interrupted) {
        conclude_stream(interrupted);
    }
}

asio::awaitable<std::vector<result>> postgres_exchange::next_rows(std::uint64_t stream,
                                                                  std::size_t most,
                                                                  time_point until) {
    co_await asio::this_coro::reset_cancellation_state(asio::enable_total_cancellation());
    co_await asio::this_coro::throw_if_cancelled(false);
    const turn mine(*this);
    require_stream(open_stream::kind::rows, stream);
    std::vector<result> rows;
    const time_point deadline = std::min(until, deadline_after(stream_.timeout()));
    const auto interrupted =
        co_await supervise(fill_rows(rows, most), deadline, phase::awaiting_reply);
    if (interrupted) {
        rows.clear();
    }
    if (rows.empty()) {
        conclude_stream(interrupted);
    }
    types_.tell(type_book::concerned(rows));  // what is known already
    co_return rows;
}

asio::awaitable<wire::row_span> postgres_exchange::fetch_rows(std::uint64_t stream,
                                                              std::size_t most, time_point until) {
    co_await asio::this_coro::reset_cancellation_state(asio::enable_total_cancellation());
    co_await asio::this_coro::throw_if_cancelled(false);
    const turn mine(*this);
    require_stream(open_stream::kind::rows, stream);
    const std::shared_ptr<row_batch> rows = stream_.new_batch();
    ask_for_pieces(most);
    std::optional<error> interrupted;
    if (!gather_rows(*rows, most) && rows->is_empty()) {
        const time_point deadline = std::min(until, deadline_after(stream_.timeout()));
        interrupted = co_await supervise(await_rows(*rows, most), deadline, phase::awaiting_reply);
    }
    if (interrupted) {
        rows->clear();
    }
    wire::row_span all;
    if (rows->is_empty()) {
        conclude_stream(interrupted);
        co_return all;
    }
    all = rows->rows();
    all.owner = rows;
    co_return all;
}

// Takes whatever has come, and reads more only as long as it is wanted; never waits. What lies in
// libpq's buffer comes along, because it costs nothing more and the next call need not wait then.
// True where there will be no more rows. An error behind rows is left for the next call.
bool postgres_exchange::gather_rows(row_batch& rows, std::size_t most) {
    libpq::result answer;
    while (!rows.is_full()) {
        if (!wire_.next_answer(answer)) {
            if (rows.size() >= most) {
                return false;
            }
            wire_.take_in();
            if (!wire_.next_answer(answer)) {
                return false;
            }
        }
        if (!answer) {
            return true;
        }
        if (libpq::is_piece(PQresultStatus(answer.get()))) {
            add_rows(rows, answer);
            answer.reset();  // before libpq makes the next, which then gets the same memory
        } else {
            collect(std::move(answer));
        }
        if (report_.has_copy_started()) {
            return true;
        }
    }
    return false;
}

void postgres_exchange::add_rows(row_batch& rows, libpq::result& answer) {
    if (!stream_.columns()) {
        stream_.set_columns(std::make_shared<const row_columns>(
            answer.get(), type_book::concerns(answer.get()) ? types_.known() : nullptr));
    }
    rows.add(answer, stream_.columns());
}

asio::awaitable<void> postgres_exchange::await_rows(row_batch& rows, std::size_t most) {
    co_await asio::this_coro::reset_cancellation_state(asio::enable_total_cancellation());
    co_await asio::this_coro::throw_if_cancelled(false);
    do {
        co_await wire_.readable();
        if (gather_rows(rows, most)) {
            co_return;
        }
    } while (rows.is_empty());
}

// As large as the first portion, so that nobody waits for rows that were not asked for; and small,
// because each piece waits for its last row. Larger ones are hardly faster.
void postgres_exchange::ask_for_pieces(std::size_t most) {
    constexpr std::size_t enough = 100;
    if (stream_.asks_for_pieces()) {
        libpq::ask_for_pieces(wire_.conn(), static_cast<int>(std::clamp(most, 1UL, enough)));
    }
}

// Whatever has come, or waits for the first; nothing at the end. An error behind rows is left for
// the next call.
asio::awaitable<void> postgres_exchange::fill_rows(std::vector<result>& rows, std::size_t most) {
    co_await asio::this_coro::reset_cancellation_state(asio::enable_total_cancellation());
    co_await asio::this_coro::throw_if_cancelled(false);
    ask_for_pieces(most);
    open_stream::portion wanted(stream_, rows, most);
    libpq::result answer;
    while (!wanted.is_full()) {
        while (!wire_.next_answer(answer)) {
            if (!wanted.is_empty()) {
                co_return;
            }
            co_await wire_.readable();
            wire_.take_in();
        }
        if (!answer) {
            co_return;
        }
        const ExecStatusType status = PQresultStatus(answer.get());
        const bool ends =
            stream_.marks_ends() && (status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK);
        if (libpq::is_piece(status) || ends) {
            wanted.add(std::move(answer));
        } else {
            collect(std::move(answer));
        }
        if (report_.has_copy_started()) {
            co_return;
        }
    }
}

asio::awaitable<copy_start> postgres_exchange::start_copy(statement sql, bool in) {
    co_await asio::this_coro::reset_cancellation_state(asio::enable_total_cancellation());
    co_await asio::this_coro::throw_if_cancelled(false);
    const turn mine(*this);
    const params none;
    co_await begin_stream(sql, none, kind::extended);
    copy_format format = copy_format::text;
    const auto interrupted = co_await supervise(
        await_copy_start(format), deadline_after(stream_.timeout()), phase::awaiting_reply);
    const auto wanted = in ? open_stream::kind::copy_in : open_stream::kind::copy_out;
    if (stream_.is(wanted) && !interrupted) {
        co_return copy_start{stream_.number(), format};
    }
    if (stream_.is_open() && !interrupted) {
        co_await end_stream();
    } else {
        conclude_stream(interrupted);
    }
    throw error(errc::bad_input, in ? "the statement is not a COPY … FROM STDIN"
                                    : "the statement is not a COPY … TO STDOUT");
}

asio::awaitable<void> postgres_exchange::await_copy_start(copy_format& format) {
    co_await asio::this_coro::reset_cancellation_state(asio::enable_total_cancellation());
    co_await asio::this_coro::throw_if_cancelled(false);
    co_await wire_.flush();
    libpq::result answer;
    while (true) {
        while (!wire_.next_answer(answer)) {
            co_await wire_.readable();
            wire_.take_in();
        }
        if (!answer) {
            co_return;
        }
        const ExecStatusType status = PQresultStatus(answer.get());
        if (status == PGRES_COPY_IN || status == PGRES_COPY_OUT) {
            stream_.begin(status == PGRES_COPY_IN ? open_stream::kind::copy_in
                                                  : open_stream::kind::copy_out);
            format = PQbinaryTuples(answer.get()) ? copy_format::binary : copy_format::text;
            co_return;
        }
        collect(std::move(answer));
    }
}

asio::awaitable<void> postgres_exchange::write_copy(std::uint64_t stream, std::string data) {
    co_await asio::this_coro::reset_cancellation_state(asio::enable_total_cancellation());
    co_await asio::this_coro::throw_if_cancelled(false);
    const turn mine(*this);
    require_stream(open_stream::kind::copy_in, stream);
    const auto interrupted = co_await supervise(put_copy(data), deadline_after(stream_.timeout()),
                                                phase::awaiting_reply);
    if (interrupted || report_.is_refused() || wire_.is_broken()) {
        try {
            conclude_stream(interrupted);
        } catch (const error& failure) {  // without its end a COPY has copied nothing
            throw failure.with(outcome::not_executed);
        }
    }
}

asio::awaitable<void> postgres_exchange::put_copy(const std::string& data) {
    co_await asio::this_coro::reset_cancellation_state(asio::enable_total_cancellation());
    co_await asio::this_coro::throw_if_cancelled(false);
    constexpr std::size_t piece = 1 << 20;  // libpq doubles its buffer for more
    for (std::size_t at = 0; at < data.size();) {
        const std::size_t size = std::min(piece, data.size() - at);
        const int put = PQputCopyData(wire_.conn(), data.data() + at, static_cast<int>(size));
        if (put < 0) {  // the server has refused the rows already
            co_await settle();
            co_return;
        }
        at += put > 0 ? size : 0;
        co_await wire_.flush();
    }
}

asio::awaitable<std::uint64_t> postgres_exchange::finish_copy_in(
    std::uint64_t stream, std::optional<std::string> failure) {
    co_await asio::this_coro::reset_cancellation_state(asio::enable_total_cancellation());
    co_await asio::this_coro::throw_if_cancelled(false);
    const turn mine(*this);
    require_stream(open_stream::kind::copy_in, stream);
    const bool was_alive = is_alive();
    PQputCopyEnd(wire_.conn(), failure ? failure->c_str() : nullptr);
    stream_.await_answers();
    const auto interrupted =
        co_await supervise(settle(), deadline_after(stream_.timeout()), phase::awaiting_reply);
    if (failure && was_stopped(report_.refusal().sqlstate)) {
        report_.forget_refusal();  // as was asked for
    }
    const std::vector<result>& answers = report_.answers();
    const std::uint64_t rows = answers.empty() ? 0 : answers.back().affected_rows();
    try {
        conclude_stream(interrupted);
    } catch (const error& lost) {
        // Nothing was copied where its end was never sent, or another one than it needs.
        throw was_alive && !failure ? lost : lost.with(outcome::not_executed);
    }
    co_return rows;
}

asio::awaitable<std::string> postgres_exchange::read_copy(std::uint64_t stream, std::size_t about) {
    co_await asio::this_coro::reset_cancellation_state(asio::enable_total_cancellation());
    co_await asio::this_coro::throw_if_cancelled(false);
    const turn mine(*this);
    require_stream(open_stream::kind::copy_out, stream);
    std::string data;
    const auto interrupted = co_await supervise(
        fill_copy(data, about), deadline_after(stream_.timeout()), phase::awaiting_reply);
    if (interrupted) {
        data.clear();
    }
    if (data.empty()) {
        conclude_stream(interrupted);
    }
    co_return data;
}

asio::awaitable<void> postgres_exchange::fill_copy(std::string& data, std::size_t about) {
    co_await asio::this_coro::reset_cancellation_state(asio::enable_total_cancellation());
    co_await asio::this_coro::throw_if_cancelled(false);
    while (data.size() < about) {
        char* row = nullptr;
        const int size = PQgetCopyData(wire_.conn(), &row, 1);
        if (size > 0) {
            data.reserve(about + about / 16);  // the last row may be one too many
            data.append(row, static_cast<std::size_t>(size));
            PQfreemem(row);
        } else if (size == 0 && data.empty()) {
            co_await wire_.readable();
            wire_.take_in();
        } else if (size == 0) {
            co_return;
        } else {
            co_await settle();
            co_return;
        }
    }
}

// Inside a transaction the rest is read and thrown away, because stopping the statement would
// abort the transaction with it; unless that is to be rolled back anyway.
asio::awaitable<void> postgres_exchange::end_stream() {
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

void postgres_exchange::require_stream(open_stream::kind wanted, std::uint64_t stream) const {
    if (!wire_.is_open()) {
        throw report_.loss_before(phase::awaiting_reply, words_of_loss());
    }
    if (!stream_.belongs_to(wanted, stream)) {
        throw error(errc::protocol_violated, "the stream is over").with(outcome::not_sent);
    }
}

void postgres_exchange::conclude_stream(const std::optional<error>& interrupted) {
    stream_.end();
    if (report_.has_copy_started()) {
        conclude(kind::extended, phase::awaiting_reply, interrupted, true);
    }
    if (wire_.is_broken()) {
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
