// Rates, storage and usage: rules over time and figures.
#include <doctest/doctest.h>

#include "server/api/query_runner.hpp"
#include "server/catalog/rate_limiter.hpp"
#include "server/catalog/storage_rule.hpp"
#include "server/catalog/usage_meter.hpp"
#include "server/instances/instance_log.hpp"

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

namespace {

using namespace bitdotio;
using namespace std::chrono_literals;

const token_bucket::time_point start{1'000h};

}  // namespace

TEST_CASE("a bucket gives its burst at once, then as much as time brings") {
    const token_bucket::settings rule(3, 2);
    struct row {
        std::chrono::milliseconds at;
        int wait;  ///< -1: taken
    };
    const row table[] = {
        {0ms, -1},      {0ms, -1},      {0ms, -1},      {0ms, 500},
        {0ms, 500},     {200ms, 300},   {499ms, 1},     {500ms, -1},
        {500ms, 500},   {1'000ms, -1},  {1'100ms, 400}, {900ms, 400},
        {60'000ms, -1}, {60'000ms, -1}, {60'000ms, -1}, {60'000ms, 500},
    };
    token_bucket bucket;
    int line = 0;
    for (const row& one : table) {
        ++line;
        CAPTURE(line);
        const auto wait = bucket.take(rule, start + one.at);
        CHECK((wait ? static_cast<int>(wait->count()) : -1) == one.wait);
    }
}

TEST_CASE("a bucket gives no more than its rate in the long run, and all of it") {
    const token_bucket::settings rule(10, 7);
    token_bucket bucket;
    int taken = 0;
    for (std::chrono::milliseconds at = 0ms; at < 100s; at += 10ms) {
        taken += !bucket.take(rule, start + at);
    }
    CHECK(taken >= 10 + 7 * 100 - 2);
    CHECK(taken <= 10 + 7 * 100);
}

TEST_CASE("a rate of zero is no limit, and a burst below one still gives one") {
    token_bucket free;
    for (int i = 0; i < 1'000; ++i) {
        CHECK_FALSE(free.take(token_bucket::settings(1, 0), start));
    }
    token_bucket small;
    CHECK_FALSE(small.take(token_bucket::settings(0, 1), start));
    CHECK(small.take(token_bucket::settings(0, 1), start) == 1'000ms);
}

TEST_CASE("keys and addresses are counted apart") {
    rate_limiter limiter(token_bucket::settings(1, 1), token_bucket::settings(2, 0.5));
    CHECK_FALSE(limiter.call("a", start));
    CHECK(limiter.call("a", start) == 1'000ms);
    CHECK_FALSE(limiter.call("b", start));
    CHECK_FALSE(limiter.failure("10.0.0.1", start));
    CHECK_FALSE(limiter.failure("10.0.0.1", start));
    CHECK(limiter.failure("10.0.0.1", start) == 2'000ms);
    CHECK_FALSE(limiter.failure("10.0.0.2", start));
    CHECK_FALSE(limiter.failure("10.0.0.1", start + 2s));
}

TEST_CASE("of IPv6 a network counts as one address, and a mapped IPv4 address as itself") {
    CHECK(rate_limiter::network_of("10.0.0.1") == "10.0.0.1");
    CHECK(rate_limiter::network_of("::ffff:10.0.0.1") == "10.0.0.1");
    CHECK(rate_limiter::network_of("2001:db8:1:2:3:4:5:6") ==
          rate_limiter::network_of("2001:db8:1:2::9"));
    CHECK(rate_limiter::network_of("2001:db8:1:2::9") !=
          rate_limiter::network_of("2001:db8:1:3::9"));
    CHECK(rate_limiter::network_of("nowhere") == "nowhere");
}

TEST_CASE("a flood of addresses does not fill the memory") {
    rate_limiter limiter(token_bucket::settings(1, 1));
    for (std::size_t i = 0; i < 3 * rate_limiter::most; ++i) {
        limiter.failure("host" + std::to_string(i), start);
    }
    CHECK(limiter.size() <= rate_limiter::most);
}

TEST_CASE("a database over its limit is read-only, and closed if it grows even so") {
    constexpr std::int64_t slack = storage_rule::slack;
    using enum storage_state;
    struct row {
        std::int64_t used;
        std::int64_t limit;
        storage_state state;
    };
    const row table[] = {
        {0, 100, writable},         {100, 100, writable},
        {101, 100, read_only},      {101 + slack, 100, read_only},  // its own housekeeping
        {102 + slack, 100, closed},                                 // somebody writes
        {50 + slack, 100, closed},  // less, but more than when it became read-only
        {101, 100, read_only},      // as before
        {90, 100, writable},        {500, 100, read_only},
        {200, 100, read_only},  // freed space counts from here
        {201 + slack, 100, closed}, {201 + slack, 1'000'000'000, writable},  // the limit was raised
        {1, 0, read_only},          {0, 0, writable},
    };
    storage_rule rule;
    int line = 0;
    for (const row& one : table) {
        ++line;
        CAPTURE(line);
        CHECK(rule.measured(one.used, one.limit) == one.state);
        CHECK(rule.state() == one.state);
    }
}

TEST_CASE("all statements that free space together leave a database as large as one can") {
    constexpr std::int64_t slack = storage_rule::slack;
    storage_rule rule;
    rule.measured(1'000, 100);
    std::int64_t used = 1'000;
    for (int i = 0; i < 1'000 && !rule.takes_drops_only(); ++i) {
        const std::int64_t before = used;
        // Each takes all it may, and overshoots by what is written between two measurements.
        used = rule.ceiling(freeing::deletes, before) + slack / 4;
        rule.freed(before, used, 100);
    }
    CHECK(rule.takes_drops_only());
    CHECK(used <= 1'000 + 2 * slack);
    CHECK(rule.freed(used, used - 1, 100) == storage_state::closed);
    CHECK(rule.takes_drops_only());
    CHECK(rule.freed(used, 1'000, 100) == storage_state::read_only);
    CHECK_FALSE(rule.takes_drops_only());
    // A copy may be there for the time of VACUUM FULL.
    CHECK(rule.ceiling(freeing::copies, 1'000) == 2'000 + slack);
    CHECK(rule.freed(1'000, 900, 100) == storage_state::read_only);
    CHECK_FALSE(rule.takes_drops_only());
}

TEST_CASE("a log is written up to its rate, and says what was left out") {
    log_budget budget;
    const std::string piece(64 << 10, 'x');
    std::size_t written = 0;
    // A hundred seconds of thirty times the rate.
    for (int i = 0; i < 3'000; ++i) {
        written += budget.take(piece, start + i * 33ms).size();
    }
    CHECK(written >= log_budget::burst + 90 * log_budget::rate);
    CHECK(written <= log_budget::burst + 101 * log_budget::rate);
    const std::string next = budget.take("last words\n", start + 200s);
    CHECK(next.find("bytes came too fast") != std::string::npos);
    CHECK(next.ends_with("last words\n"));
    CHECK(budget.take("more\n", start + 200s) == "more\n");
}

TEST_CASE("only statements that free space are let through over the limit") {
    CHECK(frees_space("/* why */ DROP TABLE t") == freeing::drops);
    CHECK(frees_space("DELETE FROM t") == freeing::deletes);
    CHECK(frees_space("  truncate t") == freeing::deletes);
    CHECK(frees_space("-- why\nVacuum FULL t") == freeing::copies);
    for (const char* sql : {"", "INSERT INTO t VALUES (1)", "WITH x AS (DELETE FROM t) SELECT 1",
                            "DELETED", "-- DELETE", "SELECT 1", "'DELETE'", "UPDATE t SET n = 1"}) {
        CAPTURE(sql);
        CHECK_FALSE(frees_space(sql));
    }
}

TEST_CASE("rows are counted by database and calendar month") {
    using std::chrono::sys_days;
    const std::chrono::sys_seconds december = sys_days(2023y / 12 / 31) + 23h + 59min + 59s;
    const std::chrono::sys_seconds january = december + 1s;
    usage_meter meter;
    meter.count("a", 5, december);
    meter.count("a", 7, january);
    meter.count("b", 1, january);
    meter.count("a", 2, january);
    const usage now = meter.current("a", january);
    CHECK(now == usage{9, sys_days(2024y / 1 / 1), sys_days(2024y / 2 / 1)});
    CHECK(meter.previous("a", january) ==
          usage{5, sys_days(2023y / 12 / 1), sys_days(2024y / 1 / 1)});
    CHECK(meter.current("nobody", january).rows_queried == 0);

    const auto fresh = meter.take_fresh();
    CHECK(fresh.size() == 3);
    CHECK_FALSE(meter.has_fresh());
    meter.count("a", 1, january);
    meter.put_back(fresh);
    CHECK(meter.take_fresh().at({"a", sys_days(2024y / 1 / 1)}) == 10);
    meter.forget("a");
    CHECK(meter.current("a", january).rows_queried == 0);
    CHECK(meter.current("b", january).rows_queried == 1);
}
