// Many statements in one trip: sent while their answers are taken in.
#include "postgres/failure.hpp"
#include "postgres/postgres_session.hpp"
#include "postgres/statement_words.hpp"

#include <utility>

namespace bitdotio {

namespace {

// Small statements share a system call: about as many bytes as libpq keeps before it sends.
constexpr std::size_t flush_size = 8 * 1024;
constexpr std::size_t entry_overhead = 64;

// A reset that fails leaves its transaction failed, in which nothing runs; unless a later unit of
// the batch ends it.
bool outlives_refusal(const pipeline& batch) {
    if (batch.sync() != pipeline_sync::each_statement) {
        return false;
    }
    for (std::size_t i = 1; i < batch.size(); ++i) {
        if (ends_transaction(batch.sql(i).sql())) {
            return true;
        }
    }
    return false;
}

}  // namespace

asio::awaitable<pipeline_results> postgres_session::run_pipeline(
    std::shared_ptr<const pipeline> batch) {
    return on_own_strand(do_run_pipeline(std::move(batch)));
}

asio::awaitable<pipeline_results> postgres_session::do_run_pipeline(
    std::shared_ptr<const pipeline> shared) {
    const pipeline& batch = *shared;
    co_await asio::this_coro::reset_cancellation_state(asio::enable_total_cancellation());
    co_await asio::this_coro::throw_if_cancelled(false);
    const turn mine(*this);
    for (std::size_t i = 0; i < batch.size(); ++i) {
        check_text(batch.sql(i));
        bound_.bind(batch.values(i));  // refuses what cannot be sent before anything is
    }
    if (owes_something()) {
        co_await settle_debts();
    }
    if (reset_.is_due() && outlives_refusal(batch)) {
        co_await reset_now();
    }
    get_ready();
    if (batch.empty()) {
        co_return pipeline_results();
    }

    const phase when = note_batch(batch);
    PQenterPipelineMode(conn_.get());
    status_ = session_status::busy;
    const time_point deadline = deadline_after(batch.timeout().value_or(statement_timeout_));
    std::optional<error> interrupted;
    std::optional<error> cut;
    pipeline_report became(batch, report_);
    batch_ = &became;
    try {
        interrupted = co_await supervise(talk_pipeline(batch), deadline, when);
    } catch (const error& failure) {
        cut = failure;
    }
    batch_ = nullptr;
    if (!cut && PQstatus(conn_.get()) != CONNECTION_BAD) {
        require_reset(interrupted);
    }
    if (!cut && report_.has_copy_started()) {
        abort();
        cut = error(errc::bad_input,
                    "COPY does not go through a pipeline: use copy_in or copy_out; the "
                    "connection was closed")
                  .with(outcome::unknown);
    } else if (!cut && PQstatus(conn_.get()) == CONNECTION_BAD) {
        cut = lost(when);
    } else if (!cut) {
        leave_pipeline();
        take_status();
    }
    pipeline_results all = became.finish(interrupted, cut);
    const auto told = type_book::answers_of(all);
    co_await tell_types(told, batch.timeout().value_or(statement_timeout_));
    co_return all;
}

// What has to be known of a pipeline to say what its failure means.
phase postgres_session::note_batch(const pipeline& batch) {
    const bool independent = batch.sync() == pipeline_sync::each_statement && batch.size() > 1;
    report_.note_several(independent, status() == session_status::in_transaction);
    bool ends = false;
    for (std::size_t i = 0; i < batch.size(); ++i) {
        ends = ends || commits(batch.sql(i).sql());
        reset_.note(batch.sql(i).sql());
        types_.note(batch.sql(i).sql());
    }
    return report_.is_in_transaction() && ends ? phase::committing : phase::awaiting_reply;
}

asio::awaitable<void> postgres_session::talk_pipeline(const pipeline& batch) {
    const bool sync_each = batch.sync() == pipeline_sync::each_statement;
    co_await asio::this_coro::reset_cancellation_state(asio::enable_total_cancellation());
    co_await asio::this_coro::throw_if_cancelled(false);
    if (reset_.is_due() && !send_reset()) {
        throw error(errc::system_failed, "cannot send: " + libpq::last_words(conn_.get()));
    }
    std::size_t unflushed = 0;
    for (std::size_t i = 0; i < batch.size(); ++i) {
        const bool sync = sync_each || i + 1 == batch.size();
        if (!send_entry(batch.sql(i), batch.values(i), sync)) {
            throw error(errc::system_failed, "cannot send: " + libpq::last_words(conn_.get()));
        }
        unflushed += bound_.octets() + entry_overhead + batch.sql(i).sql().size();
        if (unflushed < flush_size) {
            continue;
        }
        unflushed = 0;
        // Answers are taken in while it sends: with both sides waiting to be read, neither would
        // ever go on.
        while (PQflush(conn_.get()) == 1) {
            co_await socket_.readable_or_writable();
            take_in();
            take_available();
        }
    }
    co_await settle();
}

bool postgres_session::send_entry(const statement& sql, const params& values, bool sync) {
    bound_.bind(values);
    plan_ = {};
    if (sql.may_be_prepared()) {
        plan_ = statements_.look_up(sql.sql(), bound_.types());
    }
    const bool prepares = plan_.what == statement_cache::action::prepare;
    const bool sent = (!prepares || send_preparation(sql)) && send_bound(sql) &&
                      (!sync || libpq::send_sync(conn_.get()));
    batch_->note_sent(sql, std::exchange(plan_, {}), sent && sync);
    syncs_ += sent && sync;
    return sent;
}

// Answers that are there already, without waiting.
void postgres_session::take_available() {
    libpq::result answer;
    while (syncs_ > 0 && !report_.has_copy_started() && next_answer(answer)) {
        if (!answer && PQstatus(conn_.get()) == CONNECTION_BAD) {
            return;
        }
        collect(std::move(answer));
    }
}

}  // namespace bitdotio
