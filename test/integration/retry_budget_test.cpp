// What is safe to run again is run again as long as there is time, on connections that are new.
#include "support/database.hpp"
#include "support/lock_barrier.hpp"
#include "support/pool_use.hpp"

#include <bitdotio/pool.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <optional>
#include <string>
#include <utility>

namespace {

namespace asio = boost::asio;
using namespace std::chrono_literals;
using namespace bitdotio;
using test::lock_barrier;

test::postgres_primary& shared() {
    static test::postgres_primary instance;
    return instance;
}

const std::string wait = std::string("SELECT 1 FROM (SELECT ") + lock_barrier::stop + ") AS stop";

asio::awaitable<void> four_losses() {
    pool from(co_await asio::this_coro::executor, shared().connect());
    co_await test::open_all(from, 3);  // none of which will do after the first loss
    auto query = [&]() -> asio::awaitable<void> {
        const result answer = co_await from.query(statement(wait).read_only());
        CHECK(answer.one<int>() == 1);
    };
    co_await test::while_terminated(shared(), query, 4);
    const auto after_query = co_await from.statistics();
    CHECK(after_query.retried == 4);
    CHECK(after_query.opened == 3 + 4);

    auto stream = [&]() -> asio::awaitable<void> {
        row_stream rows = co_await from.stream(statement(wait).idempotent());
        const auto first = co_await rows.next();
        REQUIRE(first);
        CHECK(first->rows_as<int>() == std::vector<int>{1});
        CHECK_FALSE(co_await rows.next());
    };
    co_await test::while_terminated(shared(), stream, 3);
    CHECK((co_await from.statistics()).retried == 4 + 3);
    co_await from.close();
}

TEST_CASE("a marked statement outlives several connections, each opened after the loss before") {
    test::run(four_losses());
}

asio::awaitable<void> until_the_deadline() {
    pool from(co_await asio::this_coro::executor, shared().connect());
    lock_barrier block;
    co_await block.put(shared().connect());
    bool over = false;
    auto both = [&](std::size_t i) -> asio::awaitable<void> {
        if (i == 1) {
            while (!over) {
                test::terminate_waiting(shared(), "advisory");
                co_await test::rest(5ms);
            }
            co_return;
        }
        const auto began = std::chrono::steady_clock::now();
        const auto failure =
            co_await test::failure_of(from, statement(wait).read_only().timeout(3s));
        const auto took = std::chrono::steady_clock::now() - began;
        over = true;
        REQUIRE(failure);
        CAPTURE(failure->what());
        CHECK(failure->attempts() > 2);
        CHECK(failure->outcome() == outcome::unknown);
        CHECK(took > 600ms);
        CHECK(took < 10s);
    };
    test::expect_none(co_await test::gather(2, both));
    co_await block.remove();
    co_await from.close();
}

TEST_CASE("a marked statement is not run again after its deadline") {
    test::run(until_the_deadline());
}

asio::awaitable<void> sleep_often(test::database& db) {
    constexpr std::size_t callers = 10;
    pool from(co_await asio::this_coro::executor, db.connect);
    bool over = false;
    std::size_t answered = 0;
    auto all = [&](std::size_t i) -> asio::awaitable<void> {
        if (i == callers) {
            for (int time = 0; time < 12; ++time) {
                const std::size_t before = answered;
                while (answered < before + callers) {
                    co_await test::rest(1ms);
                }
                db.server.sleep(db.name);
            }
            over = true;
            co_return;
        }
        while (!over) {
            const result answer =
                co_await from.query(statement("SELECT 1, pg_sleep(0.002)").read_only());
            answered += answer.size();
            // Its beginning leaves nothing behind, so that it is as safe.
            transaction t = co_await from.begin();
        }
    };
    test::expect_none(co_await test::gather(callers + 1, all));
    co_await from.close();
}

TEST_CASE("no reader sees how often its database is put to sleep") {
    test::database db(test::quick_to_sleep());
    test::run(sleep_often(db));
}

}  // namespace
