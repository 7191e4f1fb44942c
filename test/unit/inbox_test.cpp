// What many threads hand to one.
#include "base/inbox.hpp"

#include <doctest/doctest.h>

#include <atomic>
#include <memory>
#include <thread>
#include <vector>

namespace {

struct letter : bitdotio::inbox<letter>::item {
    letter(int from_, int number_) : from(from_), number(number_) {}
    int from;
    int number;
};

}  // namespace

TEST_CASE("what was put in comes out in its order, and the first of each time says so") {
    bitdotio::inbox<letter> box;
    CHECK(box.put(std::make_shared<letter>(0, 1)));
    CHECK_FALSE(box.put(std::make_shared<letter>(0, 2)));
    std::vector<int> numbers;
    const auto read = [&](std::shared_ptr<letter> one) { numbers.push_back(one->number); };
    box.take(read);
    CHECK(numbers == std::vector{1, 2});
    CHECK(box.put(std::make_shared<letter>(0, 3)));
    box.take(read);
    box.take(read);
    CHECK(numbers == std::vector{1, 2, 3});
}

TEST_CASE("what is left in a box is let go with it") {
    std::weak_ptr<letter> left;
    {
        bitdotio::inbox<letter> box;
        const auto one = std::make_shared<letter>(0, 1);
        left = one;
        box.put(one);
    }
    CHECK(left.expired());
}

TEST_CASE("threads that put at once lose nothing, and each keeps its order") {
    constexpr int threads = 3;
    constexpr int letters = 2000;
    bitdotio::inbox<letter> box;
    std::atomic<int> calls{0};
    std::vector<std::thread> writers;
    for (int from = 0; from < threads; ++from) {
        writers.emplace_back([&, from] {
            for (int number = 0; number < letters; ++number) {
                calls += box.put(std::make_shared<letter>(from, number));
            }
        });
    }
    std::vector<int> next(threads, 0);
    int taken = 0;
    int takes = 0;
    bool in_order = true;
    while (taken < threads * letters) {
        const int before = taken;
        box.take([&](std::shared_ptr<letter> one) {
            in_order = in_order && one->number == next[static_cast<std::size_t>(one->from)]++;
            ++taken;
        });
        takes += taken > before;
    }
    for (std::thread& one : writers) {
        one.join();
    }
    CHECK(in_order);
    CHECK(calls == takes);
}
