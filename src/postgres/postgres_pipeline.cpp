// Many statements in one trip: sent while their answers are taken in.
#include "postgres/failure.hpp"
#include "postgres/postgres_session.hpp"
#include "postgres/statement_words.hpp"

#include <numeric>
#include <utility>

namespace bitdotio {

// How far a pipeline has come. Answers of an entry end with its sync, or, where there is one sync
// for all, with the NULLs of its parts: libpq counts preparing and evicting as statements too.
struct postgres_session::batch_progress {
    explicit batch_progress(pipeline_results& into, bool each) : results(into), sync_each(each) {}

    pipeline_results& results;
    bool sync_each;
    std::vector<statement_cache::plan> plans{};      // of each entry sent
    std::vector<bool> midway{};                      // whether it may commit before it fails
    std::size_t answered = 0;                        // entries whose answers are complete
    std::size_t parts_answered = 0;                  // of the entry being answered
    std::optional<std::size_t> failed{};             // the first refused entry
    std::optional<server_message> failed_at_sync{};  // all of it, when it was to be committed
    bool synced = false;                             // the end of what was sent so far is marked
    bool complete = false;
};

namespace {

// Small statements share a system call: about as many bytes as libpq keeps before it sends.
constexpr std::size_t flush_size = 8 * 1024;
constexpr std::size_t entry_overhead = 64;

// Without its sync nothing of a transactional batch is committed.
error lost_entry(const error& loss, bool sent, bool ended) {
    return !sent   ? loss.with(outcome::not_sent).with(phase::sending)
           : ended ? loss
                   : loss.with(outcome::not_executed);
}

error failed_with(std::size_t culprit, const std::string& words) {
    return error(errc::query_failed, "not executed, because statement " + std::to_string(culprit) +
                                         " of the pipeline failed: " + words)
        .with(phase::replied)
        .with(outcome::not_executed);
}

}  // namespace

// A reset that fails leaves its transaction failed, in which nothing runs; unless a later unit of
// the batch ends it.
bool postgres_session::outlives_refusal(const pipeline& batch) {
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

// Half of a transactional batch cannot be stopped, only cut: its sync would commit it.
bool postgres_session::is_stoppable() const {
    return !batch_ || batch_->sync_each || batch_->synced;
}

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
    pipeline_results results;
    for (std::size_t i = 0; i < batch.size(); ++i) {
        check_text(batch.sql(i));
        bind(batch.values(i));  // refuses what cannot be sent before anything is
    }
    if (owes_something()) {
        co_await settle_debts();
    }
    if (owes_reset() && outlives_refusal(batch)) {
        co_await reset_now();
    }
    get_ready();
    results.entries_.resize(batch.size());
    if (batch.empty()) {
        co_return results;
    }

    batch_progress progress(results, batch.sync() == pipeline_sync::each_statement);
    const phase when = note_batch(batch);
    PQenterPipelineMode(conn_.get());
    status_ = session_status::busy;
    const time_point deadline = deadline_after(batch.timeout().value_or(statement_timeout_));
    std::optional<error> interrupted;
    std::optional<error> cut;
    batch_ = &progress;
    try {
        interrupted = co_await supervise(talk_pipeline(batch, progress), deadline, when);
    } catch (const error& failure) {
        cut = failure;
    }
    batch_ = nullptr;
    if (!cut && PQstatus(conn_.get()) != CONNECTION_BAD) {
        require_reset(interrupted);
    }
    if (!cut && copy_started_) {
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
    finish_entries(progress, batch.size(), interrupted, cut);
    for (std::size_t i = 0; i < batch.size(); ++i) {  // see require_commit
        auto& entry = results.entries_[i];
        if (commits(batch.sql(i).sql()) && entry.answer.command_tag() == "ROLLBACK") {
            entry.failure = refused_commit(failed_by_);
            entry.answer = result();
        }
    }
    co_return results;
}

// What has to be known of a pipeline to say what its failure means.
phase postgres_session::note_batch(const pipeline& batch) {
    in_transaction_ = status() == session_status::in_transaction;
    midway_ = batch.sync() == pipeline_sync::each_statement && batch.size() > 1;
    bool ends = false;
    for (std::size_t i = 0; i < batch.size(); ++i) {
        ends = ends || commits(batch.sql(i).sql());
        changed_ = changed_ | session_changes_of(batch.sql(i).sql());
    }
    return in_transaction_ && ends ? phase::committing : phase::awaiting_reply;
}

asio::awaitable<void> postgres_session::talk_pipeline(const pipeline& batch,
                                                      batch_progress& progress) {
    co_await asio::this_coro::reset_cancellation_state(asio::enable_total_cancellation());
    co_await asio::this_coro::throw_if_cancelled(false);
    if (owes_reset() && !send_reset()) {
        throw error(errc::system_failed, "cannot send: " + libpq::last_words(conn_.get()));
    }
    std::size_t unflushed = 0;
    for (std::size_t i = 0; i < batch.size(); ++i) {
        const bool sync = progress.sync_each || i + 1 == batch.size();
        if (!send_entry(batch.sql(i), batch.values(i), sync, progress)) {
            throw error(errc::system_failed, "cannot send: " + libpq::last_words(conn_.get()));
        }
        unflushed += std::accumulate(lengths_.begin(), lengths_.end(),
                                     entry_overhead + batch.sql(i).sql().size());
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

bool postgres_session::send_entry(const statement& sql, const params& values, bool sync,
                                  batch_progress& progress) {
    bind(values);
    plan_ = {};
    if (sql.may_be_prepared()) {
        plan_ = statements_.look_up(sql.sql(), types_);
    }
    const bool prepares = plan_.what == statement_cache::action::prepare;
    const bool sent = (!prepares || send_preparation(sql)) && send_bound(sql) &&
                      (!sync || libpq::send_sync(conn_.get()));
    progress.plans.push_back(std::exchange(plan_, {}));
    progress.midway.push_back(!in_transaction_ && progress.sync_each &&
                              may_commit_midway(sql.sql()));
    syncs_ += sent && sync;
    progress.synced = sent && sync;
    return sent;
}

// Answers that are there already, without waiting.
void postgres_session::take_available() {
    while (syncs_ > 0 && !copy_started_ && !PQisBusy(conn_.get())) {
        libpq::result answer(PQgetResult(conn_.get()));
        if (!answer && PQstatus(conn_.get()) == CONNECTION_BAD) {
            return;
        }
        collect(std::move(answer));
    }
}

// One answer of a pipeline: of the entry that is next, NULL at the end of a part.
void postgres_session::collect_batch(libpq::result answer) {
    batch_progress& batch = *batch_;
    std::vector<pipeline_results::entry>& entries = batch.results.entries_;
    if (!answer) {
        ++batch.parts_answered;
        if (!batch.sync_each && batch.answered < batch.plans.size() &&
            batch.parts_answered == batch.plans[batch.answered].parts) {
            batch.parts_answered = 0;
            ++batch.answered;
        }
        return;
    }
    const ExecStatusType status = PQresultStatus(answer.get());
    if (status == PGRES_PIPELINE_SYNC) {
        --syncs_;
        if (!committed_.message.empty()) {
            const error executed = unconfirmed_commit(stage::sent, std::exchange(committed_, {}));
            // It was the entry that this sync ends, or all.
            for (std::size_t i = batch.sync_each ? batch.answered : 0;
                 i < entries.size() && (i == batch.answered || !batch.sync_each); ++i) {
                entries[i].failure = entries[i].failure.value_or(executed);
            }
        }
        batch.answered += batch.sync_each;
        batch.parts_answered = 0;
        batch.complete = batch.answered == entries.size();
        return;
    }
    if (status == PGRES_PIPELINE_ABORTED) {
        return;
    }
    if (status == PGRES_COPY_IN || status == PGRES_COPY_OUT || status == PGRES_COPY_BOTH) {
        copy_started_ = true;
        return;
    }
    const bool error_came = status == PGRES_FATAL_ERROR || status == PGRES_BAD_RESPONSE;
    if (batch.answered == entries.size()) {  // a deferred constraint, checked at the sync
        if (error_came) {
            batch.failed_at_sync = libpq::message_of(answer.get());
        }
        return;
    }
    auto& entry = entries[batch.answered];
    if (!error_came) {
        entry.answer = result(answer.release());
        return;
    }
    server_message message = libpq::message_of(answer.get());
    if (message.sqlstate.empty() && PQstatus(conn_.get()) == CONNECTION_BAD) {
        return;  // libpq's own words about a lost connection
    }
    if (message.severity == "FATAL" || message.severity == "PANIC") {
        goodbye_ = std::move(message);
        return;
    }
    if (in_transaction_ && !echoes_earlier(message)) {
        failed_by_ = message;
    }
    refusal_ = message;
    plan_ = batch.plans[batch.answered];
    // For the next time: here the statements after it may have run already.
    heal(batch.parts_answered + 1 >= plan_.parts);
    refusal_ = {};
    batch.failed = batch.failed.value_or(batch.answered);
    entry.answer = result();
    const stage when = in_transaction_ ? stage::in_transaction : stage::sent;
    entry.failure = refused_statement(when, std::move(message), batch.midway[batch.answered]);
}

// What is not answered is said too: for each statement there is a result or an error.
void postgres_session::finish_entries(batch_progress& batch, std::size_t size,
                                      const std::optional<error>& interrupted,
                                      const std::optional<error>& cut) {
    std::vector<pipeline_results::entry>& entries = batch.results.entries_;
    for (std::size_t i = 0; i < size; ++i) {
        auto& entry = entries[i];
        if (interrupted && entry.failure && was_stopped(entry.failure->sqlstate())) {
            entry.failure = entry.failure->with_code(interrupted->code())
                                .with_message(interrupted->code() == errc::timeout
                                                  ? "the pipeline took too long and was stopped"
                                                  : "the pipeline was cancelled and stopped");
        }
        const bool settled = batch.sync_each ? i < batch.answered : batch.complete;
        if (cut && !settled && !entry.failure) {
            entry.failure =
                lost_entry(*cut, i < batch.plans.size(), batch.sync_each || batch.synced);
        } else if (interrupted && !cut && i >= batch.plans.size()) {
            entry.failure = interrupted->with(outcome::not_sent);
        } else if (!batch.sync_each && batch.failed && !entry.failure) {
            entry.failure = failed_with(*batch.failed, entries[*batch.failed].failure->what());
        } else if (!batch.sync_each && batch.failed_at_sync && !entry.failure) {
            entry.failure = refused_statement(stage::sent, *batch.failed_at_sync);
        }
        if (entry.failure) {
            entry.answer = result();
        }
    }
}

}  // namespace bitdotio
