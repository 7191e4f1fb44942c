// Which of many deadlines is the next.
#include "pool/statement_deadlines.hpp"

#include <doctest/doctest.h>

#include <memory>
#include <vector>

using bitdotio::statement_deadlines;
using namespace std::chrono_literals;

namespace {

struct waiting {
    bool over = false;
    bool is_over() const { return over; }
};
using deadlines = statement_deadlines<std::shared_ptr<waiting>>;

const deadlines::time_point start(1h);

}  // namespace

TEST_CASE("the next deadline is that of one that is not over") {
    deadlines all;
    CHECK_FALSE(all.next());
    const auto first = std::make_shared<waiting>();
    const auto second = std::make_shared<waiting>();
    all.add(start + 2s, second);
    all.add(start + 1s, first);
    CHECK(all.next() == start + 1s);
    first->over = true;
    CHECK(all.next() == start + 2s);
    second->over = true;
    CHECK_FALSE(all.next());
}

TEST_CASE("all whose time has come are told, in the order of their deadlines") {
    deadlines all;
    std::vector<std::shared_ptr<waiting>> those;
    for (int i = 0; i < 5; ++i) {
        those.push_back(std::make_shared<waiting>());
        all.add(start + std::chrono::seconds(5 - i), those.back());
    }
    std::vector<std::shared_ptr<waiting>> told;
    const auto tell = [&](const std::shared_ptr<waiting>& one) { told.push_back(one); };
    all.take_due(start + 3s, tell);
    CHECK(told == std::vector{those[4], those[3], those[2]});
    CHECK(all.next() == start + 4s);
}

TEST_CASE("deadlines of those that are over do not pile up") {
    deadlines all;
    for (int i = 0; i < 10'000; ++i) {
        const auto one = std::make_shared<waiting>();
        all.add(start + 1h + std::chrono::seconds(10'000 - i), one);
        one->over = true;
    }
    CHECK(all.size() <= 128);
}
