// The table of what a failure means.
#include "failure.hpp"

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

// Raised only while a backend waits for a command, so nothing that was sent has been executed.
bool proves_idle(std::string_view sqlstate) {
    return sqlstate == "57P05" || sqlstate == "25P03";
}

errc dial_code(std::string_view sqlstate) {
    if (in_class(sqlstate, "28")) return errc::authentication_failed;
    if (sqlstate == "3D000") return errc::not_found;
    if (sqlstate == "42501") return errc::permission_denied;
    if (in_class(sqlstate, "53")) return errc::server_busy;
    if (in_class(sqlstate, "57") || sqlstate == "XX000" || sqlstate == "08P01") {
        return errc::database_asleep;
    }
    return errc::connect_failed;
}

errc statement_code(std::string_view sqlstate) {
    if (sqlstate == "40001" || sqlstate == "40P01") return errc::transaction_conflict;
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
    // Whatever else happened at an address may pass: refused, hung up, not there yet.
    {"connection to server", errc::database_asleep},
    {"server closed", errc::database_asleep},
};

}  // namespace

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

error refused_statement(server_message message) {
    const errc code = statement_code(message.sqlstate);
    return error(code, words_of(message))
        .with(std::move(message))
        .with(phase::replied)
        .with(outcome::not_executed);
}

error lost_connection(phase when, server_message reason, const std::string& words) {
    outcome known = outcome::unknown;
    if (when == phase::none || when == phase::sending) {
        known = outcome::not_sent;
    } else if (proves_idle(reason.sqlstate)) {
        known = outcome::not_executed;
    }
    const bool commit = when == phase::committing && known == outcome::unknown;
    std::string text = commit ? "the connection broke while committing; the transaction may have "
                                "happened: "
                              : "the connection broke: ";
    text += reason.message.empty() ? words : words_of(reason);
    if (known == outcome::unknown && !commit) {
        text += "; whether the statement was executed is unknown";
    }
    return error(commit ? errc::commit_outcome_unknown : errc::connection_lost, std::move(text))
        .with(std::move(reason))
        .with(when)
        .with(known);
}

bool provably_not_executed(const error& failure) noexcept {
    return failure.code() == errc::connection_lost &&
           (failure.outcome() == outcome::not_sent || failure.outcome() == outcome::not_executed);
}

}  // namespace bitdotio
