// The meaning of a statement's answers, by the table of failures.
#include "postgres/statement_report.hpp"

#include "postgres/statement_words.hpp"

namespace bitdotio {

namespace {

std::string stopped_because(const error& interrupted) {
    switch (interrupted.code()) {
        case errc::timeout: return "the statement took too long and was stopped";
        case errc::result_too_large:
            return std::string(interrupted.what()) + "; the statement was stopped";
        default: return "the statement was cancelled and stopped";
    }
}

}  // namespace

void statement_report::begin() {
    answers_.clear();
    bounded_.reset();
    if (is_refused() || !refusal_.severity.empty()) refusal_ = {};
    if (!committed_.message.empty()) committed_ = {};
    in_transaction_ = false;
    midway_ = false;
    copy_started_ = false;
}

void statement_report::note(const statement& sql, bool alone, bool in_transaction,
                            const statement_facts* known) {
    if (!in_transaction && !(failed_by_.sqlstate.empty() && failed_by_.message.empty())) {
        failed_by_ = {};
    }
    // A text of several statements may commit anywhere.
    in_transaction_ = in_transaction && (alone || !may_commit(sql.sql()));
    midway_ = !in_transaction && (known ? known->midway : may_commit_midway(sql.sql()));
    commits_ = alone && (known ? known->commits : bitdotio::commits(sql.sql()));
}

void statement_report::note_several(bool independent, bool in_transaction) noexcept {
    in_transaction_ = in_transaction;
    midway_ = independent;
}

void statement_report::add(libpq::result answer) {
    const ExecStatusType status = PQresultStatus(answer.get());
    if (libpq::is_piece(status)) {
        if (bounded_) bounded_->add(answer.get());
        return;  // else of a stream nobody reads any more
    }
    switch (status) {
        case PGRES_FATAL_ERROR:
        case PGRES_BAD_RESPONSE: refuse(libpq::message_of(answer.get())); break;
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

bool statement_report::hear(const server_message& notice) {
    const notice_verdict what = judge_notice(notice);
    if (what == notice_verdict::goodbye) {  // a notice, because no statement waits for it
        goodbye_ = notice;
        return false;
    }
    if (what == notice_verdict::committed) {
        committed_ = notice;
    }
    return true;
}

// The first error with a SQLSTATE is the cause, what follows is noise.
void statement_report::refuse(server_message said) {
    if (refusal_.sqlstate.empty()) {
        refusal_ = std::move(said);
    }
}

void statement_report::fail_transaction(const server_message& refusal) {
    if (!echoes_earlier(refusal)) {
        failed_by_ = refusal;
    }
}

error statement_report::too_large() const {
    return error(errc::result_too_large,
                 "the result takes more than " + std::to_string(bounded_->most()) + " bytes");
}

stage statement_report::stage_at(phase when) const noexcept {
    switch (when) {
        case phase::none:
        case phase::sending: return stage::leased;
        case phase::committing: return stage::committing;
        default: return in_transaction_ ? stage::in_transaction : stage::sent;
    }
}

error statement_report::refusal_error(phase when, const std::optional<error>& interrupted) {
    error failure = refused_statement(stage_at(when), std::exchange(refusal_, {}), midway_);
    if (interrupted && was_stopped(failure.sqlstate())) {
        failure =
            failure.with_code(interrupted->code()).with_message(stopped_because(*interrupted));
    }
    return failure;
}

error statement_report::loss(phase when, const std::string& words) {
    failure_facts facts;
    facts.midway = midway_;
    facts.committed = !committed_.message.empty();
    const bool said = refusal_.severity == "FATAL" || refusal_.severity == "PANIC";
    facts.said = facts.committed ? committed_ : said ? std::move(refusal_) : goodbye_;
    return lost_connection(stage_at(when), std::move(facts), words);
}

error statement_report::loss_before(phase when, const std::string& words) const {
    failure_facts facts;
    facts.said = goodbye_;
    return lost_connection(stage_at(when), std::move(facts), words);
}

std::optional<error> statement_report::unconfirmed(phase when,
                                                   const std::optional<error>& interrupted) {
    auto warning = take_unconfirmed();
    if (!warning) {
        return std::nullopt;
    }
    const error told = unconfirmed_commit(stage_at(when), std::move(*warning));
    return interrupted ? told.with_code(interrupted->code()) : told;
}

std::optional<server_message> statement_report::take_unconfirmed() {
    if (committed_.message.empty()) {
        return std::nullopt;
    }
    return std::exchange(committed_, {});
}

void statement_report::require_commit(bool first) {
    if (answers_.empty()) {
        return;
    }
    const result& answer = first ? answers_.front() : answers_.back();
    if (answer.command_tag() == "ROLLBACK") {
        answers_.clear();
        throw refused_commit(std::exchange(failed_by_, {}));
    }
}

}  // namespace bitdotio
