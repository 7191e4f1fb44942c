// Waits for what happens on a schedule that is not the test's.
#pragma once

#include <chrono>
#include <thread>

namespace test {

/// Tries again until `condition()` holds; false if it has not by `limit`. It blocks.
template <class Condition>
bool comes_true(Condition condition, std::chrono::milliseconds limit = std::chrono::seconds(20)) {
    const auto deadline = std::chrono::steady_clock::now() + limit;
    while (!condition()) {
        if (std::chrono::steady_clock::now() > deadline) return false;
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    return true;
}

}  // namespace test
