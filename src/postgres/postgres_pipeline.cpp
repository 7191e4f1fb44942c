// Many statements in one trip: sent while their answers are taken in.
#include "postgres/failure.hpp"
#include "postgres/postgres_exchange.hpp"
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

// After a BEGIN that is refused, the units after the first would run outside of a transaction.
bool outlives_begin(const pipeline& batch) {
    return batch.sync() == pipeline_sync::each_statement && batch.size() > 1;
}

}  // namespace

asio::awaitable<pipeline_results> postgres_exchange::run_pipeline(
    std::shared_ptr<const pipeline> shared) {
    const pipeline& batch = *shared;
    co_await asio::this_coro::reset_cancellation_state(asio::enable_total_cancellation());
    co_await asio::this_coro::throw_if_cancelled(false);
    const turn mine(*this);
    for (std::size_t i = 0; i < batch.size(); ++i) {
        postgres_wire::check(batch.sql(i));
        wire_.bind(batch.values(i));  // refuses what cannot be sent before anything is
    }
    if (owes_something()) {
        co_await settle_debts();
    }
    if (batch.is_transaction() && status() == session_status::in_transaction) {
        throw error(errc::protocol_violated,
                    "a transaction is open on the connection already: commit it, roll it back or "
                    "drop it first")
            .with(outcome::not_sent);
    }
    if (begin_.is_due() && outlives_begin(batch)) {
        co_await begin_now();
    }
    if (reset_.is_due() && outlives_refusal(batch)) {
        co_await reset_now();
    }
    get_ready();
    if (batch.empty()) {
        co_return pipeline_results();
    }

    const phase when = note_batch(batch);
    wire_.enter_pipeline();
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
    if (!cut && !wire_.is_broken()) {
        require_reset(interrupted);
    }
    if (!cut && report_.has_copy_started()) {
        abort();
        cut = error(errc::bad_input,
                    "COPY does not go through a pipeline: use copy_in or copy_out; the "
                    "connection was closed")
                  .with(outcome::unknown);
    } else if (!cut && wire_.is_broken()) {
        cut = lost(when);
    } else if (!cut) {
        wire_.leave_pipeline();
        take_status();
    }
    if (!cut && has_other_encoding()) {
        co_await restore_encoding();
        throw changed_encoding();
    }
    pipeline_results all = became.finish(interrupted, cut);
    std::vector<result*> told = type_book::concerned(all);
    if (!told.empty()) {
        co_await tell_types(std::move(told), batch.timeout().value_or(statement_timeout_));
    }
    co_return all;
}

// What has to be known of a pipeline to say what its failure means.
phase postgres_exchange::note_batch(const pipeline& batch) {
    const bool independent = batch.sync() == pipeline_sync::each_statement && batch.size() > 1;
    report_.note_several(independent, status() == session_status::in_transaction);
    bool ends = false;
    for (std::size_t i = 0; i < batch.size(); ++i) {
        ends = ends || commits(batch.sql(i).sql());
    }
    return report_.is_in_transaction() && ends ? phase::committing : phase::awaiting_reply;
}

asio::awaitable<void> postgres_exchange::talk_pipeline(const pipeline& batch) {
    const bool sync_each = batch.sync() == pipeline_sync::each_statement;
    co_await asio::this_coro::reset_cancellation_state(asio::enable_total_cancellation());
    co_await asio::this_coro::throw_if_cancelled(false);
    if (reset_.is_due() && !send_reset()) {
        throw error(errc::system_failed, "cannot send: " + wire_.last_words());
    }
    if (begin_.is_due() && !send_begin()) {
        throw error(errc::system_failed, "cannot send: " + wire_.last_words());
    }
    std::size_t unflushed = 0;
    for (std::size_t i = 0; i < batch.size(); ++i) {
        const bool sync = sync_each || i + 1 == batch.size();
        wire_.bind(batch.values(i));
        forget_meanings();
        const bool sent = wire_.send_part(batch.sql(i)) && (!sync || wire_.send_sync());
        note_changes(batch.sql(i).sql());
        batch_->note_sent(batch.sql(i), wire_.take_plan(), sent && sync);
        if (!sent) {
            throw error(errc::system_failed, "cannot send: " + wire_.last_words());
        }
        meanings_changed_ = meanings_changed_ || changes_meanings(batch.sql(i).sql());
        unflushed += wire_.bound_octets() + entry_overhead + batch.sql(i).sql().size();
        if (unflushed < flush_size) {
            continue;
        }
        unflushed = 0;
        // Answers are taken in while it sends: with both sides waiting to be read, neither would
        // ever go on.
        while (PQflush(wire_.conn()) == 1) {
            co_await wire_.readable_or_writable();
            wire_.take_in();
            take_available();
        }
    }
    co_await settle();
}

// Answers that are there already, without waiting.
void postgres_exchange::take_available() {
    libpq::result answer;
    while (wire_.syncs() > 0 && !report_.has_copy_started() && wire_.next_answer(answer)) {
        if (!answer && wire_.is_broken()) {
            return;
        }
        collect(std::move(answer));
    }
}

}  // namespace bitdotio
