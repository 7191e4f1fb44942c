// The table of what a failure means.
#include "postgres/failure.hpp"

#include <utility>

namespace bitdotio {

namespace {

std::string words_of(const server_message& message) {
    std::string text = message.message.empty() ? "the server gave no reason" : message.message;
    if (!message.sqlstate.empty()) {
        text += " (SQLSTATE " + message.sqlstate + ")";
    }
    return text;
}

bool in_class(std::string_view sqlstate, std::string_view two) {
    return sqlstate.substr(0, 2) == two;
}

bool is_final(const server_message& message) {
    return message.severity == "FATAL" || message.severity == "PANIC";
}

// Raised only while a backend waits for a command, so nothing that was sent has been executed. As
// anything but FATAL it is what somebody's function says.
bool proves_idle(const server_message& goodbye) {
    return is_final(goodbye) && (goodbye.sqlstate == "57P05" || goodbye.sqlstate == "25P03");
}

// What lost against another transaction.
bool is_conflict(std::string_view sqlstate) {
    return sqlstate == "40001" || sqlstate == "40P01";
}

// PostgreSQL names the function of its source that reports an error. A pooler cannot, and what it
// says of a connection behind it proves nothing about the server there.
bool is_of_a_proxy(const server_message& message) {
    return (message.sqlstate == "XX000" || message.sqlstate == "08P01") && message.routine.empty();
}

judgement judge_loss(stage when, const failure_facts& facts) {
    const bool idle = proves_idle(facts.said);
    switch (when) {
        case stage::connecting:
        case stage::leased: return {verdict::again, outcome::not_sent};
        case stage::sent:
            if (idle) return {verdict::again_once, outcome::not_executed};
            if (is_of_a_proxy(facts.said)) return {verdict::tell, outcome::unknown};
            return {verdict::once_if_idempotent, outcome::unknown};
        case stage::rows_seen: return {verdict::tell, outcome::unknown};
        // Without its COMMIT a transaction ends with its connection.
        case stage::in_transaction: return {verdict::again_as_a_whole, outcome::not_executed};
        case stage::committing:
            if (idle) return {verdict::again_as_a_whole, outcome::not_executed};
            return {verdict::tell, outcome::unknown};
    }
    return {verdict::tell, outcome::unknown};
}

judgement judge_refusal(stage when, const failure_facts& facts) {
    const std::string& code = facts.said.sqlstate;
    const plan_verdict plan = judge_plan(facts.said);
    const bool stale = plan == plan_verdict::missing || plan == plan_verdict::outdated;
    const judgement told{verdict::tell, outcome::not_executed};
    switch (when) {
        case stage::connecting: return {verdict::tell, outcome::not_sent};
        case stage::leased: return {verdict::again, outcome::not_sent};
        case stage::sent:
            if (is_of_a_proxy(facts.said)) return {verdict::tell, outcome::unknown};
            if (is_conflict(code)) {
                return {verdict::once_if_idempotent,
                        facts.midway ? outcome::unknown : outcome::not_executed};
            }
            if (facts.midway) return {verdict::tell, outcome::unknown};
            if (code == "25006" || stale) return {verdict::again_once, outcome::not_executed};
            return told;
        case stage::rows_seen:
            return is_of_a_proxy(facts.said) || facts.midway
                       ? judgement{verdict::tell, outcome::unknown}
                       : told;
        case stage::in_transaction:
            if (is_conflict(code) || in_class(code, "53") || code == "25006" || stale ||
                is_of_a_proxy(facts.said)) {
                return {verdict::again_as_a_whole, outcome::not_executed};
            }
            return told;
        case stage::committing:
            if (is_of_a_proxy(facts.said)) return {verdict::tell, outcome::unknown};
            if (is_conflict(code)) return {verdict::again_as_a_whole, outcome::not_executed};
            return told;
    }
    return told;
}

// Those that a server's answer to a statement, or its lack, becomes.
bool is_of_a_statement(const error& failure) {
    switch (failure.code()) {
        case errc::query_failed:
        case errc::transaction_conflict:
        case errc::permission_denied:
        case errc::server_busy:
        case errc::connection_lost:
        case errc::commit_outcome_unknown: break;
        default: return false;
    }
    return failure.phase() != phase::resolving && failure.phase() != phase::connecting &&
           failure.phase() != phase::acquiring;
}

// What an error kept of the facts it was made of.
failure_facts facts_of(const error& failure) {
    failure_facts facts;
    facts.said = failure.server();
    facts.ready =
        failure.code() != errc::connection_lost && failure.code() != errc::commit_outcome_unknown;
    return facts;
}

phase phase_of(stage when, bool answered) {
    switch (when) {
        case stage::connecting: return phase::connecting;
        case stage::leased: return phase::sending;
        case stage::committing: return phase::committing;
        case stage::sent:
        case stage::rows_seen:
        case stage::in_transaction: break;
    }
    return answered ? phase::replied : phase::awaiting_reply;
}

errc dial_code(std::string_view sqlstate) {
    if (in_class(sqlstate, "28")) return errc::authentication_failed;
    if (sqlstate == "3D000") return errc::not_found;
    if (sqlstate == "42501") return errc::permission_denied;
    if (in_class(sqlstate, "53")) return errc::server_busy;
    // 25006: one that may be written to is elsewhere, or about to be promoted.
    if (in_class(sqlstate, "57") || sqlstate == "XX000" || sqlstate == "08P01" ||
        sqlstate == "25006") {
        return errc::database_asleep;
    }
    return errc::connect_failed;
}

errc statement_code(std::string_view sqlstate) {
    if (is_conflict(sqlstate)) return errc::transaction_conflict;
    if (sqlstate == "42501") return errc::permission_denied;
    if (in_class(sqlstate, "53")) return errc::server_busy;
    return errc::query_failed;
}

// The first that is found decides, so that what is special stands before what is general.
constexpr std::pair<std::string_view, errc> dial_words[] = {
    {"private key", errc::bad_input},
    {"could not read certificate file", errc::bad_input},
    {"could not read root certificate file", errc::bad_input},
    {"certificate file \"", errc::bad_input},
    {"channel binding", errc::tls_failed},
    {"no password supplied", errc::authentication_failed},
    {"authentication method", errc::authentication_failed},
    {"server requested", errc::authentication_failed},
    {"requirepeer", errc::connect_failed},
    {"does not support SSL", errc::tls_failed},
    {"wrong version number", errc::tls_failed},
    {"unsupported protocol", errc::tls_failed},
    {"no protocols available", errc::bad_input},
    {" alert ", errc::tls_failed},
    {"certificate", errc::tls_failed},
    {"SSL error: EVP lib", errc::tls_failed},  // signed by another authority of the same name
    // Whatever else happened at an address may pass: refused, hung up, not there yet.
    {"connection to server", errc::database_asleep},
    {"server closed", errc::database_asleep},
};

}  // namespace

judgement judge(stage when, const failure_facts& facts) noexcept {
    if (facts.committed && when != stage::connecting && when != stage::leased) {
        return {verdict::tell, facts.midway ? outcome::unknown : outcome::executed};
    }
    if (when == stage::connecting && !facts.said.sqlstate.empty()) {
        const bool waits = judge_dial(refused_dial(facts.said)) != dial_verdict::fatal;
        return {waits ? verdict::again : verdict::tell, outcome::not_sent};
    }
    const bool refused = facts.ready && facts.said.severity == "ERROR";
    return refused ? judge_refusal(when, facts) : judge_loss(when, facts);
}

verdict judge_statement(const error& failure, bool rows_seen) noexcept {
    if (!is_of_a_statement(failure) || failure.outcome() == outcome::executed ||
        failure.phase() == phase::committing) {
        return verdict::tell;
    }
    if (failure.outcome() == outcome::not_sent) {
        const bool lost = failure.code() == errc::connection_lost;
        return lost ? judge(stage::leased, facts_of(failure)).what : verdict::tell;
    }
    const stage when = rows_seen ? stage::rows_seen : stage::sent;
    const verdict found = judge(when, facts_of(failure)).what;
    const bool needs_proof = found == verdict::again || found == verdict::again_once;
    // The error may know more than it was made of: that a procedure had committed a part.
    return needs_proof && failure.outcome() == outcome::unknown ? verdict::tell : found;
}

verdict judge_transaction(const error& failure) noexcept {
    if (!is_of_a_statement(failure) || failure.outcome() == outcome::executed ||
        failure.code() == errc::commit_outcome_unknown) {
        return verdict::tell;
    }
    if (failure.phase() != phase::committing) {
        return judge(stage::in_transaction, facts_of(failure)).what;
    }
    // It has been settled that it was not committed: by proof, or by asking the server.
    const bool settled =
        failure.code() == errc::connection_lost && failure.outcome() == outcome::not_executed;
    return settled ? verdict::again_as_a_whole : judge(stage::committing, facts_of(failure)).what;
}

bool is_read_only_server(const error& failure) noexcept {
    return failure.sqlstate() == "25006" && failure.outcome() == outcome::not_executed;
}

dial_verdict judge_dial(const error& failure) noexcept {
    switch (failure.code()) {
        case errc::database_asleep:
        case errc::connection_lost:
        case errc::timeout: return dial_verdict::waking;
        case errc::server_busy: return dial_verdict::busy;
        default: return dial_verdict::fatal;
    }
}

error refused_dial(server_message message) {
    const errc code = dial_code(message.sqlstate);
    return error(code, "cannot connect: " + words_of(message))
        .with(std::move(message))
        .with(phase::connecting)
        .with(outcome::not_sent);
}

error failed_dial(std::string words) {
    errc code = errc::bad_input;
    for (const auto& [part, meaning] : dial_words) {
        if (words.find(part) != std::string::npos) {
            code = meaning;
            break;
        }
    }
    return error(code, "cannot connect: " + std::move(words))
        .with(phase::connecting)
        .with(outcome::not_sent);
}

error refused_statement(stage when, server_message message, bool midway) {
    failure_facts facts;
    facts.said = std::move(message);
    facts.ready = true;
    facts.midway = midway;
    const outcome known = judge(when, facts).outcome;
    const errc code = statement_code(facts.said.sqlstate);
    return error(code, words_of(facts.said))
        .with(std::move(facts.said))
        .with(phase_of(when, true))
        .with(known);
}

error refused_commit(server_message cause) {
    std::string text =
        "the transaction was rolled back instead of committed, because a statement in it had "
        "failed";
    if (!cause.sqlstate.empty()) {
        text += ": " + words_of(cause);
    }
    const errc code = is_conflict(cause.sqlstate) ? errc::transaction_conflict : errc::query_failed;
    return error(code, std::move(text))
        .with(std::move(cause))
        .with(phase::committing)
        .with(outcome::not_executed);
}

error lost_connection(stage when, failure_facts facts, const std::string& words) {
    facts.ready = false;
    const outcome known = judge(when, facts).outcome;
    if (known == outcome::executed) {
        return unconfirmed_commit(when, std::move(facts.said));
    }
    const bool commit = when == stage::committing && known == outcome::unknown;
    std::string text = commit ? "the connection broke while committing; the transaction may have "
                                "happened: "
                              : "the connection broke: ";
    text += facts.said.message.empty() ? words : words_of(facts.said);
    if (known == outcome::unknown && !commit) {
        text += "; whether the statement was executed is unknown";
    } else if (when == stage::in_transaction) {
        text += "; the transaction is rolled back";
    }
    return error(commit ? errc::commit_outcome_unknown : errc::connection_lost, std::move(text))
        .with(std::move(facts.said))
        .with(phase_of(when, false))
        .with(known);
}

error unconfirmed_commit(stage when, server_message warning) {
    return error(errc::replication_unconfirmed,
                 "it is committed, but whether a standby has it is unknown; do not run it again: " +
                     words_of(warning))
        .with(std::move(warning))
        .with(phase_of(when, true))
        .with(outcome::executed);
}

plan_verdict judge_plan(const server_message& refusal) noexcept {
    if (refusal.sqlstate == "26000" || refusal.sqlstate == "42P05") {
        return plan_verdict::missing;
    }
    // Only the check of a cached plan is that; 0A000 has other causes.
    if (refusal.sqlstate == "0A000" && refusal.routine == "RevalidateCachedQuery") {
        return plan_verdict::outdated;
    }
    if (in_class(refusal.sqlstate, "42") || refusal.sqlstate == "XX000") {
        return plan_verdict::suspect;
    }
    return in_class(refusal.sqlstate, "22") ? plan_verdict::suspect_of_values : plan_verdict::fine;
}

bool echoes_earlier(const server_message& refusal) noexcept {
    return refusal.sqlstate == "25P02";
}

bool was_stopped(std::string_view sqlstate) noexcept {
    return sqlstate == "57014";
}

bool ends_itself_only(const server_message& goodbye) noexcept {
    return proves_idle(goodbye);
}

notice_verdict judge_notice(const server_message& notice) noexcept {
    // Terminated (57P01) or cancelled while it waited for its standby. What says so in words only
    // is translated, so the function of the source is what tells.
    if (notice.severity == "WARNING" && notice.routine == "SyncRepWaitForLSN") {
        return notice_verdict::committed;
    }
    if (is_final(notice)) {
        return notice_verdict::goodbye;
    }
    // In an immediate stop, or the crash of another backend, the goodbye is a WARNING. Somebody's
    // function may raise one of these codes too.
    const bool quick = notice.routine == "quickdie" || notice.routine.empty();
    return notice.severity == "WARNING" && quick &&
                   (notice.sqlstate == "57P01" || notice.sqlstate == "57P02")
               ? notice_verdict::goodbye
               : notice_verdict::tell;
}

}  // namespace bitdotio
