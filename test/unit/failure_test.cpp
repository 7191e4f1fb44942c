// The table of what a failure means.
#include "failure.hpp"
#include "libpq.hpp"

#include <doctest/doctest.h>

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

TEST_CASE("a refused statement is not executed, its code says what to do") {
    struct row {
        const char* sqlstate;
        errc code;
    };
    const row table[] = {
        {"40001", errc::transaction_conflict}, {"40P01", errc::transaction_conflict},
        {"42501", errc::permission_denied},    {"53100", errc::server_busy},
        {"23505", errc::query_failed},         {"57014", errc::query_failed}};
    for (const row& one : table) {
        CAPTURE(one.sqlstate);
        const error failure = refused_statement(saying(one.sqlstate));
        CHECK(failure.code() == one.code);
        CHECK(failure.outcome() == outcome::not_executed);
        CHECK_FALSE(provably_not_executed(failure));  // it would fail the same way again
    }
}

TEST_CASE("only what cannot have run may be sent again after a loss") {
    struct row {
        phase when;
        const char* goodbye;
        errc code;
        outcome known;
        bool again;
    };
    const row table[] = {
        {phase::sending, "", errc::connection_lost, outcome::not_sent, true},
        {phase::sending, "57P01", errc::connection_lost, outcome::not_sent, true},
        {phase::awaiting_reply, "57P05", errc::connection_lost, outcome::not_executed, true},
        {phase::awaiting_reply, "25P03", errc::connection_lost, outcome::not_executed, true},
        // The row of a statement that ended so has been seen committed.
        {phase::awaiting_reply, "57P01", errc::connection_lost, outcome::unknown, false},
        {phase::awaiting_reply, "57P02", errc::connection_lost, outcome::unknown, false},
        {phase::awaiting_reply, "", errc::connection_lost, outcome::unknown, false},
        {phase::committing, "", errc::commit_outcome_unknown, outcome::unknown, false},
        {phase::committing, "57P01", errc::commit_outcome_unknown, outcome::unknown, false},
        {phase::committing, "57P05", errc::connection_lost, outcome::not_executed, true},
    };
    for (const row& one : table) {
        CAPTURE(to_string(one.when));
        CAPTURE(one.goodbye);
        const error failure = lost_connection(
            one.when, *one.goodbye ? saying(one.goodbye, "FATAL") : server_message(),
            "end of file");
        CHECK(failure.code() == one.code);
        CHECK(failure.outcome() == one.known);
        CHECK(provably_not_executed(failure) == one.again);
        CHECK(failure.phase() == one.when);
    }
}

TEST_CASE("the SQLSTATE of a failed connect is found in any language") {
    CHECK(libpq::sqlstate_in("connection to server at \"127.0.0.1\", port 1 failed: FATAL:  "
                             "28P01: password authentication failed") == "28P01");
    CHECK(libpq::sqlstate_in("Verbindung fehlgeschlagen: SCHWERWIEGEND:  57P03: das "
                             "Datenbanksystem startet") == "57P03");
    CHECK(libpq::sqlstate_in("connection to server at \"::1\", port 5432 failed: Connection "
                             "refused")
              .empty());
    CHECK(libpq::sqlstate_in("").empty());
    CHECK(libpq::sqlstate_in("FATAL: 28P0").empty());
}

TEST_CASE("the fields of a refusal are told apart in libpq's text") {
    const server_message all = libpq::refusal_in(
        "connection to server at \"10.0.0.1\", port 5432 failed: FATAL:  22023: invalid value: x "
        "DETAIL:  It is bad. HINT:  Do better. LOCATION:  f, guc.c:1");
    CHECK(all.severity == "FATAL");
    CHECK(all.sqlstate == "22023");
    CHECK(all.message == "invalid value: x");
    CHECK(all.detail == "It is bad.");
    CHECK(all.hint == "Do better.");
    const server_message bare = libpq::refusal_in("failed: FATAL:  28P01: no");
    CHECK(bare.message == "no");
    CHECK(bare.detail.empty());
    CHECK(libpq::refusal_in("Connection refused").sqlstate.empty());
}

}  // namespace
