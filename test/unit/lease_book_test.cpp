// Who holds what for how long, by a clock of the test's own.
#include "pool/lease_book.hpp"

#include <doctest/doctest.h>

namespace {

using namespace std::chrono_literals;
using bitdotio::lease_book;

constexpr lease_book::time_point start{1'000s};
const int a = 0, b = 0, c = 0, d = 0;

TEST_CASE("a lease ends with how long it was held") {
    lease_book book;
    book.lend(&a, std::source_location::current(), start);
    book.lend(&b, std::source_location::current(), start + 1s);
    CHECK(book.take_back(&a, start + 5s) == 5s);
    CHECK(book.take_back(&a, start + 6s) == 0s);
    CHECK(book.take_back(&b, start + 6s) == 5s);
    CHECK(book.all().empty());
}

TEST_CASE("what is held for too long is reported once, with the place where it was acquired") {
    lease_book book;
    const auto here = std::source_location::current();
    book.lend(&a, here, start);
    book.lend(&b, here, start + 1s);
    CHECK(book.next_leak(10s) == start + 10s);
    CHECK(book.take_leaks(start + 9s, 10s).empty());
    const auto leaks = book.take_leaks(start + 10s, 10s);
    REQUIRE(leaks.size() == 1);
    CHECK(leaks.front().what == &a);
    CHECK(leaks.front().where.line() == here.line());
    CHECK(book.take_leaks(start + 10s, 10s).empty());
    CHECK(book.next_leak(10s) == start + 11s);
    CHECK(book.take_leaks(start + 11s, 10s).size() == 1);
    CHECK_FALSE(book.next_leak(10s));
}

TEST_CASE("the longest leases are named without directories, the others counted") {
    lease_book book;
    const auto here = std::source_location::current();
    const std::string place = "lease_book_test.cpp:" + std::to_string(here.line());
    book.lend(&a, here, start);
    CHECK(book.describe(start + 1'500ms) == place + " (1.5 s)");
    book.lend(&b, here, start + 1s);
    book.lend(&c, here, start + 1'200ms);
    book.lend(&d, here, start + 1'300ms);
    CHECK(book.describe(start + 31s) ==
          place + " (31 s), " + place + " (30 s), " + place + " (29 s) and 1 more");
}

TEST_CASE("it stands still if nothing has come back since") {
    lease_book book;
    CHECK(book.stands_still_since(start));
    book.lend(&a, std::source_location::current(), start);
    book.take_back(&a, start + 1s);
    CHECK_FALSE(book.stands_still_since(start));
    CHECK(book.stands_still_since(start + 2s));
}

TEST_CASE("times are said in words of a length that fits") {
    CHECK(lease_book::in_words(0ms) == "0 ms");
    CHECK(lease_book::in_words(999ms) == "999 ms");
    CHECK(lease_book::in_words(1'990ms) == "1.9 s");
    CHECK(lease_book::in_words(61s) == "61 s");
}

}  // namespace
