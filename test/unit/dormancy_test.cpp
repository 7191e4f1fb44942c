// When an instance starts and stops, event by event.
#include <doctest/doctest.h>

#include "server/instances/dormancy.hpp"

#include <chrono>
#include <cstddef>

namespace {

using bitdotio::dormancy;
using state = dormancy::state;
using stop = dormancy::stop;
using time_point = dormancy::time_point;
using std::chrono::milliseconds;
using std::chrono::seconds;

const time_point start{seconds(1'000)};

dormancy::settings options() {
    dormancy::settings result;
    result.sleep_after = seconds(60);
    return result;
}

// An awake instance with so many connected.
dormancy awake(std::size_t connected, time_point now = start) {
    dormancy rule(options());
    for (std::size_t i = 0; i < connected; ++i) {
        rule.wait();
    }
    if (connected == 0) {
        rule.wait();
    }
    rule.decide(now);
    rule.started(now);
    rule.decide(now);
    if (connected == 0) {
        rule.connection_closed(rule.life(), now);
        rule.decide(now);
    }
    REQUIRE(rule.current() == state::awake);
    REQUIRE(rule.connected() == connected);
    return rule;
}

// What is decided at `now`, when it is put right at once where that is asked for.
dormancy::orders decide_righted(dormancy& rule, time_point now, bool good = true) {
    const auto orders = rule.decide(now);
    if (!orders.put_right) return orders;
    CHECK(orders.stop == stop::no);
    rule.righted(rule.life(), good);
    return rule.decide(now);
}

}  // namespace

TEST_CASE("an instance nobody wants stays asleep") {
    dormancy rule(options());
    const auto orders = rule.decide(start);
    CHECK_FALSE(orders.start);
    CHECK_FALSE(orders.next);
    CHECK(rule.current() == state::asleep);
}

TEST_CASE("the first who waits starts it, the others wait with him") {
    dormancy rule(options());
    rule.wait();
    CHECK(rule.decide(start).start);
    rule.wait();
    CHECK_FALSE(rule.decide(start).start);
    CHECK(rule.current() == state::waking);

    rule.started(start);
    const auto orders = rule.decide(start);
    CHECK(orders.admit);
    CHECK(rule.waiting() == 0);
    CHECK(rule.connected() == 2);
}

TEST_CASE("who comes while it is awake is admitted at once") {
    dormancy rule = awake(1);
    rule.wait();
    CHECK(rule.decide(start).admit);
    CHECK(rule.connected() == 2);
}

TEST_CASE("it is not stopped while anyone is connected") {
    dormancy rule = awake(2);
    rule.connection_closed(rule.life(), start);
    const auto orders = rule.decide(start + std::chrono::hours(24));
    CHECK(orders.stop == stop::no);
    CHECK_FALSE(orders.next);
}

TEST_CASE("it is stopped when nobody has been connected for the time set, not before") {
    dormancy rule = awake(1);
    const time_point left = start + seconds(10);
    rule.connection_closed(rule.life(), left);
    auto orders = rule.decide(left);
    CHECK(orders.stop == stop::no);
    REQUIRE(orders.next);
    CHECK(*orders.next == left + seconds(60));

    CHECK(decide_righted(rule, left + seconds(60) - milliseconds(1)).stop == stop::no);
    CHECK(decide_righted(rule, left + seconds(60)).stop == stop::fast);
    CHECK(rule.current() == state::falling_asleep);
}

TEST_CASE("a new connection puts off the sleep by the whole time") {
    dormancy rule = awake(0);
    rule.wait();
    rule.decide(start + seconds(59));
    rule.connection_closed(rule.life(), start + seconds(59));
    CHECK(decide_righted(rule, start + seconds(60)).stop == stop::no);
    CHECK(decide_righted(rule, start + seconds(119)).stop == stop::fast);
}

TEST_CASE("who comes at the instant of falling asleep waits for the next life") {
    dormancy rule = awake(0);
    REQUIRE(decide_righted(rule, start + seconds(60)).stop == stop::fast);
    const auto life = rule.life();
    rule.wait();
    auto orders = rule.decide(start + seconds(60));
    CHECK_FALSE(orders.start);
    CHECK_FALSE(orders.admit);

    rule.stopped(start + seconds(61));
    CHECK(rule.decide(start + seconds(61)).start);
    CHECK(rule.life() == life + 1);
}

TEST_CASE("a stop that takes too long is asked for harder each time") {
    dormancy rule = awake(0);
    time_point now = start + seconds(60);
    auto orders = decide_righted(rule, now);
    CHECK(orders.stop == stop::fast);
    CHECK(rule.decide(now).stop == stop::no);  // asked once is enough
    for (const stop next : {stop::immediate, stop::kill, stop::kill}) {
        REQUIRE(orders.next);
        now = *orders.next;
        CHECK(rule.decide(now - milliseconds(1)).stop == stop::no);
        orders = rule.decide(now);
        CHECK(orders.stop == next);
    }
}

TEST_CASE("told to sleep, it stops although someone is connected, and forgets him") {
    dormancy rule = awake(1);
    const auto life = rule.life();
    rule.sleep_now();
    CHECK(rule.decide(start).stop == stop::fast);
    rule.stopped(start);
    CHECK_FALSE(rule.decide(start).start);

    rule.wait();
    rule.decide(start);
    rule.started(start);
    rule.decide(start);
    rule.connection_closed(life, start);  // the session of the earlier life ends late
    CHECK(rule.connected() == 1);
    CHECK_FALSE(rule.decide(start).next);
}

TEST_CASE("told to sleep while waking, it stops at once, and serves who waits in the next life") {
    dormancy rule(options());
    rule.wait();
    rule.decide(start);
    rule.sleep_now();
    auto orders = rule.decide(start);
    CHECK(orders.stop == stop::fast);
    CHECK_FALSE(orders.admit);
    // A hanging start is given up sooner than an instance with sessions to end.
    REQUIRE(orders.next);
    CHECK(*orders.next == start + options().starting_patience);
    CHECK(rule.decide(*orders.next).stop == stop::immediate);
    CHECK(rule.decide(*orders.next + options().starting_patience).stop == stop::kill);
    rule.stopped(start + seconds(5));
    CHECK(rule.decide(start + seconds(5)).start);
    CHECK_FALSE(rule.is_broken(start + seconds(5)));
}

TEST_CASE("told to sleep at the instant it has started, it still stops") {
    dormancy rule(options());
    rule.wait();
    rule.decide(start);
    rule.sleep_now();
    rule.decide(start);
    rule.started(start);
    const auto orders = rule.decide(start);
    CHECK_FALSE(orders.admit);
    REQUIRE(orders.next);
    CHECK(rule.decide(*orders.next).stop == stop::immediate);
}

TEST_CASE("told to sleep while asleep, it still wakes for the next") {
    dormancy rule(options());
    rule.sleep_now();
    rule.wait();
    CHECK(rule.decide(start).start);
    rule.started(start);
    CHECK(rule.decide(start).admit);
}

TEST_CASE("who gives up while waiting leaves an instance that falls asleep again") {
    dormancy rule(options());
    rule.wait();
    rule.decide(start);
    rule.forget();
    rule.decide(start);
    rule.started(start);
    const auto orders = rule.decide(start);
    CHECK_FALSE(orders.admit);
    REQUIRE(orders.next);
    CHECK(decide_righted(rule, *orders.next).stop == stop::fast);
}

TEST_CASE("before it falls asleep it is put right, once, and only then is it stopped") {
    dormancy rule = awake(0);
    const time_point now = start + seconds(60);
    CHECK(rule.decide(now).put_right);
    auto orders = rule.decide(now + seconds(1));
    CHECK_FALSE(orders.put_right);
    CHECK(orders.stop == stop::no);
    CHECK_FALSE(orders.next);  // `righted` comes
    rule.righted(rule.life(), true);
    CHECK(rule.decide(now + seconds(1)).stop == stop::fast);
    CHECK_FALSE(rule.was_left_right());
    rule.stopped(now + seconds(2));
    CHECK(rule.was_left_right());
}

TEST_CASE("it was left right only if it was put right, nobody came since, and it ended in order") {
    const time_point now = start + seconds(60);
    const auto ends = [&](dormancy& rule, time_point at) {
        rule.stopped(at);
        return rule.was_left_right();
    };
    SUBCASE("it could not be put right") {
        dormancy rule = awake(0);
        CHECK(decide_righted(rule, now, false).stop == stop::fast);
        CHECK_FALSE(ends(rule, now));
    }
    SUBCASE("somebody came and went while it was put right") {
        dormancy rule = awake(0);
        REQUIRE(rule.decide(now).put_right);
        rule.wait();
        CHECK(rule.decide(now).admit);
        rule.connection_closed(rule.life(), now);
        const time_point later = now + seconds(60);
        CHECK_FALSE(rule.decide(later).put_right);  // one at a time
        rule.righted(rule.life(), true);
        CHECK(rule.decide(later).put_right);
        rule.righted(rule.life(), true);
        CHECK(rule.decide(later).stop == stop::fast);
        CHECK(ends(rule, later));
    }
    SUBCASE("somebody came after it was put right") {
        dormancy rule = awake(0);
        REQUIRE(rule.decide(now).put_right);
        rule.righted(rule.life(), true);
        rule.wait();
        CHECK(rule.decide(now).admit);
        rule.sleep_now();
        CHECK(rule.decide(now).stop == stop::fast);
        CHECK_FALSE(ends(rule, now));
    }
    SUBCASE("told to sleep meanwhile") {
        dormancy rule = awake(0);
        REQUIRE(rule.decide(now).put_right);
        rule.sleep_now();
        CHECK(rule.decide(now).stop == stop::fast);
        rule.righted(rule.life(), true);  // too late: it was being stopped
        CHECK_FALSE(ends(rule, now));
    }
    SUBCASE("it had to be stopped harder") {
        dormancy rule = awake(0);
        REQUIRE(decide_righted(rule, now).stop == stop::fast);
        CHECK(rule.decide(now + options().patience).stop == stop::immediate);
        CHECK_FALSE(ends(rule, now + options().patience));
    }
    SUBCASE("it ended by itself") {
        dormancy rule = awake(0);
        REQUIRE(rule.decide(now).put_right);
        rule.righted(rule.life(), true);
        CHECK_FALSE(ends(rule, now));
    }
    SUBCASE("what is told of an earlier life does not count") {
        dormancy rule = awake(0);
        REQUIRE(rule.decide(now).put_right);
        const auto life = rule.life();
        rule.stopped(now);  // a crash
        rule.wait();
        REQUIRE(rule.decide(now).start);
        rule.started(now);
        REQUIRE(rule.decide(now).admit);
        rule.connection_closed(rule.life(), now);
        rule.righted(life, true);
        CHECK(rule.decide(now + seconds(60)).put_right);
    }
}

TEST_CASE("a crash is a sleep: the next who comes starts it again") {
    dormancy rule = awake(1);
    rule.stopped(start + std::chrono::hours(1));
    CHECK(rule.current() == state::asleep);
    CHECK_FALSE(rule.decide(start + std::chrono::hours(1)).start);
    rule.wait();
    CHECK(rule.decide(start + std::chrono::hours(1)).start);
}

TEST_CASE("an instance that fails to start is tried three times, then all who wait are refused") {
    dormancy rule(options());
    rule.wait();
    rule.wait();
    int starts = 0;
    time_point now = start;
    dormancy::orders orders = rule.decide(now);
    while (orders.start && starts < 10) {
        ++starts;
        now += std::chrono::hours(1);  // however long it took to fail
        rule.stopped(now);
        orders = rule.decide(now);
    }
    CHECK(starts == 3);
    CHECK(orders.refuse);
    CHECK(rule.waiting() == 0);
}

TEST_CASE("a broken instance refuses at once, and is tried once more after a while") {
    dormancy rule(options());
    rule.wait();
    for (int i = 0; i < 3; ++i) {
        REQUIRE(rule.decide(start).start);
        rule.stopped(start);
    }
    CHECK(rule.decide(start).refuse);
    CHECK(rule.is_broken(start));

    rule.wait();
    CHECK(rule.decide(start + seconds(9)).refuse);

    rule.wait();
    CHECK(rule.decide(start + seconds(10)).start);
    rule.stopped(start + seconds(10));
    CHECK(rule.decide(start + seconds(10)).refuse);  // one more failure is enough

    rule.wait();
    REQUIRE(rule.decide(start + seconds(20)).start);
    rule.started(start + seconds(20));
    CHECK(rule.decide(start + seconds(20)).admit);
}

TEST_CASE("quick exits after a start count as failures, later ones do not") {
    struct row {
        milliseconds uptime;
        bool broken;
    };
    for (const row& each : {row{milliseconds(0), true}, row{milliseconds(4'999), true},
                            row{milliseconds(5'000), false}, row{milliseconds(60'000), false}}) {
        CAPTURE(each.uptime.count());
        dormancy rule(options());
        time_point now = start;
        for (int i = 0; i < 3; ++i) {
            rule.wait();
            REQUIRE(rule.decide(now).start);
            rule.started(now);
            rule.decide(now);
            now += each.uptime;
            rule.stopped(now);
        }
        CHECK(rule.is_broken(now) == each.broken);
    }
}

TEST_CASE("a stop that was asked for is no failure, however quick") {
    dormancy rule(options());
    for (int i = 0; i < 10; ++i) {
        rule.wait();
        REQUIRE(rule.decide(start).start);
        rule.started(start);
        rule.sleep_now();
        rule.decide(start);
        rule.forget();
        rule.stopped(start);
    }
    CHECK_FALSE(rule.is_broken(start));
}

TEST_CASE("closed, it refuses who waits and who comes, and stops") {
    SUBCASE("asleep") {
        dormancy rule(options());
        rule.close();
        rule.wait();
        const auto orders = rule.decide(start);
        CHECK(orders.refuse);
        CHECK_FALSE(orders.start);
    }
    SUBCASE("waking") {
        dormancy rule(options());
        rule.wait();
        rule.decide(start);
        rule.close();
        auto orders = rule.decide(start);
        CHECK(orders.refuse);
        CHECK(orders.stop == stop::fast);
        rule.stopped(start);
        CHECK_FALSE(rule.decide(start).start);
    }
    SUBCASE("awake") {
        dormancy rule = awake(1);
        rule.close();
        CHECK(rule.decide(start).stop == stop::fast);
        rule.wait();
        CHECK(rule.decide(start).refuse);
        rule.stopped(start);
        CHECK_FALSE(rule.decide(start).start);
    }
}

TEST_CASE("what is thrown away is stopped at once, its sessions a moment later") {
    dormancy empty = awake(0);
    empty.close(true);
    CHECK(empty.decide(start).stop == stop::immediate);
    CHECK(empty.decide(start + seconds(2)).stop == stop::kill);

    dormancy used = awake(2);
    used.close(true);
    CHECK(used.decide(start).stop == stop::fast);
    CHECK(used.decide(start + milliseconds(249)).stop == stop::no);
    CHECK(used.decide(start + milliseconds(250)).stop == stop::immediate);
    CHECK(used.decide(start + milliseconds(2'249)).stop == stop::no);
    CHECK(used.decide(start + milliseconds(2'250)).stop == stop::kill);

    // One that was falling asleep in good order too.
    dormancy falling = awake(0);
    falling.sleep_now();
    CHECK(falling.decide(start).stop == stop::fast);
    falling.close(true);
    CHECK(falling.decide(start + milliseconds(250)).stop == stop::immediate);

    dormancy lasting = awake(0);
    lasting.close();
    CHECK(lasting.decide(start).stop == stop::fast);
    CHECK(lasting.decide(start + seconds(9)).stop == stop::no);
}
