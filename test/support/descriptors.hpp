// The number of file descriptors this process has open.
#pragma once

#include <chrono>
#include <cstddef>
#include <filesystem>
#include <iterator>
#include <thread>

namespace test {

inline std::ptrdiff_t open_descriptors() {
    return std::distance(std::filesystem::directory_iterator("/proc/self/fd"), {});
}

// Their number once the server, which is in this process too, has closed its ends: when it has not
// changed for a while.
inline std::ptrdiff_t settled_descriptors() {
    auto last = open_descriptors();
    for (int quiet = 0, turns = 0; quiet < 10 && turns < 500; ++turns) {
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
        const auto now = open_descriptors();
        quiet = now == last ? quiet + 1 : 0;
        last = now;
    }
    return last;
}

// Waits until no more than `most` are open; false if that does not happen in time. A PostgreSQL
// that stops takes as long as its machine lets it.
inline bool descriptors_fall_to(std::ptrdiff_t most) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
    while (open_descriptors() > most) {
        if (std::chrono::steady_clock::now() > deadline) return false;
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return true;
}

}  // namespace test
