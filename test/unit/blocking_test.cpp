// Blocking work, some of which never ends by itself.
#include "base/blocking.hpp"
#include "base/deadline.hpp"

#include "support/run.hpp"

#include <boost/asio/detached.hpp>
#include <boost/asio/strand.hpp>

#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <future>
#include <memory>
#include <optional>
#include <stdexcept>
#include <thread>

namespace {

namespace asio = boost::asio;
using namespace std::chrono_literals;
using bitdotio::errc;
using bitdotio::run_blocking;

// Runs on a strand, like its callers.
asio::awaitable<void> run_on_strand(std::function<void()> work, bitdotio::time_point deadline) {
    const auto strand = asio::make_strand(co_await asio::this_coro::executor);
    auto bounded = bitdotio::with_deadline(run_blocking(std::move(work)), deadline);
    co_await asio::co_spawn(strand, std::move(bounded), asio::use_awaitable);
}

asio::awaitable<void> give_up(std::function<void()> work) {
    std::optional<errc> code;
    try {
        co_await run_on_strand(std::move(work), bitdotio::deadline_after(20ms));
    } catch (const bitdotio::error& failure) {
        code = failure.code();
    }
    CHECK(code == errc::timeout);
}

TEST_CASE("work runs on another thread, and what it throws is thrown") {
    const auto here = std::this_thread::get_id();
    std::thread::id there;
    std::function<void()> look = [&] { there = std::this_thread::get_id(); };
    test::run(run_on_strand(look, bitdotio::no_deadline));
    CHECK(there != here);
    CHECK(there != std::thread::id());
    std::function<void()> fail = [] { throw std::runtime_error("its own words"); };
    CHECK_THROWS_WITH(test::run(run_on_strand(fail, bitdotio::no_deadline)), "its own words");
}

TEST_CASE("work that hangs holds up neither what comes after it nor the end of the context") {
    const auto release = std::make_shared<std::promise<void>>();
    const auto ended = std::make_shared<std::atomic<int>>(0);
    std::function<void()> hang = [released = release->get_future().share(), ended] {
        released.wait();
        ++*ended;
    };
    const auto work = [](std::function<void()> hanging) -> asio::awaitable<void> {
        for (int i = 0; i < 5; ++i) {
            co_await give_up(hanging);
        }
        bool ran = false;
        std::function<void()> quick = [&] { ran = true; };
        co_await run_on_strand(quick, bitdotio::deadline_after(5s));
        CHECK(ran);
    };
    test::run(work(hang));  // destroys its io_context
    CHECK(*ended == 0);
    release->set_value();
    const auto limit = std::chrono::steady_clock::now() + 5s;
    while (*ended < 5 && std::chrono::steady_clock::now() < limit) {
        std::this_thread::yield();
    }
    CHECK(*ended == 5);
}

TEST_CASE("the end of the context waits for work that somebody waited for") {
    const auto ended = std::make_shared<std::atomic<bool>>(false);
    const auto begun = std::make_shared<std::promise<void>>();
    {
        asio::io_context io(1);
        std::function<void()> slow = [ended, begun] {
            begun->set_value();
            std::this_thread::sleep_for(50ms);
            *ended = true;
        };
        asio::co_spawn(io, run_on_strand(slow, bitdotio::no_deadline), asio::detached);
        io.poll();
        begun->get_future().wait();
    }
    CHECK(*ended);
}

}  // namespace
