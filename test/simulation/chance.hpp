// Chance that a seed repeats, and how many schedules are tried.
#pragma once

#include <doctest/doctest.h>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <exception>
#include <iostream>
#include <string>

namespace test {

// The sanitizers make it a hundred times slower; what they look for shows in few schedules.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr std::uint64_t schedules_by_default = 2'000;
#else
inline constexpr std::uint64_t schedules_by_default = 1'000'000;
#endif

/// splitmix64: any number of seeds, each of which starts at once.
class chance {
public:
    explicit chance(std::uint64_t seed) : state_(seed) {}

    std::uint64_t next() {
        std::uint64_t z = (state_ += 0x9e3779b97f4a7c15ULL);
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
        return z ^ (z >> 31);
    }
    std::size_t below(std::size_t limit) { return static_cast<std::size_t>(next() % limit); }
    bool one_in(std::size_t n) { return below(n) == 0; }
    double fraction() { return static_cast<double>(next() >> 11) * 0x1.0p-53; }

private:
    std::uint64_t state_;
};

inline std::uint64_t number_from(const char* variable, std::uint64_t otherwise) {
    const char* const text = std::getenv(variable);
    return text ? std::strtoull(text, nullptr, 10) : otherwise;
}

/// Runs many worlds, each with a seed. BITDOTIO_SIMULATION_SEED replays the schedule that a failure
/// named, event by event; BITDOTIO_SIMULATION_SCHEDULES sets how many there are.
///
/// Parameters: a `World` is made of a seed and whether it tells what happens; `run` throws what was
///     promised and not kept; `events` counts. One schedule costs as much as `dearness` others.
template <class World>
void simulate(std::uint64_t dearness = 1) {
    const bool replay = std::getenv("BITDOTIO_SIMULATION_SEED") != nullptr;
    const std::uint64_t first = number_from("BITDOTIO_SIMULATION_SEED", 1);
    const std::uint64_t count =
        replay ? 1 : number_from("BITDOTIO_SIMULATION_SCHEDULES", schedules_by_default / dearness);
    std::uint64_t events = 0;
    for (std::uint64_t seed = first; seed < first + count; ++seed) {
        World one(seed, replay);
        std::string broken;
        try {
            one.run();
        } catch (const std::exception& failure) {
            broken = failure.what();
        }
        events += one.events();
        if (!broken.empty()) {
            FAIL("seed ", seed, ": ", broken, " (BITDOTIO_SIMULATION_SEED=", seed, " replays it)");
        }
    }
    std::cout << count << " schedules from seed " << first << ", " << events << " events\n";
}

}  // namespace test
