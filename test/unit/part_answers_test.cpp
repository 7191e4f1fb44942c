// Which of the answers to a statement's parts is the statement's own.
#include "postgres/part_answers.hpp"

#include <doctest/doctest.h>

using bitdotio::part_answers;
namespace libpq = bitdotio::libpq;

namespace {

libpq::result answer(ExecStatusType status) {
    return libpq::result(PQmakeEmptyPGresult(nullptr, status));
}

}  // namespace

TEST_CASE("a statement sent in one part has the answer that comes") {
    part_answers one;
    CHECK(one.is_at_last());
    CHECK_FALSE(one.is_answered());
    CHECK(one.add(answer(PGRES_TUPLES_OK)));
    one.end_part();
    CHECK(one.is_answered());
    CHECK(PQresultStatus(one.take_answer().get()) == PGRES_TUPLES_OK);
}

TEST_CASE("that a statement was prepared is not taken for its answer") {
    part_answers all(3);
    for (int part = 0; part < 2; ++part) {
        CHECK_FALSE(all.is_at_last());
        CHECK(all.add(answer(PGRES_COMMAND_OK)));
        all.end_part();
        CHECK_FALSE(all.is_answered());
    }
    CHECK(all.is_at_last());
    SUBCASE("and its own is") {
        CHECK(all.add(answer(PGRES_TUPLES_OK)));
        all.end_part();
        CHECK(all.is_answered());
        CHECK(PQresultStatus(all.answer()) == PGRES_TUPLES_OK);
    }
    SUBCASE("and where its own is lost there is none") {
        CHECK_FALSE(all.is_answered());
    }
}

TEST_CASE("more answers than parts are noticed") {
    part_answers one(1);
    CHECK(one.add(answer(PGRES_COMMAND_OK)));
    one.end_part();
    CHECK_FALSE(one.add(answer(PGRES_COMMAND_OK)));
}
