// The pool's policy, event by event, over ints and a clock of its own.
#include "pool_state.hpp"

#include <doctest/doctest.h>

#include <random>
#include <set>

namespace {

using namespace std::chrono_literals;
using bitdotio::dial_verdict;
using bitdotio::refusal;
using state = bitdotio::pool_state<int>;
using tickets = std::vector<state::ticket>;

constexpr state::time_point start{};
const auto alive = [](int) { return true; };

state::settings with(std::size_t min_size, std::size_t max_size) {
    state::settings settings;
    settings.min_size = min_size;
    settings.max_size = max_size;
    settings.idle_timeout = 10s;
    settings.wake_timeout = 60s;
    return settings;
}

std::vector<std::pair<state::ticket, int>> lent(const state::orders& orders) {
    return orders.lend;
}

// A pool with `count` connections, named 1, 2, …, all idle since `start`.
state with_idle(int count, state::settings settings = with(0, 10)) {
    state pool(settings);
    for (int i = 1; i <= count; ++i) {
        pool.enqueue(static_cast<state::ticket>(1000 + i), start, start + 30s, false);
        pool.decide(start, alive);
        pool.dialled(i, start);
        pool.decide(start, alive);
    }
    for (int i = 1; i <= count; ++i) {
        pool.returned(i, start);
    }
    return pool;
}

TEST_CASE("an empty pool dials for the first waiter and lends it what was dialled") {
    state pool(with(0, 10));
    CHECK_FALSE(pool.enqueue(1, start, start + 30s, false));
    const auto first = pool.decide(start, alive);
    CHECK(first.dials == 1);
    CHECK(first.lend.empty());
    pool.dialled(7, start + 1s);
    const auto second = pool.decide(start + 1s, alive);
    CHECK(lent(second) == std::vector<std::pair<state::ticket, int>>{{1, 7}});
    CHECK(pool.used() == 1);
}

TEST_CASE("waiters are served in the order they came by whatever comes back first") {
    state pool = with_idle(1, with(0, 1));
    pool.enqueue(1, start, start + 30s, false);
    pool.decide(start, alive);
    for (state::ticket who : {2, 3, 4}) {
        pool.enqueue(who, start, start + 30s, false);
    }
    CHECK(pool.decide(start, alive).dials == 0);
    for (state::ticket who : {2, 3, 4}) {
        pool.returned(1, start);
        CHECK(lent(pool.decide(start, alive)) ==
              std::vector<std::pair<state::ticket, int>>{{who, 1}});
    }
}

TEST_CASE("the most recently used idle connection is lent first") {
    state pool = with_idle(3);
    pool.enqueue(1, start, start + 30s, false);
    CHECK(lent(pool.decide(start, alive)).front().second == 3);
}

TEST_CASE("a cancelled wait gives its place to the next") {
    state pool = with_idle(1, with(0, 1));
    pool.enqueue(1, start, start + 30s, false);
    pool.decide(start, alive);
    pool.enqueue(2, start, start + 30s, false);
    pool.enqueue(3, start, start + 30s, false);
    pool.decide(start, alive);
    CHECK(pool.forget(2));
    CHECK_FALSE(pool.forget(2));
    pool.returned(1, start);
    CHECK(lent(pool.decide(start, alive)).front().first == 3);
}

TEST_CASE("dead idle connections are closed and replaced at the look before lending") {
    state pool = with_idle(3);
    pool.enqueue(1, start, start + 30s, false);
    const auto orders = pool.decide(start, [](int what) { return what == 1; });
    CHECK(orders.close == std::vector<int>{3, 2});
    CHECK(lent(orders) == std::vector<std::pair<state::ticket, int>>{{1, 1}});
}

TEST_CASE("an idle connection that dies is forgotten, one that is lent is not touched") {
    state pool = with_idle(2);
    pool.enqueue(1, start, start + 30s, false);
    pool.decide(start, alive);  // lends 2
    CHECK(pool.died(1));
    CHECK_FALSE(pool.died(2));
    CHECK(pool.size() == 1);
}

TEST_CASE("the pool never grows above its maximum") {
    state pool(with(0, 3));
    std::size_t dials = 0;
    for (state::ticket who = 1; who <= 20; ++who) {
        pool.enqueue(who, start, start + 30s, false);
        dials += pool.decide(start, alive).dials;
    }
    for (int made = 1; made <= 3; ++made) {
        pool.dialled(made, start);
        dials += pool.decide(start, alive).dials;
    }
    CHECK(dials == 3);
    CHECK(pool.used() == 3);
    CHECK(pool.waiting() == 17);
}

TEST_CASE("growth begins with one dial and doubles with each success, up to four at once") {
    state pool(with(0, 100));
    for (state::ticket who = 1; who <= 50; ++who) {
        pool.enqueue(who, start, start + 30s, false);
    }
    CHECK(pool.decide(start, alive).dials == 1);
    std::vector<std::size_t> at_once;
    for (int made = 1; made <= 6; ++made) {
        pool.dialled(made, start);
        pool.decide(start, alive);
        at_once.push_back(pool.dialling());
    }
    CHECK(at_once == std::vector<std::size_t>{2, 4, 4, 4, 4, 4});
}

TEST_CASE("a sleeping database is probed by one dial at a time, with growing pauses") {
    state pool(with(0, 100));
    for (state::ticket who = 1; who <= 50; ++who) {
        pool.enqueue(who, start, start + 30s, true);
    }
    auto now = start;
    CHECK(pool.decide(now, alive).dials == 1);
    std::vector<std::chrono::milliseconds> pauses;
    for (int probe = 0; probe < 6; ++probe) {
        pool.dial_failed(dial_verdict::waking, now, 0.5);
        const auto orders = pool.decide(now, alive);
        CHECK(orders.dials == 0);
        REQUIRE(orders.next);
        pauses.push_back(std::chrono::duration_cast<std::chrono::milliseconds>(*orders.next - now));
        now = *orders.next;
        CHECK(pool.decide(now, alive).dials == 1);
    }
    CHECK(pauses ==
          std::vector<std::chrono::milliseconds>{50ms, 100ms, 200ms, 400ms, 500ms, 500ms});
    pool.dialled(1, now);
    CHECK(pool.take_woke());
    CHECK_FALSE(pool.take_woke());
    CHECK(lent(pool.decide(now, alive)).front().first == 1);
}

TEST_CASE("waking extends the deadline of callers that set none, and of no others") {
    state pool(with(0, 10));
    pool.enqueue(1, start, start + 30s, true);
    pool.enqueue(2, start, start + 30s, false);
    pool.decide(start, alive);
    pool.dial_failed(dial_verdict::waking, start + 1s, 0.5);
    const auto after_thirty = pool.decide(start + 30s, alive);
    CHECK(after_thirty.refuse ==
          std::vector<std::pair<state::ticket, refusal>>{{2, refusal::waking}});
    const auto after_all = pool.decide(start + 61s, alive);
    CHECK(after_all.refuse == std::vector<std::pair<state::ticket, refusal>>{{1, refusal::waking}});
}

TEST_CASE("a fatal failure goes to all waiters at once and to those that follow at its heels") {
    state pool(with(0, 10));
    for (state::ticket who = 1; who <= 200; ++who) {
        pool.enqueue(who, start, start + 30s, true);
    }
    CHECK(pool.decide(start, alive).dials == 1);
    pool.dial_failed(dial_verdict::fatal, start, 0.5);
    const auto orders = pool.decide(start, alive);
    CHECK(orders.refuse.size() == 200);
    CHECK(orders.refuse.front().second == refusal::fatal);
    CHECK(orders.dials == 0);
    CHECK(pool.enqueue(201, start + 100ms, start + 30s, true) == refusal::fatal);
    CHECK_FALSE(pool.enqueue(202, start + 300ms, start + 30s, true));
    CHECK(pool.decide(start + 300ms, alive).dials == 1);
}

TEST_CASE("a server without connections left is tried again later than a sleeping one") {
    state pool(with(0, 10));
    pool.enqueue(1, start, start + 1s, true);
    pool.decide(start, alive);
    pool.dial_failed(dial_verdict::busy, start, 0.5);
    const auto orders = pool.decide(start, alive);
    CHECK(orders.next == start + 200ms);
    CHECK(pool.decide(start + 1s, alive).refuse ==
          std::vector<std::pair<state::ticket, refusal>>{{1, refusal::busy}});
}

TEST_CASE("a wait that no connection ends is refused when its time is up") {
    state pool = with_idle(1, with(0, 1));
    pool.enqueue(1, start, start + 30s, false);
    pool.decide(start, alive);
    pool.enqueue(2, start, start + 5s, false);
    CHECK(pool.decide(start, alive).next == start + 5s);
    CHECK(pool.decide(start + 5s, alive).refuse ==
          std::vector<std::pair<state::ticket, refusal>>{{2, refusal::timed_out}});
}

TEST_CASE("a full queue refuses at once") {
    auto settings = with(0, 1);
    settings.max_waiters = 2;
    state pool(settings);
    CHECK_FALSE(pool.enqueue(1, start, start + 30s, false));
    CHECK_FALSE(pool.enqueue(2, start, start + 30s, false));
    CHECK(pool.enqueue(3, start, start + 30s, false) == refusal::queue_full);
}

TEST_CASE("idle connections close after the idle timeout, the oldest first, down to the minimum") {
    state pool = with_idle(3, with(1, 10));
    CHECK(pool.decide(start + 9s, alive).close.empty());
    CHECK(pool.decide(start + 9s, alive).next == start + 10s);
    CHECK(pool.decide(start + 10s, alive).close == std::vector<int>{1, 2});
    CHECK(pool.idle() == 1);
    CHECK_FALSE(pool.decide(start + 20s, alive).next);
}

TEST_CASE("without a minimum an idle pool ends with no connection and nothing to wait for") {
    state pool = with_idle(2);
    CHECK(pool.decide(start + 10s, alive).close.size() == 2);
    const auto orders = pool.decide(start + 11s, alive);
    CHECK(orders.dials == 0);
    CHECK_FALSE(orders.next);
}

TEST_CASE("a minimum is dialled without waiters and restored after a death") {
    state pool(with(2, 10));
    CHECK(pool.decide(start, alive).dials == 1);
    pool.dialled(1, start);
    CHECK(pool.decide(start, alive).dials == 1);
    pool.dialled(2, start);
    CHECK(pool.decide(start, alive).dials == 0);
    CHECK(pool.died(1));
    CHECK(pool.decide(start, alive).dials == 1);
}

TEST_CASE("a closed pool refuses everyone and closes what is idle and what comes back") {
    state pool = with_idle(2);
    pool.enqueue(1, start, start + 30s, false);
    pool.decide(start, alive);
    pool.close();
    CHECK(pool.enqueue(2, start, start + 30s, false) == refusal::closed);
    CHECK(pool.decide(start, alive).close.size() == 1);
    pool.returned(2, start);
    CHECK(pool.decide(start, alive).close == std::vector<int>{2});
    CHECK(pool.size() == 0);
}

// Random schedules; the seed of a failing one is in its message.
TEST_CASE("no schedule of events loses or doubles a connection, or breaks the order of waiters") {
    for (unsigned seed = 1; seed <= 3000; ++seed) {
        INFO("seed ", seed);
        std::mt19937 random(seed);
        const auto below = [&](std::size_t limit) { return random() % limit; };
        const std::size_t most = 1 + below(4);
        state pool(with(below(most), most));
        auto now = start;
        state::ticket next_ticket = 0;
        int next_connection = 0;
        std::size_t dialling = 0;
        std::set<int> open;
        std::vector<int> lent_out;
        std::set<state::ticket> waiting;
        const auto obey = [&](const state::orders& orders) {
            for (const auto& [who, what] : orders.lend) {
                REQUIRE(waiting.count(who) == 1);
                REQUIRE(who == *waiting.begin());  // first come, first served
                waiting.erase(who);
                REQUIRE(open.count(what) == 1);
                REQUIRE(std::find(lent_out.begin(), lent_out.end(), what) == lent_out.end());
                lent_out.push_back(what);
            }
            for (const auto& [who, why] : orders.refuse) {
                REQUIRE(waiting.erase(who) == 1);
            }
            for (const int what : orders.close) {
                REQUIRE(open.erase(what) == 1);
            }
            dialling += orders.dials;
            REQUIRE(dialling == pool.dialling());
            REQUIRE(open.size() + dialling <= most);
            REQUIRE(pool.used() == lent_out.size());
            REQUIRE(pool.waiting() == waiting.size());
            REQUIRE(pool.idle() == open.size() - lent_out.size());
        };
        for (int step = 0; step < 60; ++step) {
            now += std::chrono::milliseconds(below(2000));
            switch (below(7)) {
                case 0:
                case 1:
                    if (!pool.enqueue(++next_ticket, now, now + 20s, below(2) == 0)) {
                        waiting.insert(next_ticket);
                    }
                    break;
                case 2:
                    if (!waiting.empty() && pool.forget(*waiting.rbegin())) {
                        waiting.erase(*waiting.rbegin());
                    }
                    break;
                case 3:
                    if (!lent_out.empty()) {
                        const int what = lent_out.back();
                        lent_out.pop_back();
                        if (below(4) == 0) {
                            open.erase(what);
                            pool.lost();
                        } else {
                            pool.returned(what, now);
                        }
                    }
                    break;
                case 4:
                    if (dialling > 0) {
                        --dialling;
                        open.insert(++next_connection);
                        pool.dialled(next_connection, now);
                    }
                    break;
                case 5:
                    if (dialling > 0) {
                        --dialling;
                        pool.dial_failed(static_cast<dial_verdict>(below(3)), now, 0.25);
                    }
                    break;
                case 6:
                    if (!open.empty() && pool.died(*open.begin())) {
                        open.erase(open.begin());
                    }
                    break;
            }
            obey(pool.decide(now, [&](int) { return below(8) != 0; }));
        }
        // Nothing is stuck at the end: with dials that succeed, everyone is served.
        for (int round = 0; round < 200 && !waiting.empty(); ++round) {
            now += 500ms;
            for (; dialling > 0; --dialling) {
                open.insert(++next_connection);
                pool.dialled(next_connection, now);
            }
            for (const int what : std::exchange(lent_out, {})) {
                pool.returned(what, now);
            }
            obey(pool.decide(now, alive));
        }
        REQUIRE(waiting.empty());
    }
}

}  // namespace
