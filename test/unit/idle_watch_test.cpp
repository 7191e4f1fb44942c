// One watch at a time.
#include "postgres/idle_watch.hpp"

#include <doctest/doctest.h>

using namespace bitdotio;

TEST_CASE("an event counts for the watch it was waited for in") {
    idle_watch watch;
    const auto first = watch.begin();
    CHECK(watch.has_come(first));
    const auto second = watch.begin();
    CHECK_FALSE(watch.has_come(first));
    CHECK(watch.end());
    CHECK_FALSE(watch.has_come(second));
}

TEST_CASE("the end says whether an event was still waited for") {
    idle_watch watch;
    CHECK_FALSE(watch.end());
    const auto number = watch.begin();
    CHECK(watch.has_come(number));
    CHECK_FALSE(watch.end());
    watch.begin();
    CHECK(watch.end());
    CHECK_FALSE(watch.end());
}

TEST_CASE("whoever is to be told is told once, and not after the end") {
    idle_watch watch;
    int told = 0;
    watch.tell([&] { ++told; });
    REQUIRE(watch.whom());
    watch.take_whom()();
    CHECK(told == 1);
    CHECK_FALSE(watch.take_whom());
    watch.tell([&] { ++told; });
    watch.end();
    CHECK_FALSE(watch.whom());
}
