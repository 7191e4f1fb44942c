// Which server a connection accepts, by its role, and the random order of hosts.
#include "postgres/host_choice.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <random>
#include <vector>

namespace {

using namespace bitdotio;
using want = session_attributes;
using is = suitability;

server_role role(std::optional<bool> standby, std::optional<bool> read_only) {
    server_role result;
    result.standby = standby;
    result.read_only = read_only;
    return result;
}

TEST_CASE("a server's role decides whether it will do") {
    const server_role writer = role(false, false);
    const server_role reader = role(false, true);
    const server_role standby = role(true, false);
    const server_role silent;
    struct row {
        want wanted;
        is writer, reader, standby, silent;
    };
    const row table[] = {
        {want::any, is::suits, is::suits, is::suits, is::suits},
        {want::read_write, is::suits, is::unsuitable, is::unsuitable, is::unknown},
        {want::read_only, is::unsuitable, is::suits, is::suits, is::unknown},
        {want::primary, is::suits, is::suits, is::unsuitable, is::unknown},
        {want::standby, is::unsuitable, is::unsuitable, is::suits, is::unknown},
        {want::prefer_standby, is::second_best, is::second_best, is::suits, is::unknown},
    };
    for (const row& r : table) {
        CAPTURE(describe(r.wanted));
        CHECK(judge_role(r.wanted, writer) == r.writer);
        CHECK(judge_role(r.wanted, reader) == r.reader);
        CHECK(judge_role(r.wanted, standby) == r.standby);
        CHECK(judge_role(r.wanted, silent) == r.silent);
    }
}

TEST_CASE("half of the role is enough where it decides, and is not where it does not") {
    CHECK(judge_role(want::read_write, role(true, std::nullopt)) == is::unsuitable);
    CHECK(judge_role(want::read_write, role(std::nullopt, true)) == is::unsuitable);
    CHECK(judge_role(want::read_write, role(false, std::nullopt)) == is::unknown);
    CHECK(judge_role(want::read_only, role(std::nullopt, false)) == is::unknown);
    CHECK(judge_role(want::primary, role(std::nullopt, true)) == is::unknown);
    CHECK(judge_role(want::standby, role(true, std::nullopt)) == is::suits);
}

TEST_CASE("chance puts a list into every order alike") {
    std::minstd_rand engine(1);
    std::map<std::vector<int>, int> seen;
    for (int i = 0; i < 6'000; ++i) {
        std::vector<int> list{1, 2, 3};
        shuffle(list, [&] { return std::uniform_real_distribution<double>(0, 1)(engine); });
        ++seen[list];
    }
    CHECK(seen.size() == 6);
    for (const auto& [order, count] : seen) {
        CHECK(count > 850);
        CHECK(count < 1'150);
    }
}

TEST_CASE("chance at its bounds loses nothing") {
    for (const double extreme : {0.0, 0.999'999'999'999'999'9, 1.0}) {
        std::vector<int> list{1, 2, 3, 4};
        shuffle(list, [&] { return extreme; });
        std::sort(list.begin(), list.end());
        CHECK(list == std::vector<int>{1, 2, 3, 4});
    }
    std::vector<int> none;
    shuffle(none, [] { return 0.5; });
    CHECK(none.empty());
}

}  // namespace
