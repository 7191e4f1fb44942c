// When an instance starts and stops, in many random lives.
#include <doctest/doctest.h>

#include "server/instances/dormancy.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <random>
#include <vector>

namespace {

using bitdotio::dormancy;
using state = dormancy::state;
using stop = dormancy::stop;
using std::chrono::milliseconds;

}  // namespace

TEST_CASE("in random lives nobody waits forever, and nobody's instance is stopped under him") {
    for (unsigned seed = 0; seed < 2'000; ++seed) {
        CAPTURE(seed);
        std::mt19937 chance(seed);
        const auto one_in = [&](unsigned n) { return chance() % n == 0; };
        dormancy rule{dormancy::settings()};  // asleep after a minute
        std::vector<std::uint64_t> connected;
        std::size_t waiting = 0;
        bool running = false;  // whether the process exists
        bool sleep_asked = false;
        bool righting = false;  // in the life that runs now
        dormancy::time_point now{std::chrono::hours(1)};
        const auto obey = [&] {
            const auto orders = rule.decide(now);
            if (orders.start) {
                REQUIRE_FALSE(running);
                running = true;
            }
            if (orders.put_right) {
                REQUIRE(running);
                REQUIRE_FALSE(righting);
                righting = true;
            }
            if (orders.stop != stop::no && !sleep_asked) {
                REQUIRE_FALSE(righting);
                for (const std::uint64_t life : connected) {
                    REQUIRE(life != rule.life());
                }
            }
            if (orders.admit) {
                REQUIRE(running);
                connected.insert(connected.end(), waiting, rule.life());
            }
            if (orders.admit || orders.refuse) {
                waiting = 0;
            }
            REQUIRE(rule.waiting() == waiting);
            REQUIRE((waiting == 0 || running));
        };
        for (int step = 0; step < 200; ++step) {
            now += milliseconds(chance() % 20'000);
            if (righting && one_in(2)) {
                righting = false;
                rule.righted(rule.life(), one_in(2));
            } else if (one_in(3)) {
                rule.wait();
                ++waiting;
            } else if (one_in(4) && waiting > 0) {
                rule.forget();
                --waiting;
            } else if (one_in(2) && !connected.empty()) {
                rule.connection_closed(connected.back(), now);
                connected.pop_back();
            } else if (one_in(10)) {
                rule.sleep_now();
                sleep_asked = running;
            } else if (running && rule.current() == state::waking) {
                if (one_in(5)) {
                    running = sleep_asked = righting = false;
                    rule.stopped(now);
                } else {
                    rule.started(now);
                }
            } else if (running && (one_in(10) || rule.current() == state::falling_asleep)) {
                running = sleep_asked = righting = false;
                rule.stopped(now);
            }
            obey();
        }
    }
}
