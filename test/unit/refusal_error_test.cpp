// The errors of callers that got no connection.
#include "pool/refusal_error.hpp"

#include <doctest/doctest.h>

#include <string>

namespace {

using namespace std::chrono_literals;
using bitdotio::errc;
using bitdotio::error;
using bitdotio::outcome;
using bitdotio::pool_picture;
using bitdotio::refusal;
using bitdotio::refusal_error;

bool says(const error& failure, const std::string& part) {
    const bool found = std::string(failure.what()).find(part) != std::string::npos;
    if (!found) MESSAGE(failure.what());
    return found;
}

pool_picture full_pool() {
    pool_picture pool;
    pool.used = 5;
    pool.max_size = 5;
    pool.waiting = 3;
    pool.waited = 30s;
    pool.place = 2;
    pool.holders = "shop.cpp:12 (31 s)";
    return pool;
}

error refused_connect() {
    bitdotio::server_message message;
    message.sqlstate = "53300";
    message.message = "sorry, too many clients already";
    return bitdotio::refused_dial(message);
}

TEST_CASE("each refusal has a code of its own, and none was sent") {
    pool_picture pool = full_pool();
    const std::pair<refusal, errc> codes[] = {
        {refusal::timed_out, errc::acquire_timeout}, {refusal::waking, errc::database_asleep},
        {refusal::busy, errc::server_busy},          {refusal::fatal, errc::connect_failed},
        {refusal::broken, errc::connect_failed},     {refusal::closed, errc::pool_closed},
        {refusal::queue_full, errc::queue_full}};
    for (const auto& [why, code] : codes) {
        const error failure = refusal_error(why, pool);
        CHECK(failure.code() == code);
        CHECK(failure.outcome() == outcome::not_sent);
        CHECK(failure.phase() == bitdotio::phase::acquiring);
    }
    pool.last_dial = refused_connect();
    CHECK(refusal_error(refusal::broken, pool).code() == errc::server_busy);
}

TEST_CASE("the deadline of a call is its own, whatever it waited for") {
    pool_picture pool = full_pool();
    pool.by_caller = true;
    for (const refusal why : {refusal::timed_out, refusal::busy, refusal::waking}) {
        const error failure = refusal_error(why, pool);
        CHECK(failure.code() == errc::timeout);
        CHECK(failure.outcome() == outcome::not_sent);
        CHECK(failure.phase() == bitdotio::phase::acquiring);
        CHECK(says(failure, "the time of the call was up before it had a connection: "));
    }
    CHECK(refusal_error(refusal::closed, pool).code() == errc::pool_closed);
}

TEST_CASE("a timeout says how long it waited, its place, the counts and who holds them") {
    const error failure = refusal_error(refusal::timed_out, full_pool());
    CHECK(says(failure, "after 30 s as number 2"));
    CHECK(says(failure, "0 idle, 5 in use, 0 being opened, at most 5, 3 waiting"));
    CHECK(says(failure, "held by shop.cpp:12 (31 s)"));
    CHECK_FALSE(std::string(failure.what()).find("itself") != std::string::npos);
}

TEST_CASE("if nothing came back meanwhile, it says that a task may wait for itself") {
    pool_picture pool = full_pool();
    pool.stands_still = true;
    CHECK(says(refusal_error(refusal::timed_out, pool), "waits for itself"));
}

TEST_CASE("a last try to connect is told with its SQLSTATE") {
    pool_picture pool = full_pool();
    pool.last_dial = refused_connect();
    for (const refusal why : {refusal::timed_out, refusal::busy, refusal::waking}) {
        const error failure = refusal_error(why, pool);
        CHECK(failure.sqlstate() == "53300");
        CHECK(says(failure, "the last try to connect: cannot connect: sorry"));
    }
}

TEST_CASE("what is broken says since when, and when it is tried again") {
    pool_picture pool = full_pool();
    pool.failing_for = 75s;
    pool.next_dial = 1'200ms;
    const error failure = refusal_error(refusal::broken, pool);
    CHECK(says(failure, "for 75 s"));
    CHECK(says(failure, "tried again in 1.2 s"));
}

}  // namespace
