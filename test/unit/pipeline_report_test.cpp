// The answers of a pipeline find their statements.
#include "postgres/pipeline_report.hpp"

#include <doctest/doctest.h>

#include <string>
#include <vector>

using namespace bitdotio;

namespace {

server_message refusal(const char* sqlstate, const char* severity = "ERROR") {
    server_message message;
    message.severity = severity;
    message.sqlstate = sqlstate;
    message.message = "no";
    return message;
}

// A pipeline of statements that were all sent.
struct sent_batch {
    sent_batch(pipeline_sync sync, const std::vector<std::string>& statements,
               std::size_t parts = 1)
        : batch(sync) {
        for (const std::string& sql : statements)
            batch.add(statement(sql));
        report.begin();
        report.note_several(sync == pipeline_sync::each_statement, false);
        became.emplace(batch, report);
        statement_cache::plan plan;
        plan.parts = parts;
        for (std::size_t i = 0; i < statements.size(); ++i) {
            const bool last = i + 1 == statements.size();
            became->note_sent(facts_of(batch.sql(i).sql()), plan,
                              sync == pipeline_sync::each_statement || last);
        }
    }

    void answer(ExecStatusType status) {
        became->add(libpq::result(PQmakeEmptyPGresult(nullptr, status)), false);
    }
    void end_part() { became->add(nullptr, false); }
    void well() {
        answer(PGRES_COMMAND_OK);
        end_part();
    }
    void sync() { answer(PGRES_PIPELINE_SYNC); }

    std::string outcomes(const std::optional<error>& interrupted = std::nullopt,
                         const std::optional<error>& cut = std::nullopt) {
        const pipeline_results all = became->finish(interrupted, cut);
        std::string words;
        for (std::size_t i = 0; i < all.size(); ++i) {
            const error* const failure = all.failure(i);
            words += failure ? std::string(name_of(failure->outcome())) + " " : "ok ";
        }
        return words;
    }

    static std::string_view name_of(outcome what) {
        switch (what) {
            case outcome::not_sent: return "not_sent";
            case outcome::not_executed: return "not_executed";
            case outcome::executed: return "executed";
            default: return "unknown";
        }
    }

    pipeline batch;
    statement_report report;
    std::optional<pipeline_report> became;
};

constexpr auto each = pipeline_sync::each_statement;
constexpr auto once = pipeline_sync::once;

}  // namespace

TEST_CASE("with a sync each, an answer belongs to the statement before its sync") {
    sent_batch one(each, {"SELECT 1", "SELECT 2", "SELECT 3"});
    one.well();
    one.sync();
    CHECK(one.became->refuse(refusal("22012")));
    one.end_part();
    one.sync();
    one.well();
    one.sync();
    CHECK(one.outcomes() == "ok not_executed ok ");
}

TEST_CASE("with one sync, parts are counted, and a refusal is that of all") {
    sent_batch one(once, {"SELECT 1", "SELECT 2", "SELECT 3"}, 2);
    one.well();  // prepared
    one.well();
    one.well();
    const auto refused = one.became->refuse(refusal("22012"));
    REQUIRE(refused);
    CHECK(refused->was_prepared);
    one.end_part();
    one.answer(PGRES_PIPELINE_ABORTED);
    one.end_part();
    one.answer(PGRES_PIPELINE_ABORTED);
    one.end_part();
    one.sync();
    const pipeline_results all = one.became->finish(std::nullopt, std::nullopt);
    REQUIRE(all.failure(0));
    CHECK(std::string(all.failure(0)->what()).find("statement 1 of the pipeline failed") !=
          std::string::npos);
    CHECK(all.failure(1)->sqlstate() == "22012");
    CHECK(all.failure(2)->outcome() == outcome::not_executed);
}

