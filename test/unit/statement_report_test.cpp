// A statement's answers, and what they come to.
#include "postgres/statement_report.hpp"

#include <doctest/doctest.h>

#include <string>

using namespace bitdotio;

namespace {

libpq::result answer(ExecStatusType status) {
    return libpq::result(PQmakeEmptyPGresult(nullptr, status));
}

server_message said(const char* severity, const char* sqlstate) {
    server_message message;
    message.severity = severity;
    message.sqlstate = sqlstate;
    message.message = std::string("words of ") + sqlstate;
    return message;
}

// The report of a statement that is under way.
statement_report report_of(const char* sql, bool alone = true, bool in_transaction = false) {
    statement_report report;
    report.begin();
    report.note(statement(sql), alone, in_transaction);
    return report;
}

}  // namespace

TEST_CASE("answers are kept in their order, and the last can be had alone") {
    statement_report report = report_of("SELECT 1", false);
    report.add(answer(PGRES_COMMAND_OK));
    report.add(answer(PGRES_TUPLES_OK));
    report.add(answer(PGRES_PIPELINE_ABORTED));
    CHECK(report.answers().size() == 2);
    CHECK_FALSE(report.is_refused());
    report.take_last_answer();
    CHECK(report.answers().empty());
    CHECK(report.take_last_answer().size() == 0);
}

TEST_CASE("the first refusal with a SQLSTATE is the cause, and begin forgets it") {
    statement_report report = report_of("SELECT 1");
    server_message libpqs;
    libpqs.message = "server closed the connection";
    report.refuse(libpqs);
    report.refuse(said("ERROR", "22012"));
    report.refuse(said("ERROR", "25P02"));
    CHECK(report.refusal_error(phase::awaiting_reply, std::nullopt).sqlstate() == "22012");
    report.refuse(said("ERROR", "22012"));
    report.begin();
    CHECK_FALSE(report.is_refused());
}

TEST_CASE("a stage follows from the phase, and from the transaction around the statement") {
    CHECK(report_of("SELECT 1").stage_at(phase::sending) == stage::leased);
    CHECK(report_of("SELECT 1").stage_at(phase::awaiting_reply) == stage::sent);
    CHECK(report_of("SELECT 1", true, true).stage_at(phase::awaiting_reply) ==
          stage::in_transaction);
    CHECK(report_of("COMMIT", true, true).stage_at(phase::committing) == stage::committing);
    // A text of several statements may have ended it.
    CHECK(report_of("SELECT 1; COMMIT", false, true).stage_at(phase::awaiting_reply) ==
          stage::sent);
    CHECK(report_of("SELECT 1; SELECT 2", false, true).stage_at(phase::awaiting_reply) ==
          stage::in_transaction);
}

TEST_CASE("only a statement that is alone in its text is known to commit") {
    CHECK(report_of("COMMIT").commits());
    CHECK_FALSE(report_of("COMMIT", false).commits());
    CHECK_FALSE(report_of("SELECT 1").commits());
}

TEST_CASE("a statement that was stopped tells why, and any other refusal its own words") {
    const error timeout(errc::timeout, "too late");
    statement_report stopped = report_of("SELECT 1");
    stopped.refuse(said("ERROR", "57014"));
    const error why = stopped.refusal_error(phase::awaiting_reply, timeout);
    CHECK(why.code() == errc::timeout);
    CHECK(why.outcome() == outcome::not_executed);
    statement_report refused = report_of("SELECT 1");
    refused.refuse(said("ERROR", "22012"));
    CHECK(refused.refusal_error(phase::awaiting_reply, timeout).code() == errc::query_failed);
}

TEST_CASE("a loss is judged by what the server said last") {
    statement_report silent = report_of("INSERT");
    CHECK(silent.loss(phase::awaiting_reply, "gone").outcome() == outcome::unknown);
    statement_report idle = report_of("INSERT");
    CHECK_FALSE(idle.hear(said("FATAL", "57P05")));
    CHECK(idle.goodbye().sqlstate == "57P05");
    CHECK(idle.loss(phase::awaiting_reply, "gone").outcome() == outcome::not_executed);
    statement_report killed = report_of("INSERT");
    killed.refuse(said("FATAL", "57P01"));
    const error cut = killed.loss(phase::awaiting_reply, "gone");
    CHECK(cut.sqlstate() == "57P01");
    CHECK(cut.outcome() == outcome::unknown);
    CHECK(report_of("COMMIT", true, true).loss(phase::committing, "gone").code() ==
          errc::commit_outcome_unknown);
}

TEST_CASE("a goodbye outlives the statement it was said in") {
    statement_report report = report_of("SELECT 1");
    report.hear(said("FATAL", "57P01"));
    report.begin();
    CHECK(report.goodbye().sqlstate == "57P01");
    CHECK(report.loss_before(phase::awaiting_reply, "closed").sqlstate() == "57P01");
}

TEST_CASE("notices are for the user, and say nothing of the statement") {
    statement_report report = report_of("SELECT 1");
    CHECK(report.hear(said("NOTICE", "00000")));
    CHECK_FALSE(report.unconfirmed(phase::awaiting_reply, std::nullopt));
    CHECK(report.goodbye().sqlstate.empty());
}

TEST_CASE("a COMMIT that was answered with ROLLBACK names the first failure of the transaction") {
    statement_report report = report_of("SELECT 1/0", true, true);
    report.refuse(said("ERROR", "22012"));
    report.fail_transaction(report.refusal());
    report.begin();
    report.note(statement("SELECT 2"), true, true);
    report.fail_transaction(said("ERROR", "25P02"));  // which only echoes it
    CHECK(report.failed_by().sqlstate == "22012");
    report.begin();
    report.note(statement("SELECT 3"), true, false);  // outside, it is forgotten
    CHECK(report.failed_by().sqlstate.empty());
}

TEST_CASE("a COPY that nobody asked for is noticed") {
    for (const ExecStatusType status : {PGRES_COPY_IN, PGRES_COPY_OUT, PGRES_COPY_BOTH}) {
        statement_report report = report_of("COPY t TO STDOUT");
        CHECK_FALSE(report.has_copy_started());
        report.add(answer(status));
        CHECK(report.has_copy_started());
        report.begin();
        CHECK_FALSE(report.has_copy_started());
    }
}

TEST_CASE("a result without a limit always has room") {
    statement_report report = report_of("SELECT 1");
    CHECK(report.has_room());
    report.limit(1);
    CHECK(report.has_room());
    CHECK(report.too_large().code() == errc::result_too_large);
}
