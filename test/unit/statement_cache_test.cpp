// Which statements stay prepared, tested on plain strings.
#include "postgres/statement_cache.hpp"

#include <doctest/doctest.h>

#include <random>
#include <set>
#include <string>
#include <vector>

using bitdotio::oid;
using bitdotio::statement_cache;
using action = bitdotio::statement_cache::action;

namespace {

const std::vector<oid> no_types;

}  // namespace

TEST_CASE("a statement is prepared when it is used the second time, and kept") {
    statement_cache cache(4, 100, "p_");
    CHECK(cache.look_up("SELECT 1", no_types).what == action::unnamed);
    const auto second = cache.look_up("SELECT 1", no_types);
    CHECK(second.what == action::prepare);
    CHECK(second.name == "p_1");
    const auto third = cache.look_up("SELECT 1", no_types);
    CHECK(third.what == action::prepared);
    CHECK(third.name == "p_1");
}

TEST_CASE("the same text with other parameter types is another statement") {
    statement_cache cache(4, 100, "p_");
    const std::vector<oid> integer{23};
    const std::vector<oid> bigint{20};
    cache.look_up("SELECT $1", integer);
    CHECK(cache.look_up("SELECT $1", bigint).what == action::unnamed);
    CHECK(cache.look_up("SELECT $1", integer).what == action::prepare);
    CHECK(cache.look_up("SELECT $1", bigint).what == action::prepare);
    CHECK(cache.look_up("SELECT $1", integer).name != cache.look_up("SELECT $1", bigint).name);
}

TEST_CASE("a cache of size 0 and statements over the limit are never prepared") {
    statement_cache off(0, 100, "p_");
    statement_cache small(4, 8, "p_");
    for (int i = 0; i < 3; ++i) {
        CHECK(off.look_up("SELECT 1", no_types).what == action::unnamed);
        CHECK(small.look_up("SELECT 10", no_types).what == action::unnamed);
    }
    small.look_up("SELECT 1", no_types);
    CHECK(small.look_up("SELECT 1", no_types).what == action::prepare);
}

TEST_CASE("the least recently used one is evicted, and named once") {
    statement_cache cache(2, 100, "p_");
    for (const char* sql : {"a", "a", "b", "b", "a", "c"}) {
        cache.look_up(sql, no_types);
    }
    CHECK(cache.evicted() == 0);
    CHECK(cache.look_up("c", no_types).what == action::prepare);
    CHECK(cache.prepared() == 2);
    CHECK(cache.take_evicted() == std::vector<std::string>{"p_2"});
    CHECK(cache.take_evicted().empty());
    CHECK(cache.look_up("a", no_types).what == action::prepared);
    CHECK(cache.look_up("b", no_types).what != action::prepared);
}

TEST_CASE("a flood of statements used once evicts nothing that is prepared") {
    statement_cache cache(2, 100, "p_");
    cache.look_up("kept", no_types);
    cache.look_up("kept", no_types);
    for (int i = 0; i < 1'000; ++i) {
        CHECK(cache.look_up(std::to_string(i), no_types).what == action::unnamed);
    }
    CHECK(cache.look_up("kept", no_types).what == action::prepared);
    CHECK(cache.evicted() == 0);
}

TEST_CASE("what is forgotten begins anew under another name") {
    statement_cache cache(2, 100, "p_");
    cache.look_up("a", no_types);
    const std::string name = cache.look_up("a", no_types).name;
    cache.forget(name);
    CHECK(cache.evicted() == 0);
    CHECK(cache.look_up("a", no_types).what == action::unnamed);
    const auto again = cache.look_up("a", no_types);
    CHECK(again.what == action::prepare);
    CHECK(again.name != name);
    cache.evict(again.name);
    CHECK(cache.take_evicted() == std::vector<std::string>{again.name});
    cache.disable();
    cache.look_up("a", no_types);
    CHECK(cache.look_up("a", no_types).what == action::unnamed);
}

