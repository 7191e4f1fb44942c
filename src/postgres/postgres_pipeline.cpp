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
    check_batch(batch);
    if (needs_trips_before(batch)) {
        co_await go_before(batch);
    }
    const phase when = begin_batch(batch);
    if (batch.empty()) {
        co_return pipeline_results();
    }
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
    end_batch(cut, interrupted, when);
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

// The same in one frame, as most pipelines go: no time limit, nobody who can cancel it.
asio::awaitable<pipeline_results> postgres_exchange::run_pipeline_for(
    const strand& home, std::shared_ptr<const pipeline> shared) {
    const pipeline& batch = *shared;
    if (batch.timeout().value_or(statement_timeout_).count() != 0) {
        co_return co_await within_strand(home, run_pipeline(std::move(shared)));
    }
    const turn mine(*this);
    check_batch(batch);
    if (needs_trips_before(batch)) {
        co_await within_strand(home, go_before(batch));
    }
    const phase when = begin_batch(batch);
    if (batch.empty()) {
        co_return pipeline_results();
    }
    std::optional<error> interrupted;
    std::optional<error> cut;
    pipeline_report became(batch, report_);
    batch_ = &became;
    try {
        std::optional<error> unsent;
        try {
            send_ahead();
            for (std::size_t next = 0; next < batch.size();) {
                if (send_next(batch, next)) {
                    co_await within_strand(home, push());
                }
            }
        } catch (const error& failure) {
            unsent = failure;
        }
        if (unsent) {  // what was sent of it is stopped
            auto failing = supervise(fail_with(*unsent), no_deadline, when);
            interrupted = co_await within_strand(home, std::move(failing));
        } else {
            co_await settle_for(home);
        }
    } catch (const error& failure) {
        cut = failure;
    }
    end_batch(cut, interrupted, when);
    if (!cut && has_other_encoding()) {
        co_await within_strand(home, restore_encoding());
        throw changed_encoding();
    }
    pipeline_results all = became.finish(interrupted, cut);
    std::vector<result*> told = type_book::concerned(all);
    if (!told.empty()) {
        auto telling = tell_types(std::move(told), statement_timeout_);
        co_await within_strand(home, std::move(telling));
    }
    co_return all;
}

// Refuses what cannot be sent before anything is.
void postgres_exchange::check_batch(const pipeline& batch) {
    for (std::size_t i = 0; i < batch.size(); ++i) {
        postgres_wire::check(batch.sql(i));
        bound_parameters::check(batch.values(i));
    }
}

void postgres_exchange::require_outside(const pipeline& batch) const {
    if (batch.is_transaction() && status() == session_status::in_transaction) {
        throw error(errc::protocol_violated,
                    "a transaction is open on the connection already: commit it, roll it back or "
                    "drop it first")
            .with(outcome::not_sent);
    }
}

// Whether something is due that does not travel with it.
bool postgres_exchange::needs_trips_before(const pipeline& batch) const {
    return owes_something() || (begin_.is_due() && outlives_begin(batch)) ||
           (reset_.is_due() && outlives_refusal(batch));
}

asio::awaitable<void> postgres_exchange::go_before(const pipeline& batch) {
    if (owes_something()) {
        co_await settle_debts();
    }
    require_outside(batch);
    if (begin_.is_due() && outlives_begin(batch)) {
        co_await begin_now();
    }
    if (reset_.is_due() && outlives_refusal(batch)) {
        co_await reset_now();
    }
}

// Returns what has to be known of a pipeline to say what its failure means.
phase postgres_exchange::begin_batch(const pipeline& batch) {
    require_outside(batch);
    get_ready();
    if (batch.empty()) {
        return phase::none;
    }
    const bool in_transaction = status() == session_status::in_transaction;
    report_.note_several(outlives_begin(batch), in_transaction);
    bool ends = false;
    for (std::size_t i = 0; in_transaction && i < batch.size(); ++i) {
        ends = ends || commits(batch.sql(i).sql());
    }
    wire_.enter_pipeline();
    status_ = session_status::busy;
    return ends ? phase::committing : phase::awaiting_reply;
}

asio::awaitable<void> postgres_exchange::talk_pipeline(const pipeline& batch) {
    co_await asio::this_coro::reset_cancellation_state(asio::enable_total_cancellation());
    co_await asio::this_coro::throw_if_cancelled(false);
    send_ahead();
    for (std::size_t next = 0; next < batch.size();) {
        if (send_next(batch, next)) {
            co_await push();
        }
    }
    co_await settle();
}

// What is due and travels with it.
void postgres_exchange::send_ahead() {
    if ((reset_.is_due() && !send_reset()) || (begin_.is_due() && !send_begin())) {
        throw error(errc::system_failed, "cannot send: " + wire_.last_words());
    }
}

// Hands statements to libpq, until they are worth a system call, or all. Whether the system did
// not take all of them.
bool postgres_exchange::send_next(const pipeline& batch, std::size_t& next) {
    const bool sync_each = batch.sync() == pipeline_sync::each_statement;
    for (std::size_t unflushed = 0; next < batch.size() && unflushed < flush_size; ++next) {
        const statement& sql = batch.sql(next);
        const bool sync = sync_each || next + 1 == batch.size();
        wire_.bind(batch.values(next));
        forget_meanings();
        const bool sent = wire_.send_part(sql) && (!sync || wire_.send_sync());
        const statement_facts said = wire_.all_of(sql.sql());
        note_changes(sql.sql(), said.changes);
        batch_->note_sent(said, wire_.take_plan(), sent && sync);
        if (!sent) {
            throw error(errc::system_failed, "cannot send: " + wire_.last_words());
        }
        meanings_changed_ = meanings_changed_ || said.meanings;
        unflushed += wire_.bound_octets() + entry_overhead + sql.sql().size();
    }
    return next < batch.size() && !wire_.is_flushed();
}

// Answers are taken in while it sends: with both sides waiting to be read, neither would ever go
// on.
asio::awaitable<void> postgres_exchange::push() {
    do {
        co_await wire_.readable_or_writable();
        wire_.take_in();
        take_available();
    } while (!wire_.is_flushed());
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

// What its end means for the session from here on.
void postgres_exchange::end_batch(std::optional<error>& cut,
                                  const std::optional<error>& interrupted, phase when) {
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
}

// Stands for a talk that has failed already.
asio::awaitable<void> postgres_exchange::fail_with(error failure) {
    throw failure;
    co_return;
}

}  // namespace bitdotio
