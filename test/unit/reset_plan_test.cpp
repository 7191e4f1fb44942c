// What is undone after a borrower, and which answers are of that.
#include "postgres/reset_plan.hpp"

#include <doctest/doctest.h>

#include <functional>
#include <map>
#include <string>
#include <vector>

using namespace bitdotio;

namespace {

// A session that reports settings, and what was sent to it.
struct session {
    session() { plan.begin(report()); }

    std::function<const char*(const char*)> report() const {
        return [this](const char* setting) -> const char* {
            const auto found = settings.find(setting);
            return found == settings.end() ? nullptr : found->second.c_str();
        };
    }

    std::vector<std::string> sent(bool well = true) {
        std::vector<std::string> all;
        plan.send([&](const char* sql) {
            all.emplace_back(sql);
            return well;
        });
        return all;
    }

    std::map<std::string, std::string> settings{{"TimeZone", "UTC"}};
    reset_plan plan;
};

libpq::result answer(ExecStatusType status) {
    return libpq::result(PQmakeEmptyPGresult(nullptr, status));
}

server_message refusal() {
    server_message said;
    said.severity = "ERROR";
    said.sqlstate = "42501";
    said.message = "no";
    return said;
}

}  // namespace

TEST_CASE("nothing is due where nothing was changed") {
    session one;
    one.plan.note(session_changes_of("SELECT 1"));
    one.plan.owe(session_reset::smart, one.report());
    CHECK_FALSE(one.plan.is_due());
}

TEST_CASE("what statements changed is undone in a transaction of its own, once") {
    session one;
    one.plan.note(session_changes_of("LISTEN news"));
    CHECK_FALSE(one.plan.is_due());  // before it has come back
    one.plan.owe(session_reset::smart, one.report());
    CHECK(one.plan.is_due());
    CHECK_FALSE(one.plan.forgets_statements());
    CHECK(one.sent() ==
          std::vector<std::string>{"BEGIN ISOLATION LEVEL READ COMMITTED", "UNLISTEN *", "COMMIT"});
    CHECK_FALSE(one.plan.is_due());
}

TEST_CASE("a setting that the server reports otherwise is undone, whoever changed it") {
    session one;
    one.settings["TimeZone"] = "Asia/Tokyo";
    one.plan.owe(session_reset::smart, one.report());
    const auto sent = one.sent();
    REQUIRE(sent.size() == 5);
    CHECK(sent[3] == "RESET ALL");
}

TEST_CASE("a reset that is always wanted undoes all but prepared statements") {
    session one;
    one.plan.owe(session_reset::always, one.report());
    CHECK_FALSE(one.plan.forgets_statements());
    CHECK(one.sent().size() == 10);
    one.plan.note(session_changes_of("PREPARE p AS SELECT 1"));
    one.plan.owe(session_reset::smart, one.report());
    CHECK(one.plan.forgets_statements());
}

TEST_CASE("what cannot be sent ends it at once") {
    session one;
    one.plan.owe(session_reset::always, one.report());
    CHECK(one.sent(false).size() == 1);
}

TEST_CASE("its answers are swallowed up to the last, and a refusal among them is told once") {
    session one;
    CHECK_FALSE(one.plan.swallow(answer(PGRES_COMMAND_OK).get()));
    one.plan.note(session_changes_of("LISTEN news"));
    one.plan.owe(session_reset::smart, one.report());
    one.sent();
    for (int piece = 0; piece < 3; ++piece) {
        CHECK(one.plan.swallow(answer(PGRES_COMMAND_OK).get()));
        if (piece == 1) CHECK(one.plan.swallow(refusal()));
        CHECK(one.plan.swallow(nullptr));
    }
    CHECK_FALSE(one.plan.swallow(answer(PGRES_COMMAND_OK).get()));
    CHECK_FALSE(one.plan.swallow(nullptr));
    CHECK(one.plan.take_failure() == "no (SQLSTATE 42501)");
    CHECK_FALSE(one.plan.take_failure());
}

TEST_CASE("a sync and the end of the connection are not its answers") {
    session one;
    one.plan.owe(session_reset::always, one.report());
    one.sent();
    CHECK_FALSE(one.plan.swallow(answer(PGRES_PIPELINE_SYNC).get()));
    server_message fatal = refusal();
    fatal.severity = "FATAL";
    CHECK_FALSE(one.plan.swallow(fatal));
    CHECK_FALSE(one.plan.swallow(server_message()));
    one.plan.end();
    CHECK_FALSE(one.plan.swallow(nullptr));
    CHECK_FALSE(one.plan.take_failure());
}
