// When a statement commits, by its first words.
#include "statement_words.hpp"

#include <doctest/doctest.h>

namespace {

using namespace bitdotio;

TEST_CASE("what makes a transaction permanent is known by its first words") {
    for (const char* sql :
         {"COMMIT", "commit", "Commit;", " \n\tCOMMIT AND CHAIN", "END", "end transaction",
          "-- why\nCOMMIT", "/* a /* nested */ one */ COMMIT", ";;COMMIT", "COMMIT PREPARED 'x'",
          "PREPARE TRANSACTION 'x'", "prepare /* two */ transaction 'x'"}) {
        CAPTURE(sql);
        CHECK(commits(sql));
    }
    for (const char* sql :
         {"", "ROLLBACK", "SELECT 1 -- COMMIT", "-- COMMIT", "/* COMMIT", "COMMITS", "ENDING",
          "PREPARE x AS SELECT 1", "PREPARE", "'COMMIT'", "\"commit\"", "COMMENT ON TABLE t IS ''",
          "/*", "*/", "-", "/", "SAVEPOINT commit"}) {
        CAPTURE(sql);
        CHECK_FALSE(commits(sql));
    }
}

TEST_CASE("a text of several statements may commit unless no word of it says so") {
    CHECK(may_commit("SELECT 1; commit; SELECT 2"));
    CHECK(may_commit("END"));
    CHECK(may_commit("PREPARE TRANSACTION 'x'"));
    CHECK(may_commit("SELECT 'append'"));
    CHECK_FALSE(may_commit("SAVEPOINT a; ROLLBACK TO SAVEPOINT a"));
}

TEST_CASE("what may commit before it fails is known by its first words") {
    for (const char* sql :
         {"CALL work()", "do $$ BEGIN END $$", "VACUUM", "vacuum full t", "ANALYZE", "CLUSTER t",
          "REINDEX TABLE t", "CREATE INDEX CONCURRENTLY i ON t (a)",
          "create unique index concurrently i on t (a)", "DROP INDEX CONCURRENTLY i",
          "ALTER TABLE t DETACH PARTITION p CONCURRENTLY", "CREATE DATABASE d", "drop database d",
          "ALTER SYSTEM SET a = 1", "CREATE SUBSCRIPTION s CONNECTION '' PUBLICATION p"}) {
        CAPTURE(sql);
        CHECK(may_commit_midway(sql));
    }
    for (const char* sql : {"", "SELECT 1", "INSERT INTO t VALUES (1)", "CREATE INDEX i ON t (a)",
                            "DOCUMENT", "CREATE TABLE t ()", "WITH x AS (SELECT 1) SELECT * FROM x",
                            "SELECT 'CONCURRENTLY'", "DROP TABLE databases"}) {
        CAPTURE(sql);
        CHECK_FALSE(may_commit_midway(sql));
    }
}

}  // namespace
