// The pool's policy, event by event, over ints and a clock of its own.
#include "pool/pool_state.hpp"

#include <doctest/doctest.h>

#include <limits>
#include <random>
#include <set>

namespace {

using namespace std::chrono_literals;
using bitdotio::close_reason;
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

std::vector<std::pair<state::ticket, refusal>> refused(const state::orders& orders) {
    std::vector<std::pair<state::ticket, refusal>> all;
    for (const state::refused& one : orders.refuse) {
        all.emplace_back(one.who, one.why);
    }
    return all;
}

using closes = std::vector<std::pair<int, close_reason>>;

// A pool with `count` connections, named 1, 2, …, all idle since `start`.
state with_idle(int count, state::settings settings = with(0, 10)) {
    state pool(settings);
    for (int i = 1; i <= count; ++i) {
        pool.enqueue(static_cast<state::ticket>(1000 + i), start, start + 30s, false);
        pool.decide(start, alive);
        pool.dialled(i, 0, start, 0.5);
        pool.decide(start, alive);
    }
    for (int i = 1; i <= count; ++i) {
        pool.returned(i, start);
    }
    return pool;
}

TEST_CASE("what is beyond doubt is lent at once, the last used first, and only that") {
    const state::wish anything;
    state pool = with_idle(2);
    CHECK(pool.lend_at_once(start + 1s, anything, alive) == 2);
    CHECK(pool.used() == 1);
    CHECK(pool.lend_at_once(start + 1s, anything, [](int) { return false; }) == std::nullopt);
    state::wish newer;
    newer.newer_than = start + 1ms;
    CHECK(pool.lend_at_once(start + 1s, newer, alive) == std::nullopt);
    CHECK(pool.lend_at_once(start + 10s, anything, alive) == std::nullopt);  // has rested enough
    CHECK(pool.idle() == 1);

    state reset = with_idle(1);
    reset.reset();
    CHECK(reset.lend_at_once(start + 1s, anything, alive) == std::nullopt);
    state distrusted = with_idle(1);
    distrusted.distrust_idle();
    CHECK(distrusted.lend_at_once(start + 1s, anything, alive) == std::nullopt);
    state draining = with_idle(1);
    draining.drain();
    CHECK(draining.lend_at_once(start + 1s, anything, alive) == std::nullopt);

    state::settings silent = with(0, 10);
    silent.probe_after = 1s;
    state suspect = with_idle(1, silent);
    CHECK(suspect.lend_at_once(start + 1s, anything, alive) == std::nullopt);
}

TEST_CASE("nobody is lent anything at once while others wait, or after a refusal for good") {
    state pool = with_idle(1, with(0, 2));
    CHECK(pool.lend_at_once(start, {}, alive) == 1);
    pool.enqueue(1, start, start + 30s, false);
    CHECK(pool.decide(start, alive).dials == 1);
    pool.returned(1, start);
    CHECK(pool.lend_at_once(start, {}, alive) == std::nullopt);

    state refused_once = with_idle(1, with(0, 2));
    CHECK(refused_once.lend_at_once(start, {}, alive) == 1);
    refused_once.enqueue(1, start, start + 30s, false);
    refused_once.decide(start, alive);
    refused_once.dial_failed(dial_verdict::fatal, start, 0.5);
    refused_once.decide(start, alive);
    refused_once.returned(1, start);
    CHECK(refused_once.lend_at_once(start + 1ms, {}, alive) == std::nullopt);
}

TEST_CASE("what comes back goes straight to the first waiter, if there is nothing to weigh") {
    state pool = with_idle(1, with(0, 1));
    pool.enqueue(1, start, start + 30s, false);
    CHECK(lent(pool.decide(start, alive)).size() == 1);
    CHECK(pool.hand_on(1, start) == std::nullopt);  // nobody waits
    pool.enqueue(2, start, start + 30s, false);
    pool.enqueue(3, start, start + 30s, false);
    CHECK(pool.is_settled(start));
    CHECK(pool.next(start) == start + 30s);
    CHECK(pool.hand_on(1, start + 1s) == 2);
    CHECK(pool.used() == 1);
    CHECK(pool.waiting() == 1);
    CHECK(pool.hand_on(1, start + 30s) == std::nullopt);  // the waiter is late
    pool.reset();
    CHECK(pool.hand_on(1, start + 1s) == std::nullopt);
    CHECK(pool.waiting() == 1);
}

TEST_CASE("a pool that is settled decides nothing, and one that is not is not called so") {
    state pool = with_idle(2, with(0, 3));
    CHECK(pool.is_settled(start));
    CHECK(pool.decide(start, alive).next == pool.next(start));
    CHECK_FALSE(pool.is_settled(start + 10s));  // the oldest has rested enough
    pool.enqueue(1, start, start + 30s, false);
    CHECK_FALSE(pool.is_settled(start));
    pool.decide(start, alive);
    CHECK(pool.is_settled(start));
    pool.resize(0, 1);
    CHECK_FALSE(pool.is_settled(start));
    pool.decide(start, alive);
    pool.close();
    CHECK_FALSE(pool.is_settled(start));
}

TEST_CASE("an empty pool dials for the first waiter and lends it what was dialled") {
    state pool(with(0, 10));
    CHECK_FALSE(pool.enqueue(1, start, start + 30s, false));
    const auto first = pool.decide(start, alive);
    CHECK(first.dials == 1);
    CHECK(first.lend.empty());
    pool.dialled(7, 0, start + 1s, 0.5);
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
    CHECK(orders.close == closes{{3, close_reason::dead}, {2, close_reason::dead}});
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
        pool.dialled(made, 0, start, 0.5);
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
        pool.dialled(made, 0, start, 0.5);
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
    pool.dialled(1, 0, now, 0.5);
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
    CHECK(refused(after_thirty) ==
          std::vector<std::pair<state::ticket, refusal>>{{2, refusal::waking}});
    const auto after_all = pool.decide(start + 61s, alive);
    CHECK(refused(after_all) ==
          std::vector<std::pair<state::ticket, refusal>>{{1, refusal::waking}});
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
    CHECK(orders.refuse.front().why == refusal::fatal);
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
    CHECK(refused(pool.decide(start + 1s, alive)) ==
          std::vector<std::pair<state::ticket, refusal>>{{1, refusal::busy}});
}

TEST_CASE("a wait that no connection ends is refused when its time is up") {
    state pool = with_idle(1, with(0, 1));
    pool.enqueue(1, start, start + 30s, false);
    pool.decide(start, alive);
    pool.enqueue(2, start, start + 5s, false);
    CHECK(pool.decide(start, alive).next == start + 5s);
    CHECK(refused(pool.decide(start + 5s, alive)) ==
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
    CHECK(pool.decide(start + 10s, alive).close ==
          closes{{1, close_reason::idle}, {2, close_reason::idle}});
    CHECK(pool.idle() == 1);
    CHECK(pool.decide(start + 20s, alive).next == start + 30min);  // its lifetime
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
    pool.dialled(1, 0, start, 0.5);
    CHECK(pool.decide(start, alive).dials == 1);
    pool.dialled(2, 0, start, 0.5);
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
    CHECK(pool.decide(start, alive).close == closes{{2, close_reason::pool_closed}});
    CHECK(pool.size() == 0);
}

TEST_CASE("a pool that is being closed serves those who wait, and nobody new") {
    state pool(with(0, 1));
    pool.enqueue(1, start, start + 30s, false);
    pool.enqueue(2, start, start + 30s, false);
    CHECK(pool.decide(start, alive).dials == 1);
    pool.drain();
    CHECK(pool.enqueue(3, start, start + 30s, false) == refusal::closed);
    state::wish onward;
    onward.goes_on = true;
    CHECK_FALSE(pool.enqueue(4, start, start + 30s, false, onward));
    CHECK(refused(pool.decide(start, alive)).empty());
    CHECK_FALSE(pool.is_over());
    pool.dialled(7, 0, start, 0.5);
    for (state::ticket who : {1, 2, 4}) {
        const auto now_do = pool.decide(start, alive);
        CHECK(lent(now_do) == std::vector<std::pair<state::ticket, int>>{{who, 7}});
        CHECK(now_do.close.empty());
        pool.returned(7, start);
    }
    CHECK(pool.is_over());
    CHECK(pool.decide(start, alive).close == closes{{7, close_reason::pool_closed}});
    CHECK(pool.size() == 0);
}

TEST_CASE("when its time is up, a pool that is being closed refuses those who still wait") {
    state pool(with(0, 1));
    pool.enqueue(1, start, start + 30s, false);
    pool.decide(start, alive);
    pool.drain();
    CHECK(refused(pool.decide(start, alive)).empty());
    pool.close();
    CHECK(refused(pool.decide(start, alive)) ==
          std::vector<std::pair<state::ticket, refusal>>{{1, refusal::closed}});
}

TEST_CASE("a caller's own deadline ends its wait, whatever the pool or a waking database allow") {
    state pool(with(0, 1));
    state::wish hurried;
    hurried.until = start + 500ms;
    pool.enqueue(1, start, start + 30s, true, hurried);
    pool.enqueue(2, start, start + 30s, true);
    CHECK(pool.decide(start, alive).next == start + 500ms);
    pool.dial_failed(dial_verdict::waking, start, 0.5);
    CHECK(refused(pool.decide(start + 499ms, alive)).empty());
    const auto now_do = pool.decide(start + 500ms, alive);
    REQUIRE(now_do.refuse.size() == 1);
    CHECK(now_do.refuse[0].who == 1);
    CHECK(now_do.refuse[0].why == refusal::waking);
    CHECK(now_do.refuse[0].by_caller);
    CHECK(pool.waiting() == 1);
}

TEST_CASE("a wake that may take less than the wait for a connection shortens it") {
    auto settings = with(0, 1);
    settings.wake_timeout = 2s;
    state pool(settings);
    pool.enqueue(1, start, start + 30s, true);
    pool.enqueue(2, start, start + 30s, false);
    CHECK(pool.decide(start, alive).dials == 1);
    pool.dial_failed(dial_verdict::waking, start, 0.5);
    CHECK(refused(pool.decide(start + 1'999ms, alive)).empty());
    CHECK(refused(pool.decide(start + 2s, alive)) ==
          std::vector<std::pair<state::ticket, refusal>>{{1, refusal::waking}});
    CHECK(pool.waiting() == 1);
}

TEST_CASE("who lets no database wake finds that a try has been made since the last one") {
    auto settings = with(0, 1);
    settings.wake_timeout = 0s;
    state pool(settings);
    pool.enqueue(1, start, start + 30s, true);
    CHECK(pool.decide(start, alive).dials == 1);
    pool.dial_failed(dial_verdict::waking, start, 0.5);
    const auto now_do = pool.decide(start, alive);
    CHECK(now_do.refuse.size() == 1);
    REQUIRE(now_do.next);
    CHECK(pool.decide(*now_do.next, alive).dials == 1);
}

TEST_CASE("who has seen one die is lent one that was opened later, and makes room for it") {
    state pool = with_idle(2, with(0, 2));
    state::wish wary;
    wary.newer_than = start + 1s;
    pool.enqueue(1, start + 1s, start + 30s, false, wary);
    pool.enqueue(2, start + 1s, start + 30s, false);
    const auto first = pool.decide(start + 1s, alive);
    CHECK(lent(first) == std::vector<std::pair<state::ticket, int>>{{2, 2}});
    CHECK(first.close == closes{{1, close_reason::evicted}});
    CHECK(first.dials == 1);
    pool.returned(2, start + 1s);
    CHECK(pool.decide(start + 1s, alive).lend.empty());
    pool.dialled(3, 0, start + 2s, 0.5);
    CHECK(lent(pool.decide(start + 2s, alive)) ==
          std::vector<std::pair<state::ticket, int>>{{1, 3}});
}

TEST_CASE("any number of connections at once is one") {
    auto settings = with(0, std::numeric_limits<std::size_t>::max());
    settings.max_connecting = std::numeric_limits<std::size_t>::max();
    state pool(settings);
    for (int i = 0; i < 100; ++i) {
        pool.enqueue(static_cast<state::ticket>(i + 1), start, start + 30s, false);
        REQUIRE(pool.decide(start, alive).dials == 1);
        pool.dialled(i, 0, start, 0.5);
        REQUIRE(pool.decide(start, alive).lend.size() == 1);
    }
}

TEST_CASE("connections end at their lifetime, spread by chance, idle ones by a timer") {
    auto settings = with(0, 10);
    settings.idle_timeout = 10min;
    settings.max_lifetime = 100s;
    settings.lifetime_jitter = 0.1;
    state pool(settings);
    const double chances[] = {0.0, 0.5, 0.999};
    for (int made = 1; made <= 3; ++made) {
        pool.enqueue(static_cast<state::ticket>(made), start, start + 30s, false);
        pool.decide(start, alive);
        pool.dialled(made, 0, start, chances[made - 1]);
        pool.decide(start, alive);
    }
    pool.returned(1, start);
    pool.returned(2, start);
    CHECK(pool.decide(start + 1s, alive).next == start + 90s);
    CHECK(pool.decide(start + 90s, alive).close == closes{{1, close_reason::aged}});
    CHECK(pool.decide(start + 90s, alive).next == start + 100s);
    CHECK(pool.decide(start + 100s, alive).close == closes{{2, close_reason::aged}});
    // The third is lent: it ends when it is returned, and is not lent again.
    pool.enqueue(4, start + 110s, start + 140s, false);
    CHECK(pool.decide(start + 110s, alive).close.empty());
    pool.returned(3, start + 111s);
    const auto orders = pool.decide(start + 111s, alive);
    CHECK(orders.close == closes{{3, close_reason::aged}});
    CHECK(orders.lend.empty());
}

TEST_CASE("what was not heard of for long is probed before it is lent") {
    auto settings = with(0, 10);
    settings.probe_after = 5s;
    state pool = with_idle(2, settings);
    pool.enqueue(1, start + 5s, start + 30s, false);
    const auto asked = pool.decide(start + 5s, alive);
    CHECK(asked.lend.empty());
    CHECK(asked.probe == std::vector<int>{2});
    CHECK(asked.dials == 0);
    pool.probed(2, true, start + 5s);
    CHECK(lent(pool.decide(start + 5s, alive)) ==
          std::vector<std::pair<state::ticket, int>>{{1, 2}});
    // Its borrower used it: it is as good as new.
    pool.returned(2, start + 6s);
    pool.enqueue(2, start + 7s, start + 30s, false);
    CHECK(pool.decide(start + 7s, alive).probe.empty());
}

TEST_CASE("a probe that is not answered makes all suspect that rested, and a dial is begun") {
    auto settings = with(0, 10);
    settings.probe_after = 5s;
    settings.idle_timeout = 60s;
    state pool = with_idle(3, settings);
    pool.enqueue(1, start + 4s, start + 60s, false);
    CHECK(pool.decide(start + 4s, alive).lend.size() == 1);  // 3
    pool.returned(3, start + 4s);                            // rested for less than the others
    pool.enqueue(2, start + 5s, start + 60s, false);
    pool.enqueue(3, start + 5s, start + 60s, false);
    const auto first = pool.decide(start + 5s, alive);
    CHECK(first.lend.size() == 1);  // 3 again
    CHECK(first.probe == std::vector<int>{2});
    pool.returned(3, start + 5s);
    pool.enqueue(4, start + 5s, start + 60s, false);
    pool.probed(2, false, start + 6s);
    const auto second = pool.decide(start + 6s, alive);
    CHECK(second.lend.empty());
    CHECK(second.probe == std::vector<int>{3, 1});  // not heard of since
    CHECK(second.dials == 2);                       // they may be as silent
}

TEST_CASE("someone who waits for a probe takes what becomes free before") {
    auto settings = with(0, 2);
    settings.probe_after = 5s;
    state pool = with_idle(2, settings);
    pool.enqueue(1, start + 1s, start + 30s, false);
    pool.decide(start + 1s, alive);  // lends 2
    pool.enqueue(2, start + 6s, start + 30s, false);
    CHECK(pool.decide(start + 6s, alive).probe == std::vector<int>{1});
    pool.returned(2, start + 6s);
    CHECK(lent(pool.decide(start + 6s, alive)) ==
          std::vector<std::pair<state::ticket, int>>{{2, 2}});
    pool.probed(1, true, start + 6s);
    CHECK(pool.decide(start + 6s, alive).lend.empty());
    CHECK(pool.idle() == 1);
}

TEST_CASE("a probe does not put off the idle timeout") {
    auto settings = with(0, 2);
    settings.probe_after = 5s;
    state pool = with_idle(1, settings);
    pool.enqueue(1, start + 6s, start + 30s, false);
    pool.decide(start + 6s, alive);
    pool.forget(1);
    pool.probed(1, true, start + 6s);
    CHECK(pool.decide(start + 6s, alive).next == start + 10s);
    CHECK(pool.decide(start + 10s, alive).close == closes{{1, close_reason::idle}});
}

TEST_CASE("two ends by the server within a moment evict all that is idle, two apart do not") {
    for (const auto apart : {100ms, 101ms}) {
        state pool = with_idle(4);
        CHECK(pool.died(1));
        pool.ended_by_server(start + 1s);
        CHECK(pool.decide(start + 1s, alive).close.empty());
        CHECK(pool.died(2));
        pool.ended_by_server(start + 1s + apart);
        const auto orders = pool.decide(start + 1s + apart, alive);
        CHECK(orders.close.size() == (apart == 100ms ? 2 : 0));
        CHECK(pool.idle() == (apart == 100ms ? 0 : 2));
    }
}

TEST_CASE("after a reset nothing is lent that was open or being opened before") {
    state pool = with_idle(2);
    pool.enqueue(1, start, start + 30s, false);
    pool.decide(start, alive);  // lends 2
    pool.enqueue(2, start, start + 30s, false);
    pool.enqueue(3, start, start + 30s, false);
    const auto before = pool.generation();
    CHECK(pool.decide(start, alive).dials == 1);
    pool.reset();
    CHECK(pool.generation() != before);
    pool.decide(start, alive);
    pool.dialled(7, before, start, 0.5);
    const auto orders = pool.decide(start, alive);
    CHECK(orders.close == closes{{7, close_reason::pool_reset}});
    CHECK(orders.lend.empty());
    CHECK(orders.dials == 1);
    pool.returned(2, start);
    CHECK(pool.decide(start, alive).close == closes{{2, close_reason::pool_reset}});
}

TEST_CASE("a smaller maximum closes what is idle at once and what is lent when it comes back") {
    state pool = with_idle(4);
    pool.enqueue(1, start, start + 30s, false);
    pool.enqueue(2, start, start + 30s, false);
    pool.decide(start, alive);  // lends 4 and 3
    pool.resize(0, 1);
    CHECK(pool.decide(start, alive).close ==
          closes{{1, close_reason::pool_shrunk}, {2, close_reason::pool_shrunk}});
    pool.returned(4, start);
    CHECK(pool.decide(start, alive).close == closes{{4, close_reason::pool_shrunk}});
    pool.returned(3, start);
    CHECK(pool.decide(start, alive).close.empty());
    CHECK(pool.size() == 1);
}

// A pool whose dials fail with `verdict` as often as they are allowed to, until `end`.
state::time_point fail_until(state& pool, state::time_point now, state::time_point end,
                             dial_verdict verdict) {
    while (true) {
        const auto orders = pool.decide(now, alive);
        if (orders.dials > 0) {
            pool.dial_failed(verdict, now, 0.5);
        } else if (!orders.next || *orders.next > end) {
            return end;
        } else {
            now = *orders.next;
        }
    }
}

TEST_CASE("what fails for a minute is broken: callers are refused at once, and it is tried on") {
    state pool(with(0, 10));
    pool.enqueue(1, start, start + 30s, true);
    auto now = fail_until(pool, start, start + 59s, dial_verdict::waking);
    CHECK_FALSE(pool.is_broken(now));
    CHECK_FALSE(pool.enqueue(2, now, now + 1s, false));
    now = fail_until(pool, now, start + 61s, dial_verdict::waking);
    CHECK(pool.is_broken(now));
    CHECK(pool.enqueue(3, now, now + 30s, true) == refusal::broken);
    // A refused call counts as asking: the next probe comes at its time, and only one.
    now = pool.next_dial(now).value_or(now);
    CHECK(pool.decide(now, alive).dials == 1);
    CHECK(pool.decide(now, alive).dials == 0);
    pool.dialled(7, 0, now, 0.5);
    pool.decide(now, alive);
    CHECK_FALSE(pool.is_broken(now));
    CHECK_FALSE(pool.enqueue(4, now, now + 30s, true));
    CHECK(pool.decide(now, alive).lend.size() == 1);
}

TEST_CASE("a broken database that nobody asks for is left alone, and then tried anew") {
    state pool(with(0, 10));
    pool.enqueue(1, start, start + 30s, true);
    fail_until(pool, start, start + 61s, dial_verdict::waking);
    CHECK(pool.waiting() == 0);
    const auto orders = pool.decide(start + 65s, alive);
    CHECK(orders.dials == 0);
    CHECK_FALSE(orders.next);
    // After a long time what was known is too old to refuse a caller.
    CHECK_FALSE(pool.enqueue(2, start + 10min, start + 11min, true));
    CHECK(pool.decide(start + 10min, alive).dials == 1);
}

TEST_CASE("a pool with a live connection is not broken, however dialling fails") {
    state pool = with_idle(1);
    pool.enqueue(1, start, start + 10min, false);
    pool.enqueue(2, start, start + 10min, false);
    const auto now = fail_until(pool, start, start + 70s, dial_verdict::busy);
    CHECK(pool.used() == 1);
    CHECK_FALSE(pool.is_broken(now));
    CHECK_FALSE(pool.enqueue(3, now, now + 1s, false));
}

TEST_CASE("who is refused learns how long it waited and which place it had") {
    state pool = with_idle(1, with(0, 1));
    pool.enqueue(1, start, start + 30s, false);
    pool.decide(start, alive);
    pool.enqueue(2, start, start + 30s, false);
    pool.enqueue(3, start + 1s, start + 5s, false);
    const auto orders = pool.decide(start + 5s, alive);
    REQUIRE(orders.refuse.size() == 1);
    CHECK(orders.refuse.front().who == 3);
    CHECK(orders.refuse.front().waited == 4s);
    CHECK(orders.refuse.front().place == 2);
}

}  // namespace