TEST_CASE("what was passed over was not prepared, what was refused when it ran was") {
    pipeline batch(once);
    batch.add("SELECT 1").add("SELECT 2").add("SELECT 3");
    statement_report report;
    report.begin();
    pipeline_report one(batch, report);
    statement_cache::plan fresh;
    fresh.what = statement_cache::action::prepare;
    fresh.parts = 2;
    statement_cache::plan kept;
    kept.what = statement_cache::action::prepared;
    one.note_sent(facts_of(batch.sql(0).sql()), fresh, false);
    one.note_sent(facts_of(batch.sql(1).sql()), fresh, false);
    one.note_sent(facts_of(batch.sql(2).sql()), kept, true);
    const auto answer = [&](ExecStatusType status) {
        auto noted = one.add(libpq::result(PQmakeEmptyPGresult(nullptr, status)), false);
        one.add(nullptr, false);
        return noted;
    };
    CHECK_FALSE(answer(PGRES_COMMAND_OK));
    CHECK(one.refuse(refusal("22012"))->was_prepared);
    one.add(nullptr, false);
    const auto skipped = answer(PGRES_PIPELINE_ABORTED);
    REQUIRE(skipped);
    CHECK_FALSE(skipped->was_prepared);
    CHECK_FALSE(answer(PGRES_PIPELINE_ABORTED));
    CHECK_FALSE(answer(PGRES_PIPELINE_ABORTED));
}

TEST_CASE("a refusal before the last part is one of preparing it") {
    sent_batch one(each, {"SELECT 1"}, 2);
    const auto refused = one.became->refuse(refusal("42601"));
    REQUIRE(refused);
    CHECK_FALSE(refused->was_prepared);
}

TEST_CASE("what is refused at the sync is refused for all") {
    sent_batch one(once, {"SELECT 1", "SELECT 2"});
    one.well();
    one.well();
    CHECK_FALSE(one.became->refuse(refusal("23503")));
    one.sync();
    CHECK(one.outcomes() == "not_executed not_executed ");
}

TEST_CASE("after a loss each statement says what is known of it") {
    const error loss = error(errc::connection_lost, "gone").with(outcome::unknown);
    sent_batch one(each, {"SELECT 1", "SELECT 2"});
    one.well();
    one.sync();
    CHECK(one.outcomes(std::nullopt, loss) == "ok unknown ");
    // Without its sync nothing of it is committed.
    pipeline batch(once);
    batch.add("SELECT 1").add("SELECT 2");
    statement_report report;
    report.begin();
    pipeline_report half(batch, report);
    half.note_sent(facts_of(batch.sql(0).sql()), {}, false);
    CHECK_FALSE(half.is_stoppable());
    const pipeline_results all = half.finish(std::nullopt, loss);
    CHECK(all.failure(0)->outcome() == outcome::not_executed);
    CHECK(all.failure(1)->outcome() == outcome::not_sent);
    // A COMMIT waits for no sync.
    pipeline own(once);
    own.add("BEGIN").add("COMMIT").add("SELECT 1");
    pipeline_report committed(own, report);
    committed.note_sent(facts_of(own.sql(0).sql()), {}, false);
    committed.note_sent(facts_of(own.sql(1).sql()), {}, false);
    const pipeline_results some = committed.finish(std::nullopt, loss);
    CHECK(some.failure(0)->outcome() == outcome::unknown);
    CHECK(some.failure(1)->outcome() == outcome::unknown);
    CHECK(some.failure(2)->outcome() == outcome::not_sent);
}

TEST_CASE("what was stopped says why, and what was not sent that it was not") {
    const error timeout(errc::timeout, "too late");
    pipeline batch(each);
    batch.add("SELECT 1").add("SELECT 2");
    statement_report report;
    report.begin();
    pipeline_report one(batch, report);
    one.note_sent(facts_of(batch.sql(0).sql()), {}, true);
    CHECK(one.is_stoppable());
    one.refuse(refusal("57014"));
    const pipeline_results all = one.finish(timeout, std::nullopt);
    CHECK(all.failure(0)->code() == errc::timeout);
    CHECK(all.failure(1)->outcome() == outcome::not_sent);
}

TEST_CASE("words that end the session are no refusal of a statement") {
    sent_batch one(each, {"SELECT 1"});
    CHECK_FALSE(one.became->refuse(refusal("57P01", "FATAL")));
    CHECK(one.report.goodbye().sqlstate == "57P01");
    // Nor are libpq's own about the same.
    CHECK_FALSE(
        one.became->add(libpq::result(PQmakeEmptyPGresult(nullptr, PGRES_FATAL_ERROR)), true));
    CHECK(one.outcomes() == "ok ");
}

TEST_CASE("a COPY is noticed") {
    sent_batch one(each, {"COPY t FROM STDIN"});
    one.answer(PGRES_COPY_IN);
    CHECK(one.report.has_copy_started());
}
