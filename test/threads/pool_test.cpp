// A pool and its connections, used from many threads at once: for the thread sanitizer.
#include "support/postgres.hpp"

#include <bitdotio/pool.hpp>
#include <bitdotio/retry_transaction.hpp>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/dispatch.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/use_future.hpp>

#include <doctest/doctest.h>

#include <atomic>
#include <cstdint>
#include <future>
#include <memory>
#include <string>
#include <vector>

namespace {

namespace asio = boost::asio;
using namespace std::chrono_literals;
using bitdotio::errc;
using bitdotio::pool;

constexpr int clients = 24;
constexpr int turns = 20;

test::private_postgres_options trusting() {
    test::private_postgres_options options;
    options.hba = "host all all 127.0.0.1/32 trust\n";
    return options;
}

// Counts the events of all threads by itself.
class counter : public bitdotio::pool_observer {
public:
    void acquired(duration) override { ++acquired_; }
    void released(duration) override { ++released_; }
    void queried(std::string_view, duration, const bitdotio::error*) override { ++queried_; }

    std::uint64_t lent() const { return acquired_; }
    std::uint64_t returned() const { return released_; }
    std::uint64_t queries() const { return queried_; }

private:
    std::atomic<std::uint64_t> acquired_{0}, released_{0}, queried_{0};
};

asio::awaitable<void> one_client(pool from, int number) {
    for (int turn = 0; turn < turns; ++turn) {
        switch ((number + turn) % 5) {
            case 0: {
                const auto answer = co_await from.query("SELECT $1::integer", turn);
                CHECK(answer.one<int>() == turn);
                break;
            }
            case 1: {
                bitdotio::pooled_connection lent = co_await from.acquire();
                co_await lent->execute("INSERT INTO t VALUES ($1)", 1);
                break;
            }
            case 2: {
                auto insert = [](bitdotio::transaction& open) -> asio::awaitable<void> {
                    co_await open.execute("INSERT INTO t VALUES ($1)", 1);
                };
                co_await bitdotio::retry_transaction(from, insert);
                break;
            }
            case 3: {
                bitdotio::transaction dropped = co_await from.begin();
                co_await dropped.execute("INSERT INTO t VALUES ($1)", 1'000'000);
                break;
            }
            case 4: {
                const auto now = co_await from.statistics();
                CHECK(now.used <= now.max_size);
                if (number == 0) from.reset();
                break;
            }
        }
    }
}

TEST_CASE("a pool serves coroutines of many threads, and counts every lease once") {
    test::private_postgres server(trusting());
    server.run("CREATE TABLE t (n bigint)");
    asio::thread_pool threads(4);
    const auto counted = std::make_shared<counter>();
    bitdotio::pool_options options;
    options.max_size = 6;
    options.observer = counted;
    pool shared(threads.get_executor(), server.over_tcp("postgres", ""), options);
    std::vector<std::future<void>> ends;
    for (int number = 0; number < clients; ++number) {
        ends.push_back(asio::co_spawn(threads, one_client(shared, number), asio::use_future));
    }
    for (std::future<void>& end : ends) {
        end.get();
    }
    auto sum =
        asio::co_spawn(threads, shared.query("SELECT sum(n)::integer FROM t"), asio::use_future);
    // Two of five turns of every client insert 1 for good; dropped transactions leave nothing.
    CHECK(sum.get().one<int>() == clients * turns * 2 / 5);
    asio::co_spawn(threads, shared.close(), asio::use_future).get();
    CHECK(counted->lent() == counted->returned());
    CHECK(counted->queries() == clients * turns / 5 + 1);
    threads.join();
}

// A signal must be used on the strand of the operation it cancels.
asio::awaitable<void> cancelled_in_time(pool from, std::atomic<int>& stopped) {
    const auto strand = asio::make_strand(co_await asio::this_coro::executor);
    const auto signal = std::make_shared<asio::cancellation_signal>();
    const auto ended = std::make_shared<std::atomic<bool>>(false);
    const auto on_end = [&stopped, ended](std::exception_ptr thrown, bitdotio::result) {
        try {
            if (thrown) std::rethrow_exception(thrown);
        } catch (const bitdotio::error& failure) {
            stopped += failure.code() == errc::cancelled;
        }
        *ended = true;
    };
    auto sleeper = from.query("SELECT pg_sleep(60)");
    asio::co_spawn(
        strand, std::move(sleeper),
        asio::bind_cancellation_slot(signal->slot(), asio::bind_executor(strand, on_end)));
    asio::steady_timer soon(strand, 20ms);
    co_await soon.async_wait(asio::bind_executor(strand, asio::use_awaitable));
    co_await asio::dispatch(asio::bind_executor(strand, asio::use_awaitable));
    signal->emit(asio::cancellation_type::terminal);
    const auto executor = co_await asio::this_coro::executor;
    while (!*ended) {
        asio::steady_timer again(executor, 1ms);
        co_await again.async_wait(asio::use_awaitable);
    }
}

TEST_CASE("cancellations on many threads stop their own statements and no others") {
    test::private_postgres server(trusting());
    asio::thread_pool threads(4);
    bitdotio::pool_options options;
    options.max_size = 4;
    pool shared(threads.get_executor(), server.over_tcp("postgres", ""), options);
    std::atomic<int> stopped{0};
    std::vector<std::future<void>> ends;
    for (int number = 0; number < 12; ++number) {
        ends.push_back(asio::co_spawn(asio::make_strand(threads),
                                      cancelled_in_time(shared, stopped), asio::use_future));
    }
    for (std::future<void>& end : ends) {
        end.get();
    }
    CHECK(stopped == 12);
    auto after = asio::co_spawn(threads, shared.query("SELECT 1"), asio::use_future);
    CHECK(after.get().one<int>() == 1);
    asio::co_spawn(threads, shared.close(), asio::use_future).get();
    threads.join();
}

}  // namespace
