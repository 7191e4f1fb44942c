// The table of what a failure means.
#include "postgres/failure.hpp"

#include <doctest/doctest.h>

#include <string>
#include <utility>
#include <vector>

namespace {

using namespace bitdotio;

server_message saying(const char* sqlstate, const char* severity = "ERROR") {
    server_message message;
    message.sqlstate = sqlstate;
    message.severity = severity;
    message.message = "words";
    return message;
}

TEST_CASE("a refused dial is waking, busy or fatal by its SQLSTATE") {
    struct row {
        const char* sqlstate;
        errc code;
        dial_verdict verdict;
    };
    const row table[] = {
        {"28P01", errc::authentication_failed, dial_verdict::fatal},
        {"28000", errc::authentication_failed, dial_verdict::fatal},
        {"3D000", errc::not_found, dial_verdict::fatal},
        {"42501", errc::permission_denied, dial_verdict::fatal},
        {"0A000", errc::connect_failed, dial_verdict::fatal},
        {"53300", errc::server_busy, dial_verdict::busy},
        {"57P03", errc::database_asleep, dial_verdict::waking},
        {"57P01", errc::database_asleep, dial_verdict::waking},
        {"57P02", errc::database_asleep, dial_verdict::waking},
        {"XX000", errc::database_asleep, dial_verdict::waking},
        {"08P01", errc::database_asleep, dial_verdict::waking},
        {"25006", errc::database_asleep, dial_verdict::waking},
    };
    for (const row& one : table) {
        CAPTURE(one.sqlstate);
        const error failure = refused_dial(saying(one.sqlstate, "FATAL"));
        CHECK(failure.code() == one.code);
        CHECK(judge_dial(failure) == one.verdict);
        CHECK(failure.sqlstate() == one.sqlstate);
        CHECK(failure.outcome() == outcome::not_sent);
    }
}

TEST_CASE("a dial that fails without the server's word is sorted by libpq's") {
    const std::string at = "connection to server at \"h\" (10.0.0.1), port 5432 failed: ";
    const std::pair<std::string, errc> table[] = {
        {at + "Connection refused\tIs the server running on that host?", errc::database_asleep},
        {at + "server closed the connection unexpectedly", errc::database_asleep},
        {at + "SSL error: unexpected eof while reading", errc::database_asleep},
        {at + "SSL SYSCALL error: Connection reset by peer", errc::database_asleep},
        {at + "SSL error: certificate verify failed", errc::tls_failed},
        {at + "SSL error: EVP lib", errc::tls_failed},
        {at + "SSL error: tlsv1 alert unknown ca", errc::tls_failed},
        {at + "SSL error: tlsv13 alert certificate required", errc::tls_failed},
        {at + "server certificate for \"a\" does not match host name \"h\"", errc::tls_failed},
        {at + "server does not support SSL, but SSL was required", errc::tls_failed},
        {at + "channel binding required, but SSL not in use", errc::tls_failed},
        {at + "fe_sendauth: no password supplied", errc::authentication_failed},
        {at + "private key file \"k\" has group or world access", errc::bad_input},
        {at + "could not read certificate file \"c\": no start line", errc::bad_input},
        {at + "certificate present, but not private key file \"k\"", errc::bad_input},
        {at + "root certificate file \"r\" does not exist", errc::bad_input},
        {"could not parse network address \"x\"", errc::bad_input},
    };
    for (const auto& [words, code] : table) {
        CAPTURE(words);
        const error failure = failed_dial(words);
        CHECK(failure.code() == code);
        CHECK(failure.outcome() == outcome::not_sent);
        CHECK(failure.phase() == phase::connecting);
    }
}

// How the server reports something, in the words of the table.
enum class manner { nothing, error, fatal, warning, committed };

server_message worded(manner how, const char* sqlstate) {
    server_message message = saying(sqlstate);
    switch (how) {
        case manner::nothing: return server_message();
        case manner::error: message.routine = "a_function"; break;
        case manner::fatal: message.severity = "FATAL"; break;
        case manner::warning: message.severity = "WARNING"; break;
        case manner::committed:
            message.severity = "WARNING";
            message.routine = "SyncRepWaitForLSN";
            break;
    }
    return message;
}

// A cell of the table as a word, see the table below.
std::string cell(stage when, const failure_facts& facts) {
    const judgement found = judge(when, facts);
    const std::string known = found.outcome == outcome::executed  ? "executed"
                              : found.outcome == outcome::unknown ? "UNKNOWN"
                                                                  : "NO";
    switch (found.what) {
        case verdict::again: return "AUTO";
        case verdict::again_once: return "AUTO1";
        case verdict::once_if_idempotent: return "IDEM";
        case verdict::again_as_a_whole: return "CLOSURE";
        case verdict::tell: return known;
    }
    return "";
}

// The table "Phase × failure": what may be done when, and after which words of the server.
//
// AUTO    silently, inside the deadline; AUTO1 so, once: it provably did nothing
// IDEM    once, if the caller declared it idempotent or read only; else say that it is unknown
// CLOSURE the whole transaction again: it provably left nothing
// UNKNOWN the outcome is unknown; NO the caller is told, it did nothing; executed it took effect
// -       does not happen
//
// "rows seen" are rows the caller has; until it has any the column "sent" holds.
TEST_CASE("the table of failures") {
    struct row {
        const char* failure;
        manner how;
        std::vector<const char*> sqlstates;
        const char* connecting;
        const char* leased;  // and idle at the look before lending
        const char* sent;
        const char* rows_seen;
        const char* in_transaction;
        const char* committing;
    };
    using enum manner;
    // clang-format off
    const row table[] = {
        // failure                   said       SQLSTATE                        connect leased  sent        rows       trans.     COMMIT
        {"refused, RST, EOF, ...",   nothing,   {""},                           "-",    "AUTO", "IDEM",     "UNKNOWN", "CLOSURE", "UNKNOWN"},
        {"waited too long",          fatal,     {"57P05", "25P03"},             "-",    "AUTO", "AUTO1",    "-",       "CLOSURE", "CLOSURE"},
        {"terminated",               fatal,     {"57P01", "57P02"},             "AUTO", "AUTO", "IDEM",     "UNKNOWN", "CLOSURE", "UNKNOWN"},
        {"crashed",                  warning,   {"57P01", "57P02"},             "-",    "AUTO", "IDEM",     "UNKNOWN", "CLOSURE", "UNKNOWN"},
        {"terminated, committed",    committed, {"57P01"},                      "-",    "-",    "executed", "executed","executed","executed"},
        {"cancelled, committed",     committed, {"01000"},                      "-",    "-",    "executed", "executed","executed","executed"},
        {"starting",                 fatal,     {"57P03"},                      "AUTO", "-",    "-",        "-",       "-",       "-"},
        {"no room, on opening",      fatal,     {"53300", "53400"},             "AUTO", "-",    "-",        "-",       "-",       "-"},
        {"no room",                  error,     {"53300", "53100", "53200"},    "-",    "-",    "NO",       "NO",      "CLOSURE", "-"},
        {"read-only server",         error,     {"25006"},                      "AUTO", "AUTO", "AUTO1",    "NO",      "CLOSURE", "-"},
        {"lost against another",     error,     {"40001", "40P01"},             "-",    "-",    "IDEM",     "NO",      "CLOSURE", "CLOSURE"},
        {"lost, and then gone",      fatal,     {"40001", "40P01"},             "-",    "AUTO", "IDEM",     "UNKNOWN", "CLOSURE", "UNKNOWN"},
        {"stopped",                  error,     {"57014"},                      "-",    "-",    "NO",       "NO",      "NO",      "NO"},
        {"a proxy's words",          fatal,     {"XX000", "08P01"},             "AUTO", "AUTO", "UNKNOWN",  "UNKNOWN", "CLOSURE", "UNKNOWN"},
        {"who may not",              error,     {"28000", "28P01", "3D000"},    "NO",   "-",    "NO",       "NO",      "NO",      "NO"},
        {"wrong statements, values", error,     {"42601", "42501", "22012"},    "NO",   "-",    "NO",       "NO",      "NO",      "NO"},
        {"constraints",              error,     {"23505", "23503"},             "NO",   "-",    "NO",       "NO",      "NO",      "NO"},
        {"a plan is missing",        error,     {"26000", "42P05"},             "-",    "-",    "AUTO1",    "NO",      "CLOSURE", "-"},
    };
    // clang-format on
    for (const row& one : table) {
        for (const char* sqlstate : one.sqlstates) {
            const std::string failure = one.failure;
            CAPTURE(failure);
            CAPTURE(sqlstate);
            const std::pair<stage, const char*> cells[] = {
                {stage::connecting, one.connecting},
                {stage::leased, one.leased},
                {stage::sent, one.sent},
                {stage::rows_seen, one.rows_seen},
                {stage::in_transaction, one.in_transaction},
                {stage::committing, one.committing}};
            failure_facts facts;
            facts.said = worded(one.how, sqlstate);
            facts.ready = one.how == error;
            facts.committed = one.how == committed;
            for (const auto& [when, expected] : cells) {
                if (std::string(expected) != "-") {
                    const int column = static_cast<int>(when);
                    CAPTURE(column);
                    CHECK(cell(when, facts) == expected);
                }
            }
        }
    }
}

TEST_CASE("a plan whose tables changed is prepared again, what else is not supported is told") {
    failure_facts facts;
    facts.said = saying("0A000");
    facts.said.routine = "RevalidateCachedQuery";
    facts.ready = true;
    CHECK(judge_plan(facts.said) == plan_verdict::outdated);
    CHECK(cell(stage::sent, facts) == "AUTO1");
    CHECK(cell(stage::in_transaction, facts) == "CLOSURE");
    facts.said.routine = "transformSetOperationTree";
    CHECK(judge_plan(facts.said) == plan_verdict::fine);
    CHECK(cell(stage::sent, facts) == "NO");
    CHECK(cell(stage::in_transaction, facts) == "NO");
    CHECK(judge_plan(saying("26000")) == plan_verdict::missing);
    CHECK(judge_plan(saying("42P05")) == plan_verdict::missing);
    CHECK(judge_plan(saying("42P01")) == plan_verdict::suspect);
    CHECK(judge_plan(saying("XX000")) == plan_verdict::suspect);
    CHECK(judge_plan(saying("22P02")) == plan_verdict::suspect_of_values);
    CHECK(judge_plan(saying("23505")) == plan_verdict::fine);
}

TEST_CASE(
    "a class proves something only as an ERROR with ReadyForQuery, or as FATAL 57P05, 25P03") {
    const char* codes[] = {"",      "57P01", "57P02", "57P03", "57P05", "25P03", "53300", "25006",
                           "40001", "40P01", "57014", "XX000", "08P01", "28P01", "3D000", "42601",
                           "22012", "23505", "26000", "0A000", "01000", "99999"};
    for (const char* code : codes) {
        for (const char* severity : {"", "ERROR", "FATAL", "PANIC", "WARNING", "NOTICE"}) {
            for (const bool ready : {false, true}) {
                for (const bool midway : {false, true}) {
                    CAPTURE(code);
                    CAPTURE(severity);
                    CAPTURE(ready);
                    CAPTURE(midway);
                    failure_facts facts;
                    facts.said = saying(code, severity);
                    facts.ready = ready;
                    facts.midway = midway;
                    const bool refused = ready && facts.said.severity == "ERROR";
                    const bool final =
                        facts.said.severity == "FATAL" || facts.said.severity == "PANIC";
                    const bool idle =
                        final && (facts.said.sqlstate == "57P05" || facts.said.sqlstate == "25P03");
                    for (const stage when : {stage::sent, stage::rows_seen, stage::committing}) {
                        const judgement found = judge(when, facts);
                        CHECK(found.outcome != outcome::executed);
                        CHECK(found.outcome != outcome::not_sent);
                        const bool proved = refused || idle;
                        CHECK((found.outcome == outcome::unknown || proved));
                        const bool silent = found.what == verdict::again ||
                                            found.what == verdict::again_once ||
                                            found.what == verdict::again_as_a_whole;
                        if (silent) {
                            CHECK(found.outcome == outcome::not_executed);
                        }
                    }
                }
            }
        }
    }
}

TEST_CASE("what may commit before it fails is not proved undone by its failure") {
    failure_facts facts;
    facts.said = saying("23505");
    facts.ready = true;
    facts.midway = true;
    CHECK(judge(stage::sent, facts) == judgement{verdict::tell, outcome::unknown});
    CHECK(judge(stage::rows_seen, facts).outcome == outcome::unknown);
    facts.said = saying("25006");
    CHECK(judge(stage::sent, facts) == judgement{verdict::tell, outcome::unknown});
    facts.said = saying("40001");
    CHECK(judge(stage::sent, facts) == judgement{verdict::once_if_idempotent, outcome::unknown});
    // A backend that waited for a command had not begun it.
    facts.said = saying("57P05", "FATAL");
    facts.ready = false;
    CHECK(judge(stage::sent, facts) == judgement{verdict::again_once, outcome::not_executed});
    // One of its transactions is committed, which says nothing about the others.
    facts.committed = true;
    CHECK(judge(stage::sent, facts) == judgement{verdict::tell, outcome::unknown});
}

TEST_CASE("a pooler's word proves nothing, PostgreSQL's own, which names its function, does") {
    failure_facts facts;
    facts.said = saying("08P01");
    facts.ready = true;
    CHECK(judge(stage::sent, facts) == judgement{verdict::tell, outcome::unknown});
    CHECK(judge(stage::committing, facts) == judgement{verdict::tell, outcome::unknown});
    CHECK(cell(stage::in_transaction, facts) == "CLOSURE");
    facts.said.routine = "exec_bind_message";
    CHECK(judge(stage::sent, facts) == judgement{verdict::tell, outcome::not_executed});
    CHECK(cell(stage::in_transaction, facts) == "NO");
}

TEST_CASE("a refused statement is not executed, its code says what to do") {
    struct row {
        const char* sqlstate;
        errc code;
        verdict alone;
        verdict in_transaction;
    };
    const row table[] = {
        {"40001", errc::transaction_conflict, verdict::once_if_idempotent,
         verdict::again_as_a_whole},
        {"40P01", errc::transaction_conflict, verdict::once_if_idempotent,
         verdict::again_as_a_whole},
        {"42501", errc::permission_denied, verdict::tell, verdict::tell},
        {"53100", errc::server_busy, verdict::tell, verdict::again_as_a_whole},
        {"25006", errc::query_failed, verdict::again_once, verdict::again_as_a_whole},
        {"23505", errc::query_failed, verdict::tell, verdict::tell},
        {"57014", errc::query_failed, verdict::tell, verdict::tell}};
    for (const row& one : table) {
        CAPTURE(one.sqlstate);
        const error failure = refused_statement(stage::sent, saying(one.sqlstate));
        CHECK(failure.code() == one.code);
        CHECK(failure.outcome() == outcome::not_executed);
        CHECK(failure.phase() == phase::replied);
        CHECK(failure.sqlstate() == one.sqlstate);
        CHECK(judge_statement(failure, false) == one.alone);
        CHECK(judge_statement(failure, true) == verdict::tell);
        CHECK(judge_transaction(failure) == one.in_transaction);
        CHECK(is_read_only_server(failure) == (failure.sqlstate() == "25006"));
        const error partly = refused_statement(stage::sent, saying(one.sqlstate), true);
        CHECK(partly.outcome() == outcome::unknown);
        CHECK(judge_statement(partly, false) != verdict::again_once);
        CHECK_FALSE(is_read_only_server(partly));
    }
}

TEST_CASE("what an error says after a loss, and what may be done, is by how far it had come") {
    struct row {
        stage when;
        const char* goodbye;
        errc code;
        phase told;
        outcome known;
        verdict alone;
        verdict in_transaction;
    };
    const auto lost = errc::connection_lost;
    const auto in_doubt = errc::commit_outcome_unknown;
    const auto whole = verdict::again_as_a_whole;
    const auto idempotent = verdict::once_if_idempotent;
    const row table[] = {
        {stage::leased, "", lost, phase::sending, outcome::not_sent, verdict::again, whole},
        {stage::leased, "57P01", lost, phase::sending, outcome::not_sent, verdict::again, whole},
        {stage::sent, "57P05", lost, phase::awaiting_reply, outcome::not_executed,
         verdict::again_once, whole},
        {stage::sent, "25P03", lost, phase::awaiting_reply, outcome::not_executed,
         verdict::again_once, whole},
        // The row of a statement that ended like this has been seen committed.
        {stage::sent, "57P01", lost, phase::awaiting_reply, outcome::unknown, idempotent, whole},
        {stage::sent, "57P02", lost, phase::awaiting_reply, outcome::unknown, idempotent, whole},
        {stage::sent, "", lost, phase::awaiting_reply, outcome::unknown, idempotent, whole},
        {stage::sent, "08P01", lost, phase::awaiting_reply, outcome::unknown, verdict::tell, whole},
        {stage::in_transaction, "", lost, phase::awaiting_reply, outcome::not_executed, idempotent,
         whole},
        {stage::committing, "", in_doubt, phase::committing, outcome::unknown, verdict::tell,
         verdict::tell},
        {stage::committing, "57P01", in_doubt, phase::committing, outcome::unknown, verdict::tell,
         verdict::tell},
        {stage::committing, "57P05", lost, phase::committing, outcome::not_executed, verdict::tell,
         whole},
    };
    for (const row& one : table) {
        const int when = static_cast<int>(one.when);
        CAPTURE(when);
        CAPTURE(one.goodbye);
        failure_facts facts;
        facts.said = *one.goodbye ? saying(one.goodbye, "FATAL") : server_message();
        const error failure = lost_connection(one.when, facts, "end of file");
        CHECK(failure.code() == one.code);
        CHECK(failure.outcome() == one.known);
        CHECK(failure.phase() == one.told);
        CHECK(failure.sqlstate() == one.goodbye);
        CHECK(judge_statement(failure, false) == one.alone);
        CHECK(judge_transaction(failure) == one.in_transaction);
    }
}

TEST_CASE("errors of this side, of the pool and of a dial are never a reason to send again") {
    for (const errc code :
         {errc::bad_input, errc::timeout, errc::cancelled, errc::acquire_timeout, errc::queue_full,
          errc::pool_closed, errc::database_asleep, errc::wrong_type, errc::protocol_violated,
          errc::system_failed, errc::replication_unconfirmed}) {
        for (const outcome known :
             {outcome::not_sent, outcome::not_executed, outcome::executed, outcome::unknown}) {
            CAPTURE(to_string(code));
            const error failure = error(code, "x").with(known).with(phase::awaiting_reply);
            CHECK(judge_statement(failure, false) == verdict::tell);
            CHECK(judge_transaction(failure) == verdict::tell);
        }
    }
    const error full = refused_dial(saying("53300", "FATAL"));
    CHECK(judge_statement(full, false) == verdict::tell);
    CHECK(judge_transaction(full) == verdict::tell);
    CHECK(judge_transaction(full.with(phase::acquiring)) == verdict::tell);
}

TEST_CASE("a COMMIT answered with ROLLBACK tells the failure that was the cause") {
    const error conflict = refused_commit(saying("40001"));
    CHECK(conflict.code() == errc::transaction_conflict);
    CHECK(conflict.sqlstate() == "40001");
    CHECK(conflict.phase() == phase::committing);
    CHECK(conflict.outcome() == outcome::not_executed);
    CHECK(judge_transaction(conflict) == verdict::again_as_a_whole);
    CHECK(judge_transaction(refused_commit(saying("23505"))) == verdict::tell);
    CHECK(refused_commit(saying("23505")).code() == errc::query_failed);
    CHECK(judge_transaction(refused_commit(server_message())) == verdict::tell);
    CHECK(echoes_earlier(saying("25P02")));
    CHECK_FALSE(echoes_earlier(saying("25P01")));
}

TEST_CASE("a transaction that the server says it rolled back may be run again") {
    failure_facts nothing;
    const error asked = lost_connection(stage::committing, nothing, "end of file")
                            .with_code(errc::connection_lost)
                            .with(outcome::not_executed);
    CHECK(judge_transaction(asked) == verdict::again_as_a_whole);
}

TEST_CASE("a commit without its standby is executed, whether the connection lives or not") {
    const server_message warning = worded(manner::committed, "57P01");
    failure_facts facts;
    facts.said = warning;
    facts.committed = true;
    for (const error& failure : {lost_connection(stage::committing, facts, "end of file"),
                                 lost_connection(stage::sent, facts, "end of file"),
                                 unconfirmed_commit(stage::committing, warning)}) {
        CHECK(failure.code() == errc::replication_unconfirmed);
        CHECK(failure.outcome() == outcome::executed);
        CHECK(judge_statement(failure, false) == verdict::tell);
        CHECK(judge_transaction(failure) == verdict::tell);
        CHECK(judge_transaction(failure.with_code(errc::timeout)) == verdict::tell);
    }
}

TEST_CASE("a goodbye is FATAL, or a crash's warning; what a function raises is only told") {
    struct row {
        const char* severity;
        const char* sqlstate;
        const char* routine;
        notice_verdict found;
    };
    const row table[] = {
        {"FATAL", "57P01", "ProcessInterrupts", notice_verdict::goodbye},
        {"FATAL", "57P05", "ProcessInterrupts", notice_verdict::goodbye},
        {"FATAL", "25P03", "ProcessInterrupts", notice_verdict::goodbye},
        {"PANIC", "XX000", "", notice_verdict::goodbye},
        {"WARNING", "57P01", "quickdie", notice_verdict::goodbye},
        {"WARNING", "57P02", "quickdie", notice_verdict::goodbye},
        {"WARNING", "57P02", "", notice_verdict::goodbye},
        {"WARNING", "57P01", "SyncRepWaitForLSN", notice_verdict::committed},
        {"WARNING", "01000", "SyncRepWaitForLSN", notice_verdict::committed},
        {"NOTICE", "01000", "SyncRepWaitForLSN", notice_verdict::tell},
        {"WARNING", "57P01", "exec_stmt_raise", notice_verdict::tell},
        {"WARNING", "57P05", "exec_stmt_raise", notice_verdict::tell},
        {"NOTICE", "57P01", "exec_stmt_raise", notice_verdict::tell},
        {"WARNING", "01000", "exec_stmt_raise", notice_verdict::tell},
        {"NOTICE", "00000", "", notice_verdict::tell},
    };
    for (const row& one : table) {
        CAPTURE(one.severity);
        CAPTURE(one.sqlstate);
        CAPTURE(one.routine);
        server_message notice = saying(one.sqlstate, one.severity);
        notice.routine = one.routine;
        CHECK(judge_notice(notice) == one.found);
    }
}

}  // namespace
