// How often a statement may be sent, and what its error then says.
#include "postgres/statement_attempts.hpp"

#include <doctest/doctest.h>

#include <string>

namespace {

using namespace bitdotio;

error lost(stage when, const char* goodbye = "") {
    failure_facts facts;
    facts.said.sqlstate = goodbye;
    facts.said.severity = "FATAL";
    return lost_connection(when, facts, "end of file");
}

error refused(const char* sqlstate) {
    server_message message;
    message.sqlstate = sqlstate;
    message.severity = "ERROR";
    return refused_statement(stage::sent, message);
}

TEST_CASE("what was never sent moves on many times, but not for ever") {
    statement_attempts so_far(false);
    int more = 0;
    while (so_far.again(lost(stage::leased))) {
        ++more;
        REQUIRE(more < 1000);
    }
    CHECK(more > 9);
    CHECK(so_far.told(lost(stage::leased)).attempts() == more + 1);
}

TEST_CASE("what provably did nothing is sent once more, and not twice") {
    for (const error& failure : {lost(stage::sent, "57P05"), refused("25006"), refused("26000")}) {
        statement_attempts so_far(false);
        CHECK(so_far.again(failure));
        CHECK(so_far.again(lost(stage::leased)));
        CHECK_FALSE(so_far.again(failure));
        CHECK(so_far.told(failure).attempts() == 3);
        CHECK(so_far.told(failure).outcome() == outcome::not_executed);
    }
}

TEST_CASE("what may have run is sent once more only if it may run twice") {
    for (const error& failure :
         {lost(stage::sent), lost(stage::sent, "57P01"), refused("40001"), refused("40P01")}) {
        statement_attempts plain(false);
        CHECK_FALSE(plain.again(failure));
        statement_attempts marked(true);
        CHECK(marked.again(failure));
        CHECK_FALSE(marked.again(failure));
        statement_attempts streaming(true);
        CHECK_FALSE(streaming.again(failure, true));
    }
}

TEST_CASE("nothing is sent again after it had an effect, or for errors of its own") {
    statement_attempts so_far(true);
    CHECK_FALSE(so_far.again(refused("23505")));
    CHECK_FALSE(so_far.again(lost(stage::committing)));
    CHECK_FALSE(so_far.again(unconfirmed_commit(stage::sent, server_message())));
    CHECK_FALSE(so_far.again(error(errc::timeout, "late").with(outcome::unknown)));
}

TEST_CASE("an error does not deny what an earlier try may have done") {
    statement_attempts so_far(true);
    CHECK(so_far.again(lost(stage::sent)));
    const error second = refused("23505");
    CHECK_FALSE(so_far.again(second));
    const error told = so_far.told(second);
    CHECK(told.outcome() == outcome::unknown);
    CHECK(told.sqlstate() == "23505");
    CHECK(told.attempts() == 2);
    CHECK(std::string(told.what()).find("an earlier try") != std::string::npos);
    const error waited =
        error(errc::acquire_timeout, "no connection became free").with(outcome::not_sent);
    CHECK(so_far.told(waited).outcome() == outcome::unknown);
    CHECK(statement_attempts(true).told(waited).outcome() == outcome::not_sent);
}

TEST_CASE("an error says whether the database had to wake") {
    statement_attempts so_far(false);
    CHECK_FALSE(so_far.told(refused("23505")).woke_database());
    CHECK(so_far.told(error(errc::database_asleep, "still asleep")).woke_database());
    CHECK(so_far.told(refused("23505").with_woke_database(true)).woke_database());
    so_far.woke();
    CHECK(so_far.told(refused("23505")).woke_database());
}

}  // namespace
