// The answers of a pipeline, one after the other.
#include "postgres/pipeline_report.hpp"

#include "postgres/failure.hpp"
#include "postgres/statement_words.hpp"

#include <string>

namespace bitdotio {

namespace {

// Without its sync, or a COMMIT among it, nothing of a transactional batch is committed.
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

bool is_copy(ExecStatusType status) {
    return status == PGRES_COPY_IN || status == PGRES_COPY_OUT || status == PGRES_COPY_BOTH;
}

}  // namespace

pipeline_report::pipeline_report(const pipeline& batch, statement_report& report)
    : batch_(batch),
      report_(report),
      sync_each_(batch.sync() == pipeline_sync::each_statement),
      entries_(batch.size()) {
    plans_.reserve(batch.size());
}

void pipeline_report::note_sent(const statement_facts& said, statement_cache::plan plan,
                                bool synced) {
    plans_.push_back(std::move(plan));
    synced_ = synced;
    commit_sent_ = commit_sent_ || said.commits;
}

std::optional<pipeline_report::refusal> pipeline_report::add(libpq::result answer, bool broken) {
    if (!answer) {
        ++parts_answered_;
        if (!sync_each_ && answered_ < plans_.size() &&
            parts_answered_ == plans_[answered_].parts) {
            parts_answered_ = 0;
            ++answered_;
        }
        return std::nullopt;
    }
    const ExecStatusType status = PQresultStatus(answer.get());
    if (status == PGRES_PIPELINE_SYNC) {
        end_unit();
        return std::nullopt;
    }
    if (status == PGRES_PIPELINE_ABORTED) {
        return skipped();
    }
    if (is_copy(status)) {
        report_.copy_begins();
        return std::nullopt;
    }
    if (status == PGRES_FATAL_ERROR || status == PGRES_BAD_RESPONSE) {
        server_message said = libpq::message_of(answer.get());
        const bool is_libpqs = said.sqlstate.empty() && broken && answered_ < entries_.size();
        return is_libpqs ? std::nullopt : refuse(std::move(said));
    }
    if (answered_ < entries_.size()) {
        entries_[answered_].answer = result(answer.release());
    }
    return std::nullopt;
}

std::optional<pipeline_report::refusal> pipeline_report::refuse(server_message said) {
    if (answered_ == entries_.size()) {  // a deferred constraint, checked at the sync
        failed_at_sync_ = std::move(said);
        return std::nullopt;
    }
    if (said.severity == "FATAL" || said.severity == "PANIC") {
        report_.hear_goodbye(std::move(said));
        return std::nullopt;
    }
    const bool in_transaction = report_.is_in_transaction();
    if (in_transaction) {
        report_.fail_transaction(said);
    }
    failed_ = failed_.value_or(answered_);
    entry& one = entries_[answered_];
    one.answer = result();
    const bool midway =
        !in_transaction && sync_each_ && may_commit_midway(batch_.sql(answered_).sql());
    one.failure =
        refused_statement(in_transaction ? stage::in_transaction : stage::sent, said, midway);
    const statement_cache::plan& plan = plans_[answered_];
    return refusal{plan, parts_answered_ + 1 >= plan.parts, std::move(said)};
}

// What was passed over was not prepared either, or its name would be unknown the next time.
std::optional<pipeline_report::refusal> pipeline_report::skipped() const {
    const bool prepares = answered_ < plans_.size() &&
                          plans_[answered_].what == statement_cache::action::prepare &&
                          parts_answered_ + 1 < plans_[answered_].parts;
    return prepares ? std::optional(refusal{plans_[answered_], false, {}}) : std::nullopt;
}

void pipeline_report::end_unit() {
    if (auto warning = report_.take_unconfirmed()) {
        const error executed = unconfirmed_commit(stage::sent, std::move(*warning));
        // It was the statement that this sync ends, or all.
        for (std::size_t i = sync_each_ ? answered_ : 0;
             i < entries_.size() && (i == answered_ || !sync_each_); ++i) {
            entries_[i].failure = entries_[i].failure.value_or(executed);
        }
    }
    answered_ += sync_each_;
    parts_answered_ = 0;
    complete_ = answered_ == entries_.size();
}

pipeline_results pipeline_report::finish(const std::optional<error>& interrupted,
                                         const std::optional<error>& cut) {
    for (std::size_t i = 0; i < entries_.size(); ++i) {
        settle(i, interrupted, cut);
    }
    return pipeline_results(std::move(entries_));
}

void pipeline_report::settle(std::size_t index, const std::optional<error>& interrupted,
                             const std::optional<error>& cut) {
    entry& one = entries_[index];
    if (interrupted && one.failure && was_stopped(one.failure->sqlstate())) {
        one.failure = one.failure->with_code(interrupted->code())
                          .with_message(interrupted->code() == errc::timeout
                                            ? "the pipeline took too long and was stopped"
                                            : "the pipeline was cancelled and stopped");
    }
    const bool is_settled = sync_each_ ? index < answered_ : complete_;
    if (cut && !is_settled && !one.failure) {
        one.failure =
            lost_entry(*cut, index < plans_.size(), sync_each_ || synced_ || commit_sent_);
    } else if (interrupted && !cut && index >= plans_.size()) {
        one.failure = interrupted->with(outcome::not_sent);
    } else if (!sync_each_ && failed_ && !one.failure) {
        one.failure = failed_with(*failed_, entries_[*failed_].failure->what());
    } else if (!sync_each_ && failed_at_sync_ && !one.failure) {
        one.failure = refused_statement(stage::sent, *failed_at_sync_);
    }
    // See statement_report::require_commit.
    if (!one.failure && one.answer.command_tag() == "ROLLBACK" &&
        commits(batch_.sql(index).sql())) {
        one.failure = refused_commit(report_.failed_by());
    }
    if (one.failure) {
        one.answer = result();
    }
}

}  // namespace bitdotio
