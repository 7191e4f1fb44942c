// A BEGIN that is owed is sent once, and its answer is seen by nobody else.
#include "postgres/deferred_begin.hpp"

#include <doctest/doctest.h>

#include <string>

using namespace bitdotio;

namespace {

libpq::result answer(ExecStatusType status) {
    return libpq::result(PQmakeEmptyPGresult(nullptr, status));
}

struct sent_begin {
    sent_begin() {
        owed.owe("BEGIN READ ONLY");
        const bool sent = owed.send([this](const char* sql) {
            text = sql;
            return true;
        });
        CHECK(sent);
    }

    bool takes(ExecStatusType status) { return owed.swallow(answer(status).get()); }

    deferred_begin owed;
    std::string text;
};

TEST_CASE("a BEGIN that is owed is sent with its text, once") {
    deferred_begin none;
    CHECK_FALSE(none.is_due());
    CHECK(none.take().empty());
    none.owe("BEGIN");
    CHECK(none.is_due());
    CHECK(none.take() == "BEGIN");
    CHECK_FALSE(none.is_due());

    sent_begin one;
    CHECK(one.text == "BEGIN READ ONLY");
    CHECK_FALSE(one.owed.is_due());
    CHECK_FALSE(one.owed.has_begun());
}

TEST_CASE("the answer to BEGIN and its end are nobody else's, and what follows is") {
    sent_begin one;
    CHECK(one.takes(PGRES_COMMAND_OK));
    CHECK(one.owed.has_begun());
    CHECK(one.owed.swallow(nullptr));
    CHECK_FALSE(one.takes(PGRES_COMMAND_OK));
    CHECK_FALSE(one.owed.swallow(nullptr));
    one.owed.owe("BEGIN");
    CHECK_FALSE(one.owed.has_begun());
}

TEST_CASE("a refusal of BEGIN is told as its statement's, and nothing has begun") {
    sent_begin one;
    CHECK_FALSE(one.takes(PGRES_FATAL_ERROR));
    CHECK(one.owed.swallow(nullptr));
    CHECK_FALSE(one.owed.has_begun());
    // The statement, which the server passes over.
    CHECK_FALSE(one.takes(PGRES_PIPELINE_ABORTED));
}

TEST_CASE("a BEGIN that is passed over, and one whose connection ends, are not begun") {
    sent_begin one;
    CHECK(one.takes(PGRES_PIPELINE_ABORTED));
    CHECK(one.owed.swallow(nullptr));
    CHECK_FALSE(one.owed.has_begun());
    sent_begin lost;
    lost.owed.end();
    CHECK_FALSE(lost.takes(PGRES_COMMAND_OK));
    CHECK_FALSE(lost.owed.has_begun());
}

}  // namespace
