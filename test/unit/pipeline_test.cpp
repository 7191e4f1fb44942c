// What a pipeline keeps of the statements that are added to it.
#include <bitdotio/named.hpp>
#include <bitdotio/pipeline.hpp>

#include <doctest/doctest.h>

#include <optional>
#include <string>
#include <utility>

using namespace bitdotio;

namespace {

// The error of adding a statement with its values; nothing if there is none.
template <class... Values>
std::optional<error> refused(pipeline& batch, const statement& sql, const Values&... values) {
    try {
        batch.add(sql, values...);
    } catch (const error& failure) {
        return failure;
    }
    return std::nullopt;
}

}  // namespace

TEST_CASE("a statement that is added again keeps its values and shares its text") {
    const statement sql("SELECT $1::int");
    pipeline batch;
    batch.add(sql, 1).add(sql, 2).add("SELECT $1::int", 3).add(statement(sql).text_results(), 4);
    batch.add(statement(sql).text_results().unprepared(), 5).add(sql, 6);
    REQUIRE(batch.size() == 6);
    CHECK(&batch.sql(0) == &batch.sql(1));
    CHECK(&batch.sql(0) == &batch.sql(2));
    CHECK(&batch.sql(0) != &batch.sql(3));
    CHECK(batch.sql(3).wants_text_results());
    CHECK(batch.sql(3).may_be_prepared());
    CHECK_FALSE(batch.sql(4).may_be_prepared());
    CHECK_FALSE(batch.sql(5).wants_text_results());
    for (std::size_t i = 0; i < batch.size(); ++i) {
        CAPTURE(i);
        CHECK(batch.sql(i).sql() == sql.sql());
        CHECK(batch.values(i).value(0).back() == static_cast<char>(i + 1));
    }
}

TEST_CASE("values by name are numbered for a statement that was added before, too") {
    const statement sql("SELECT :a::int");
    pipeline batch;
    batch.add(sql, named("a", 1)).add(sql, named("a", 2));
    CHECK(batch.sql(1).sql() == "SELECT $1::int");
    CHECK(batch.values(1).value(0).back() == 2);
}

TEST_CASE("values that cannot be bound leave the pipeline as it was") {
    const statement sql("SELECT $1::text");
    pipeline batch;
    batch.add(sql, "one");
    const auto zero = refused(batch, sql, std::string("a\0b", 3));
    REQUIRE(zero);
    CHECK(zero->code() == errc::bad_input);
    CHECK(zero->outcome() == outcome::not_sent);
    const auto many = refused(batch, sql, "one", "two");
    REQUIRE(many);
    CHECK(many->code() == errc::bad_input);
    CHECK(batch.size() == 1);
}

TEST_CASE(
    "a transaction in one trip puts BEGIN and COMMIT around its statements, and takes both off") {
    const statement sql("SELECT $1::int");
    pipeline batch;
    batch.add(sql, 1).add(sql, 2);
    pipeline whole = std::move(batch).as_transaction(statement("BEGIN").unprepared());
    REQUIRE(whole.size() == 4);
    CHECK(whole.is_transaction());
    CHECK(whole.sync() == pipeline_sync::once);
    CHECK(whole.sql(0).sql() == "BEGIN");
    CHECK(whole.values(0).empty());
    CHECK(whole.sql(2).sql() == sql.sql());
    CHECK(whole.values(2).value(0).back() == 2);
    CHECK(whole.sql(3).sql() == "COMMIT");
    const pipeline again = std::move(whole).without_ends();
    REQUIRE(again.size() == 2);
    CHECK_FALSE(again.is_transaction());
    CHECK(again.sql(1).sql() == sql.sql());
    CHECK(again.values(1).value(0).back() == 2);
}
