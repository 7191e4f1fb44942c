// Whether a statement commits, and what it leaves in its session, by its words.
#include "postgres/statement_words.hpp"

#include <doctest/doctest.h>

namespace {

using namespace bitdotio;

TEST_CASE("a plain read names tables and columns, and calls no function by name") {
    for (const char* sql : {"SELECT a FROM t", "select a from t where b = $1", "SELECT 1",
                            "/* why */ SELECT a::text FROM t ORDER BY b LIMIT 1"}) {
        CAPTURE(sql);
        CHECK(only_reads(sql));
        CHECK(facts_of(sql).reads);
    }
    for (const char* sql :
         {"SELECT f()", "SELECT a FROM t WHERE b IN ($1)", "SELECT \"f\" (1)", "TABLE t", "",
          "WITH a AS MATERIALIZED (SELECT 1) SELECT 1", "UPDATE t SET a = 1", "SELECTED",
          "SET a = 1", "DELETE FROM t", "CALL f()", "\"SELECT\""}) {
        CAPTURE(sql);
        CHECK_FALSE(only_reads(sql));
    }
    CHECK_FALSE(facts_of("SELECT 1 AS a INTO TEMP t").reads);  // which is undone
}

TEST_CASE("what reads, writes or ends a transaction leaves the meaning of other statements alone") {
    for (const char* command :
         {"SELECT 1", "select 1", "INSERT 0 1", "UPDATE 2", "BEGIN", "begin", "COMMIT;",
          "/* why */ DELETE FROM t", "COMMIT AND CHAIN", "SET", "COPY 3", "DEALLOCATE ALL"}) {
        CAPTURE(command);
        CHECK_FALSE(changes_meanings(command));
    }
    for (const char* command : {"CREATE TABLE", "ALTER TABLE t ADD a int", "DROP TABLE", "", "DO",
                                "CALL f()", "UPDATED", "COMMITTED", "REFRESH MATERIALIZED VIEW"}) {
        CAPTURE(command);
        CHECK(changes_meanings(command));
    }
}

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

TEST_CASE("what changes the session beyond its transaction is known by its words") {
    const auto settings_or_role = session_change::settings | session_change::role;
    const std::pair<const char*, session_change> table[] = {
        {"SET a = 1", session_change::settings},
        {"set session time zone 'UTC'", session_change::settings},
        {" -- why\nSET/**/x TO 1;", session_change::settings},
        {"SELECT 1; SET a = 1", session_change::settings},
        {"SET \"a\" = 1", settings_or_role},
        {"SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY", session_change::settings},
        {"SET ROLE ann", session_change::role},
        {"SET SESSION AUTHORIZATION ann", session_change::role},
        {"set session_authorization = ann", session_change::role},
        {"SELECT set_config('a', $1, false)", settings_or_role},
        {"SELECT pg_catalog.\"set_config\"('a', $1, true)", settings_or_role},
        {"CREATE TEMP TABLE t (a int)", session_change::temporary},
        {"create local temporary view v AS SELECT 1", session_change::temporary},
        {"CREATE TABLE pg_temp.t (a int)", session_change::temporary},
        {"CREATE FUNCTION pg_temp.f() RETURNS int", session_change::temporary},
        {"SELECT 1 AS a INTO TEMP t", session_change::temporary},
        {"SELECT 1 INTO LOCAL TEMPORARY TABLE t", session_change::temporary},
        {"LISTEN news", session_change::listening},
        {"SELECT pg_advisory_lock(1)", session_change::locks},
        {"SELECT pg_try_advisory_lock_shared(1, 2)", session_change::locks},
        {"DECLARE c CURSOR WITH HOLD FOR SELECT 1", session_change::cursors},
        {"PREPARE p AS SELECT 1", session_change::statements},
        {"LOAD 'auto_explain'", session_change::settings},
        {"DO $$ BEGIN END $$", session_change::all_but_statements},
        {"do $$ BEGIN EXECUTE 'PREPARE p AS SELECT 1'; END $$",
         session_change::all_but_statements | session_change::statements},
        {"UPDATE pg_settings SET setting = 'x' WHERE name = 'y'", settings_or_role},
        {"with x as (select 1) update pg_catalog.\"pg_settings\" set setting = ''",
         settings_or_role},
        {"EXPLAIN ANALYZE CREATE TEMP TABLE t AS SELECT 1", session_change::temporary},
        {"EXPLAIN (ANALYZE) SELECT 1 AS a INTO /* here */ TEMP t", session_change::temporary},
        {"CREATE OR REPLACE TEMP VIEW v AS SELECT 1", session_change::temporary},
        {"SET local.foo = 1", session_change::settings},
        {"SET local . foo = 1", session_change::settings},
        {"SET role.foo = 1", session_change::settings},
        {"SET SESSION session.foo = 1", session_change::settings},
        {"SET SESSION \"role\" = 'ann'", settings_or_role},
        {"SET transaction.foo = 1", session_change::settings},
        {"SELECT nextval('s')", session_change::sequences},
        {"SELECT pg_catalog.setval('s', 1)", session_change::sequences},
        {"DECLARE c CURSOR WITH /* for long */ HOLD FOR SELECT 1", session_change::cursors},
        {"DECLARE c CURSOR WITH -- for long\n HOLD FOR SELECT 1", session_change::cursors},
        {"SELECT '\\''; SET a = 1; --'", session_change::settings},
        {"SELECT 'a -- b', set_config('a', 'b', false)", settings_or_role},
        {"LISTEN a; SET b = 1", session_change::listening | session_change::settings},
    };
    for (const auto& [sql, change] : table) {
        CAPTURE(sql);
        CHECK(session_changes_of(sql) == change);
    }
    for (const char* sql : {"",
                            ";",
                            "SELECT 1",
                            "UPDATE t SET a = 1",
                            "SET LOCAL a = 1",
                            "SET TRANSACTION READ ONLY",
                            "SET CONSTRAINTS ALL DEFERRED",
                            "RESET ALL",
                            "UNLISTEN *",
                            "DISCARD ALL",
                            "BEGIN",
                            "PREPARE TRANSACTION 'x'",
                            "SELECT pg_advisory_xact_lock(1)",
                            "SELECT temp FROM weather",
                            "INSERT INTO temps VALUES (1)",
                            "DECLARE c CURSOR FOR SELECT hold FROM t",
                            "SELECT reset_config()",
                            "CALL work()",
                            "(SELECT 1)",
                            "SELECT 'x",
                            "SELECT setting FROM pg_settings",
                            "INSERT INTO t VALUES ('Set it up')",
                            "SELECT currval('s'), lastval()",
                            "SET LOCAL role = ann",
                            "EXPLAIN ANALYZE SELECT temp FROM weather",
                            "/* SET a = 1 */"}) {
        CAPTURE(sql);
        CHECK(session_changes_of(sql) == session_change::none);
    }
}

TEST_CASE("a text is certain to be one statement where nothing stands behind a semicolon") {
    CHECK(is_one_statement(""));
    CHECK(is_one_statement("SELECT 1"));
    CHECK(is_one_statement("SELECT 1 ; ;\n"));
    CHECK_FALSE(is_one_statement("SELECT 1; SELECT 2"));
    CHECK_FALSE(is_one_statement("SELECT ';x'"));
}

TEST_CASE("what ends a transaction is known by its first words") {
    for (const char* sql : {"COMMIT", "end", "ROLLBACK", "rollback to a", "ABORT"}) {
        CHECK(ends_transaction(sql));
    }
    for (const char* sql : {"", "SELECT 1", "BEGIN", "SAVEPOINT rollback"}) {
        CHECK_FALSE(ends_transaction(sql));
    }
}

TEST_CASE("to go back to a savepoint does not leave the transaction") {
    for (const char* sql : {"COMMIT", "end work", "PREPARE TRANSACTION 'a'", "ROLLBACK", "ABORT",
                            "rollback work", "ROLLBACK TRANSACTION", "ROLLBACK AND CHAIN"}) {
        CHECK(leaves_transaction(sql));
    }
    for (const char* sql : {"ROLLBACK TO a", "rollback to savepoint a", "ROLLBACK WORK TO a",
                            "ROLLBACK /* so */ TRANSACTION TO a", "SELECT 1", "RELEASE a"}) {
        CHECK_FALSE(leaves_transaction(sql));
    }
}

TEST_CASE("AND CHAIN is found at the end of a transaction, and nowhere else") {
    for (const char* sql :
         {"COMMIT AND CHAIN", "end and chain", "ROLLBACK WORK AND CHAIN",
          "abort transaction and "
          "chain",
          "/* so */ COMMIT /* and */ AND -- yes\n CHAIN;", "SELECT 1; COMMIT AND CHAIN; SELECT 2",
          "SELECT ';'; ROLLBACK AND CHAIN"}) {
        CAPTURE(sql);
        CHECK(chains_transactions(sql));
    }
    for (const char* sql :
         {"", "COMMIT", "COMMIT AND NO CHAIN", "SELECT a FROM t WHERE b AND chain",
          "SELECT 'COMMIT AND CHAIN'", "SELECT '; COMMIT AND CHAIN'", "CREATE TABLE chain ()",
          "DO $$ BEGIN NULL; COMMIT AND CHAIN; END $$"}) {
        CAPTURE(sql);
        CHECK_FALSE(chains_transactions(sql));
    }
}

}  // namespace
