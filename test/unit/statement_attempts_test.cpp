// How often a statement may be sent, and what its error then says.
#include "postgres/statement_attempts.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <string>
#include <utility>
#include <vector>

namespace {

using namespace std::chrono_literals;
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

// Fails again and again, each time after the pause before, until there is no time left.
std::pair<int, time_point> fail_for_ever(statement_attempts& so_far, const error& failure,
                                         time_point now) {
    int more = 0;
    while (so_far.again(failure, false, now, 0.5)) {
        ++more;
        REQUIRE(more < 1000);
        now += so_far.delay() + 1ms;
    }
    return {more, now};
}

TEST_CASE("what is safe to send again is, as long as there is time") {
    const time_point start{};
    struct turn {
        error failure;
        bool may_run_twice;
    };
    const turn table[] = {{lost(stage::leased), false},
                          {lost(stage::sent, "57P05"), false},
                          {lost(stage::sent, "57P01"), true}};
    for (const turn& one : table) {
        CAPTURE(one.failure.what());
        statement_attempts waking(one.may_run_twice, no_deadline, 60s);
        const auto [tries, end] = fail_for_ever(waking, one.failure, start);
        CHECK(tries > 20);
        CHECK(end > start + 50s);
        CHECK(end < start + 60s);
        CHECK(waking.told(one.failure).attempts() == tries + 1);

        statement_attempts hurried(one.may_run_twice, start + 500ms, 60s);
        CHECK(fail_for_ever(hurried, one.failure, start).second < start + 500ms);
        statement_attempts patient(one.may_run_twice, start + 90s, 60s);
        CHECK(fail_for_ever(patient, one.failure, start).second > start + 75s);

        // Whoever does not let the database wake has one more try all the same.
        statement_attempts once(one.may_run_twice, no_deadline, 0ms);
        CHECK(fail_for_ever(once, one.failure, start).first == 1);
        statement_attempts late(one.may_run_twice, start, 60s);
        CHECK_FALSE(late.again(one.failure, false, start, 0.5));
    }
}

TEST_CASE("the first further try follows at once, others after growing pauses") {
    statement_attempts so_far(true);
    std::vector<std::chrono::milliseconds> pauses;
    for (int i = 0; i < 5; ++i) {
        REQUIRE(so_far.again(lost(stage::sent, "57P01"), false, time_point{}, 0.5));
        pauses.push_back(so_far.delay());
    }
    CHECK(pauses == std::vector<std::chrono::milliseconds>{0ms, 50ms, 100ms, 200ms, 400ms});
}

TEST_CASE("a statement that its server may not survive is not sent for ever") {
    statement_attempts so_far(true);
    CHECK(fail_for_ever(so_far, lost(stage::sent), time_point{}).first == 4);
}

TEST_CASE("what was refused and did nothing is sent once more, and not twice") {
    for (const error& failure : {refused("25006"), refused("26000")}) {
        statement_attempts so_far(false);
        CHECK(so_far.again(failure));
        CHECK(so_far.again(lost(stage::leased)));
        CHECK_FALSE(so_far.again(failure));
        CHECK(so_far.told(failure).attempts() == 3);
        CHECK(so_far.told(failure).outcome() == outcome::not_executed);
    }
}

TEST_CASE("what may have run is sent again only if it may run twice") {
    for (const error& failure :
         {lost(stage::sent), lost(stage::sent, "57P01"), refused("40001"), refused("40P01")}) {
        statement_attempts plain(false);
        CHECK_FALSE(plain.again(failure));
        statement_attempts marked(true);
        CHECK(marked.again(failure));
        CHECK(marked.again(failure) == (failure.code() == errc::connection_lost));
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
