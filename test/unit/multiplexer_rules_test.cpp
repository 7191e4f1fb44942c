// Which statements may share a connection, and how they spread over several.
#include "pool/multiplexer_rules.hpp"

#include <doctest/doctest.h>

#include <string>
#include <vector>

using bitdotio::begins_shareable;
using bitdotio::may_share_connection;
using bitdotio::multiplexer_rules;
using bitdotio::shareable_texts;
using bitdotio::statement;
using namespace std::chrono_literals;

namespace {

using line = multiplexer_rules::line;

const multiplexer_rules::time_point now(1h);

multiplexer_rules rules(std::size_t connections, std::size_t in_flight) {
    return {connections, in_flight};
}

line busy(std::size_t in_flight, std::chrono::milliseconds head = 1ms) {
    return {in_flight, true, now - head};
}

}  // namespace

TEST_CASE("only statements on rows that leave nothing behind share a connection") {
    struct row {
        const char* sql;
        bool shares;
    };
    const row table[] = {
        {"SELECT 1", true},
        {" /* a */ select name from t where a = $1", true},
        {"INSERT INTO t VALUES ($1)", true},
        {"UPDATE t SET a = 1", true},
        {"DELETE FROM t", true},
        {"WITH x AS (SELECT 1) SELECT * FROM x", true},
        {"VALUES (1)", true},
        {"TABLE t", true},
        {"MERGE INTO t USING u ON t.a = u.a WHEN MATCHED THEN DELETE", true},
        {"SELECT * FROM t FOR UPDATE", true},
        {"", false},
        {"BEGIN", false},
        {"START TRANSACTION", false},
        {"COMMIT", false},
        {"ROLLBACK", false},
        {"SAVEPOINT a", false},
        {"PREPARE TRANSACTION 'a'", false},
        {"SET search_path TO a", false},
        {"RESET ALL", false},
        {"SELECT set_config('a.b', 'c', false)", false},
        {"LISTEN a", false},
        {"COPY t TO STDOUT", false},
        {"LOCK TABLE t", false},
        {"SELECT pg_advisory_lock(1)", false},
        {"SELECT pg_advisory_xact_lock(1)", false},
        {"SELECT pg_try_advisory_lock(1)", false},
        {"SELECT nextval('s')", false},
        {"SELECT a INTO TEMP x FROM t", false},
        {"CREATE TABLE t (a int)", false},
        {"DO $$ BEGIN END $$", false},
        {"CALL p()", false},
        {"VACUUM", false},
        {"DECLARE c CURSOR WITH HOLD FOR SELECT 1", false},
        {"FETCH c", false},
        {"DISCARD ALL", false},
        {"EXECUTE p", false},
    };
    shareable_texts texts;
    for (const row& one : table) {
        CAPTURE(one.sql);
        CHECK(may_share_connection(one.sql) == one.shares);
        CHECK(texts.may_share(one.sql) == one.shares);
        CHECK(texts.may_share(one.sql) == one.shares);
        CHECK((begins_shareable(statement(one.sql)) || !one.shares));
    }
    CHECK_FALSE(begins_shareable(statement("SELECT 1").largest_result(100)));
    CHECK_FALSE(begins_shareable(statement("BEGIN")));
}

TEST_CASE("no more texts are remembered than the most") {
    shareable_texts texts(2, 20);
    for (const char* sql : {"SELECT 1", "SELECT 2", "SELECT 3"}) {
        CHECK(texts.may_share(sql));
        CHECK(texts.size() <= 2);
    }
    const std::size_t before = texts.size();
    CHECK(texts.may_share("SELECT 'longer than twenty bytes'"));
    CHECK(texts.size() == before);
}

TEST_CASE("the connection with the least in flight takes the next statement") {
    struct row {
        std::vector<line> lines;
        int chosen;  // -1: none
    };
    const row table[] = {
        {{}, -1},
        {{line()}, 0},
        {{busy(3), busy(2), busy(4)}, 1},
        {{busy(2), busy(2)}, 0},
        {{busy(8), busy(7)}, 1},
        {{busy(8), busy(8)}, -1},
        {{busy(1, 51ms), busy(7)}, 1},
        {{busy(1, 50ms), busy(7)}, 0},
        {{busy(1, 51ms), busy(1, 1h)}, -1},
        {{{0, false, {}}, busy(7)}, 1},
        {{{0, false, {}}}, -1},
    };
    for (const row& one : table) {
        const auto chosen = rules(4, 8).choose(one.lines, now);
        CHECK((chosen ? static_cast<int>(*chosen) : -1) == one.chosen);
    }
}

TEST_CASE("another connection is opened for those that wait, and when each has enough") {
    struct row {
        std::vector<line> lines;
        std::size_t opening;
        std::size_t waiting;
        bool opens;
    };
    const row table[] = {
        {{}, 0, 0, false},
        {{}, 0, 1, true},
        {{}, 1, 100, false},
        {{busy(15)}, 0, 0, false},
        {{busy(16)}, 0, 0, true},
        {{busy(16), busy(15)}, 0, 0, false},
        {{busy(16), busy(16)}, 0, 5, false},
        {{busy(1, 1s)}, 0, 0, true},
        {{busy(1, 1s), busy(1, 1s)}, 0, 9, false},
        {{{3, false, {}}, busy(16)}, 0, 0, true},
        {{{3, false, {}}}, 0, 0, false},
    };
    for (const row& one : table) {
        CAPTURE(&one - table);
        CHECK(rules(2, 64).wants_another(one.lines, one.opening, one.waiting, now) == one.opens);
    }
}
