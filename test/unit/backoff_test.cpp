// How long the next try waits, by count, time and chance.
#include "base/backoff.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <cstddef>
#include <optional>
#include <vector>

namespace {

using namespace std::chrono_literals;
using bitdotio::busy_delay;
using bitdotio::retry_delay;
using bitdotio::retry_options;
using bitdotio::wake_delay;
using std::chrono::milliseconds;

constexpr double least = 0;
constexpr double middle = 0.5;
constexpr double most = 0.999;

// The delays after 1, 2, … failed tries, until there are `count` or no more.
std::vector<milliseconds> delays(const retry_options& options, int count, double jitter) {
    std::vector<milliseconds> all;
    for (int failed = 1; failed <= count; ++failed) {
        const auto delay = retry_delay(options, failed, std::nullopt, jitter);
        if (!delay) break;
        all.push_back(*delay);
    }
    return all;
}

TEST_CASE("delays that somebody set to never do not run over") {
    retry_options options;
    options.max_attempts = 100;
    options.first_delay = milliseconds::max();
    options.max_delay = milliseconds::max();
    for (const int failed : {1, 2, 21, 99}) {
        CHECK(retry_delay(options, failed, std::nullopt, least) == bitdotio::longest_time);
    }
    CHECK(retry_delay(options, 1, std::chrono::seconds::max(), least) <= bitdotio::longest_time);
}

TEST_CASE("a waking database is probed quickly at first, then every half second") {
    std::vector<milliseconds> pauses;
    milliseconds waited = 0ms;
    for (std::size_t failed = 1; failed <= 7; ++failed) {
        pauses.push_back(wake_delay(failed, waited, middle));
        waited += pauses.back();
    }
    CHECK(pauses == std::vector<milliseconds>{50ms, 100ms, 200ms, 400ms, 500ms, 500ms, 500ms});
}

TEST_CASE("the longer a database has been waking, the rarer it is probed") {
    struct row {
        milliseconds waited;
        milliseconds pause;
    };
    const row table[] = {{0ms, 500ms},   {9'999ms, 500ms}, {10s, 2s},
                         {59'999ms, 2s}, {60s, 5s},        {1h, 5s}};
    for (const row& one : table) {
        CAPTURE(one.waited.count());
        CHECK(wake_delay(5, one.waited, middle) == one.pause);
        CHECK(wake_delay(1'000'000, one.waited, middle) == one.pause);
    }
}

TEST_CASE("chance spreads the probes from half to one and a half of their pause") {
    CHECK(wake_delay(5, 0ms, least) == 250ms);
    CHECK(wake_delay(5, 0ms, most) == 749ms);
    CHECK(wake_delay(5, 60s, least) == 2'500ms);
    CHECK(wake_delay(5, 60s, most) == 7'495ms);
    CHECK(busy_delay(1, least) == 100ms);
    CHECK(busy_delay(1, most) == 299ms);
}

TEST_CASE("a busy server is tried again later and later, up to two seconds") {
    std::vector<milliseconds> pauses;
    for (const std::size_t failed : {1, 2, 3, 4, 5, 6, 100, 1'000'000}) {
        pauses.push_back(busy_delay(failed, middle));
    }
    CHECK(pauses == std::vector<milliseconds>{200ms, 400ms, 800ms, 1'600ms, 2s, 2s, 2s, 2s});
}

TEST_CASE("calls are retried with doubling delays until the tries are used up") {
    retry_options options;
    options.max_attempts = 8;
    CHECK(delays(options, 20, least) ==
          std::vector<milliseconds>{100ms, 200ms, 400ms, 800ms, 1'600ms, 2s, 2s});
}

TEST_CASE("by default a call is tried four times") {
    CHECK(delays(retry_options(), 20, least).size() == 3);
}

TEST_CASE("one try at most, or none, means no retry") {
    for (const int attempts : {1, 0, -1}) {
        retry_options options;
        options.max_attempts = attempts;
        CHECK(delays(options, 20, least).empty());
        CHECK_FALSE(retry_delay(options, 1, 1s, least));
    }
}

TEST_CASE("chance shortens the delay of a call to anything down to nothing") {
    const retry_options options;
    CHECK(retry_delay(options, 1, std::nullopt, least) == 100ms);
    CHECK(retry_delay(options, 1, std::nullopt, middle) == 50ms);
    CHECK(retry_delay(options, 1, std::nullopt, most) == 0ms);
}

TEST_CASE("what the server asks for is obeyed, beyond the longest delay and without chance") {
    const retry_options options;
    CHECK(retry_delay(options, 1, 7s, most) == 7s);
    CHECK(retry_delay(options, 3, 0s, least) == 0s);
    CHECK_FALSE(retry_delay(options, options.max_attempts, 7s, least));
}

TEST_CASE("many failures do not overflow the delay") {
    retry_options options;
    options.max_attempts = 1'000'000;
    options.max_delay = 1h;
    CHECK(retry_delay(options, 999'999, std::nullopt, least) == 1h);
}

}  // namespace
