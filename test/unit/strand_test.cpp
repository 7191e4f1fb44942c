// One at a time and in order, on one thread and on several; entered in place where it is free.
#include "base/strand.hpp"

#include <boost/asio/dispatch.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/strand.hpp>

#include <doctest/doctest.h>

#include <atomic>
#include <memory>
#include <stdexcept>
#include <thread>
#include <vector>

namespace {

namespace asio = boost::asio;
using bitdotio::strand;

TEST_CASE("what is posted to a strand runs in order, and later") {
    asio::io_context io;
    const strand home(io.get_executor());
    std::vector<int> seen;
    for (int i = 0; i < 3; ++i) {
        asio::post(home, [&, i] {
            CHECK(home.running_in_this_thread());
            seen.push_back(i);
            asio::post(home, [&, i] { seen.push_back(10 + i); });
        });
    }
    CHECK(seen.empty());
    io.run();
    CHECK(seen == std::vector{0, 1, 2, 10, 11, 12});
    CHECK_FALSE(home.running_in_this_thread());
}

TEST_CASE("a strand that is free is entered in place on a thread of its executor") {
    asio::io_context io;
    const strand home(io.get_executor());
    bool has_run = false;
    asio::dispatch(home, [&] { has_run = true; });
    CHECK_FALSE(has_run);  // nobody runs the context here
    io.run();
    CHECK(has_run);
    io.restart();
    asio::post(io, [&] {
        has_run = false;
        asio::dispatch(home, [&] { has_run = home.running_in_this_thread(); });
        CHECK(has_run);
    });
    io.run();
}

TEST_CASE("work of a running caller enters a strand at once, if it is free") {
    asio::io_context io;
    const strand home(io.get_executor());
    int runs = 0;
    CHECK(home.run_now([&] {
        ++runs;
        CHECK(home.running_in_this_thread());
        CHECK(home.run_now([&] { ++runs; }));  // it is in it
    }));
    CHECK(runs == 2);
    asio::post(home, [] {});  // waits for its turn, and keeps others out
    CHECK_FALSE(home.run_now([&] { ++runs; }));
    io.run();
    CHECK(home.run_now([&] { ++runs; }));
    CHECK(runs == 3);
}

TEST_CASE("what waits for a strand keeps its context at work, whoever is in it") {
    asio::io_context io;
    const strand home(io.get_executor());
    bool has_run = false;
    home.run_now([&] {  // on a thread that is none of the context's
        asio::post(home, [&] { has_run = true; });
        CHECK(io.poll() == 0);
        CHECK_FALSE(io.stopped());
    });
    io.run();
    CHECK(has_run);
}

TEST_CASE("a strand over an executor that is not a context's is never entered beside that") {
    asio::io_context io;
    const strand home(asio::any_io_executor(asio::make_strand(io)));
    CHECK_FALSE(home.run_now([] {}));
    bool has_run = false;
    asio::dispatch(home, [&] { has_run = true; });
    io.run();
    CHECK(has_run);
}

TEST_CASE("what a function on a strand throws comes out of the context, and the strand goes on") {
    asio::io_context io;
    const strand home(io.get_executor());
    bool has_run = false;
    asio::post(home, [] { throw std::runtime_error("it was to be seen"); });
    asio::post(home, [&] { has_run = true; });
    CHECK_THROWS_WITH(io.run(), "it was to be seen");
    io.run();
    CHECK(has_run);
    CHECK(home.run_now([] {}));
}

TEST_CASE("what waits for a strand when its context ends, ends with it") {
    const auto held = std::make_shared<int>(0);
    {
        asio::io_context io;
        const auto home = std::make_shared<strand>(io.get_executor());
        asio::post(*home, [held, home] { ++*held; });
        asio::post(*home, [held, home] { ++*held; });
        CHECK(held.use_count() == 3);
    }
    CHECK(held.use_count() == 1);
    CHECK(*held == 0);
}

TEST_CASE("functions of many threads run one at a time, none is lost, and each thread's in order") {
    constexpr int threads = 4;
    constexpr int each = 5'000;
    asio::io_context io;
    const strand home(io.get_executor());
    int count = 0;  // not atomic
    std::vector<int> last(threads, -1);
    bool is_in_order = true;
    std::atomic<int> left{threads * each};
    const auto work = [&](int thread, int number) noexcept {
        ++count;
        is_in_order = is_in_order && last[static_cast<std::size_t>(thread)] < number;
        last[static_cast<std::size_t>(thread)] = number;
        --left;
    };
    std::vector<std::thread> all;
    auto busy = std::make_unique<asio::executor_work_guard<asio::io_context::executor_type>>(
        io.get_executor());
    for (int thread = 0; thread < 2; ++thread) {
        all.emplace_back([&] { io.run(); });
    }
    for (int thread = 0; thread < threads; ++thread) {
        all.emplace_back([&, thread] {
            for (int i = 0; i < each; ++i) {
                if (i % 3 == 0) {
                    asio::dispatch(home, [&, thread, i]() noexcept { work(thread, i); });
                } else {
                    asio::post(home, [&, thread, i]() noexcept { work(thread, i); });
                }
                home.run_now([&] {
                    ++count;
                    --count;
                });
            }
        });
    }
    while (left > 0) {
        std::this_thread::yield();
    }
    busy.reset();
    for (std::thread& one : all) {
        one.join();
    }
    CHECK(count == threads * each);
    CHECK(is_in_order);
}

}  // namespace