TEST_CASE("over random use, no name is given twice and the limits hold") {
    const unsigned seed = std::random_device{}();
    CAPTURE(seed);
    std::mt19937 chance(seed);
    statement_cache cache(8, 100, "p_");
    std::set<std::string> on_server;
    for (int i = 0; i < 20'000; ++i) {
        const auto plan = cache.look_up(std::to_string(chance() % 30), no_types);
        for (const std::string& name : cache.take_evicted()) {
            REQUIRE(on_server.erase(name) == 1);
        }
        if (plan.what == action::prepare) {
            REQUIRE(on_server.insert(plan.name).second);
        } else if (plan.what == action::prepared) {
            REQUIRE(on_server.contains(plan.name));
            if (chance() % 50 == 0) {
                cache.forget(plan.name);
                on_server.erase(plan.name);
            }
        }
        REQUIRE(on_server.size() <= 8);
        REQUIRE(cache.prepared() == on_server.size());
    }
}

TEST_CASE("types that the server inferred are inferred anew after a second, typed ones never") {
    statement_cache cache(4, 100, "p_");
    const std::vector<oid> typed{23};
    const std::vector<oid> inferred{23, 0};
    const statement_cache::time_point start{};
    for (const auto& types : {typed, inferred}) {
        cache.look_up("SELECT", types, start);
        CHECK(cache.look_up("SELECT", types, start).what == action::prepare);
    }
    const auto just_before =
        start + statement_cache::inferred_types_life - std::chrono::nanoseconds(1);
    CHECK(cache.look_up("SELECT", inferred, just_before).what == action::prepared);
    const auto later = start + statement_cache::inferred_types_life;
    CHECK(cache.look_up("SELECT", typed, later).what == action::prepared);
    const auto anew = cache.look_up("SELECT", inferred, later);
    CHECK(anew.what == action::prepare);
    CHECK(anew.parts == 3);  // the former one is deallocated on the way
    CHECK(cache.take_evicted() == std::vector<std::string>{"p_2"});
    CHECK(cache.look_up("SELECT", inferred, later).name == anew.name);
    CHECK(cache.prepared() == 2);
}

TEST_CASE("what was inferred is forgotten at once when meanings change, what was typed stays") {
    statement_cache cache(4, 100, "p_");
    const std::vector<oid> typed{23};
    const std::vector<oid> inferred{0};
    for (int time = 0; time < 2; ++time) {
        cache.look_up("SELECT", typed);
        cache.look_up("SELECT", inferred);
    }
    cache.forget_inferred();
    CHECK(cache.prepared() == 1);
    CHECK(cache.look_up("SELECT", typed).what == action::prepared);
    CHECK(cache.look_up("SELECT", inferred).what == action::unnamed);
    CHECK(cache.take_evicted().size() == 1);
}

TEST_CASE("a refusal that may come of a stale plan drops the plan, and is tried without it once") {
    using bitdotio::plan_verdict;
    const auto refused = [](std::vector<oid> types, plan_verdict found, int runs) {
        statement_cache cache(4, 100, "p_");
        statement_cache::plan last;
        for (int run = 0; run < runs; ++run) {
            last = cache.look_up("SELECT", types);
        }
        const bool again = cache.refused(last, found, true);
        return std::pair(again, cache.prepared());
    };
    using p = std::pair<bool, std::size_t>;
    CHECK(refused({23}, plan_verdict::suspect, 3) == p(true, 0));
    CHECK(refused({0}, plan_verdict::suspect_of_values, 3) == p(true, 0));
    // Typed values are what they are, and what was prepared just now was understood just now.
    CHECK(refused({23}, plan_verdict::suspect_of_values, 3) == p(false, 1));
    CHECK(refused({0}, plan_verdict::suspect_of_values, 2) == p(false, 1));
    CHECK(refused({0}, plan_verdict::suspect_of_values, 1) == p(false, 0));
}

TEST_CASE("what was sent with a statement that was refused for its plan is told the same") {
    using bitdotio::plan_verdict;
    statement_cache cache(4, 100, "p_");
    for (int i = 0; i < 3; ++i) {
        cache.look_up("a", no_types);
    }
    const auto plan = cache.look_up("a", no_types);
    REQUIRE(plan.what == action::prepared);
    CHECK(cache.refused(plan, plan_verdict::outdated, true));
    CHECK(cache.refused(plan, plan_verdict::outdated, true));
    CHECK(cache.refused(plan, plan_verdict::missing, true));
    CHECK(cache.evicted() == 1);  // or the server would be told to forget it twice
    cache.look_up("a", no_types);
    CHECK(cache.look_up("a", no_types).what == action::prepare);
}
