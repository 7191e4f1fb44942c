// Work on threads of its own, whose caller may be cancelled at any moment.
#include "server/jobs/worker_threads.hpp"

#include <bitdotio/error.hpp>

#include "support/run.hpp"

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/this_coro.hpp>

#include <doctest/doctest.h>

#include <atomic>
#include <exception>
#include <future>
#include <optional>
#include <stdexcept>
#include <thread>

namespace {

namespace asio = boost::asio;
using bitdotio::errc;
using bitdotio::worker_threads;

// A caller of worker threads with an executor of its own, from which it is cancelled.
class caller {
public:
    void run(worker_threads& threads, std::function<void()> work) {
        const auto on_end = [this](std::exception_ptr thrown) {
            failure_ = thrown;
            ended_ = true;
        };
        asio::co_spawn(io_, threads.run(std::move(work)),
                       asio::bind_cancellation_slot(signal_.slot(), on_end));
        look();
    }

    void cancel() { signal_.emit(asio::cancellation_type::terminal); }

    // Whether it has ended, as far as this executor knows by now.
    bool look() {
        io_.restart();
        io_.poll();
        return ended_;
    }

    void await_end() {
        io_.restart();
        io_.run();
        CHECK(ended_);
        if (failure_) std::rethrow_exception(failure_);
    }

private:
    asio::io_context io_{1};
    asio::cancellation_signal signal_;
    std::exception_ptr failure_;
    bool ended_ = false;
};

// On one thread: work that was ready before has been done when this returns.
void let_pass(worker_threads& threads) {
    caller next;
    next.run(threads, [] {});
    next.await_end();
}

TEST_CASE("work on worker threads runs elsewhere, and its caller is thrown what it throws") {
    worker_threads threads(2);
    std::thread::id there;
    test::run(threads.run([&] { there = std::this_thread::get_id(); }));
    CHECK(there != std::this_thread::get_id());
    CHECK(there != std::thread::id());
    CHECK_THROWS_WITH(test::run(threads.run([] { throw std::runtime_error("its own words"); })),
                      "its own words");
    CHECK_THROWS_AS(test::run(threads.run([] { throw 42; })), int);
    CHECK_NOTHROW(test::run(threads.run([] {})));
}

TEST_CASE("a caller that is cancelled waits for the end of its work") {
    worker_threads threads(1);
    std::promise<void> release;
    std::atomic<bool> done = false;
    caller cancelled;
    cancelled.run(threads, [&] {
        release.get_future().wait();
        done = true;
    });
    cancelled.cancel();
    CHECK_FALSE(cancelled.look());
    release.set_value();
    cancelled.await_end();
    CHECK(done);
}

TEST_CASE("a cancellation that reaches worker threads when the work has ended harms nobody") {
    worker_threads threads(1);
    caller cancelled;
    std::promise<void> cancel_waits;
    cancelled.run(threads, [&] { cancel_waits.get_future().wait(); });
    cancelled.cancel();  // queued for the caller's executor,
    cancel_waits.set_value();
    let_pass(threads);  // and so is, after it, the end of the work
    std::promise<void> begun;
    std::promise<void> release;
    caller other;
    other.run(threads, [&] {
        begun.set_value();
        release.get_future().wait();
    });
    begun.get_future().wait();
    CHECK(cancelled.look());  // the cancellation is sent, and must wait for the thread
    release.set_value();
    other.await_end();
    let_pass(threads);
    CHECK_NOTHROW(cancelled.await_end());
}

TEST_CASE(
    "work that can be interrupted is, when its caller is cancelled, and not when it is done") {
    worker_threads threads(1);
    asio::io_context io(1);
    std::promise<void> begun;
    std::promise<void> release;
    int interrupted = 0;
    std::function<void()> work = [&] {
        begun.set_value();
        release.get_future().wait();
    };
    std::function<void()> interrupt = [&] {
        ++interrupted;
        release.set_value();
    };
    asio::cancellation_signal signal;
    bool ended = false;
    asio::co_spawn(
        io, threads.run(work, interrupt),
        asio::bind_cancellation_slot(signal.slot(), [&](std::exception_ptr) { ended = true; }));
    io.poll();
    begun.get_future().wait();
    signal.emit(asio::cancellation_type::terminal);
    io.run();
    CHECK(ended);
    CHECK(interrupted == 1);
    std::exception_ptr failure;
    asio::co_spawn(io, threads.run([] { throw std::runtime_error("x"); }, interrupt),
                   [&](std::exception_ptr thrown) { failure = thrown; });
    io.restart();
    io.run();
    CHECK_THROWS_AS(std::rethrow_exception(failure), std::runtime_error);
    CHECK(interrupted == 1);
}

asio::awaitable<void> run_when_cancelled(worker_threads& threads, asio::cancellation_signal& signal,
                                         bool resets, std::function<void()> work) {
    co_await asio::this_coro::throw_if_cancelled(false);
    signal.emit(asio::cancellation_type::terminal);
    if (resets) co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
    co_await threads.run(std::move(work));
}

TEST_CASE("a caller that is cancelled begins no work, unless it resets its cancellation state") {
    for (const bool resets : {false, true}) {
        worker_threads threads(1);
        asio::io_context io(1);
        asio::cancellation_signal signal;
        bool done = false;
        std::exception_ptr failure;
        const auto on_end = [&](std::exception_ptr thrown) { failure = thrown; };
        asio::co_spawn(io, run_when_cancelled(threads, signal, resets, [&] { done = true; }),
                       asio::bind_cancellation_slot(signal.slot(), on_end));
        io.run();
        CHECK(done == resets);
        std::optional<errc> code;
        try {
            if (failure) std::rethrow_exception(failure);
        } catch (const bitdotio::error& thrown) {
            code = thrown.code();
        }
        CHECK(code == (resets ? std::nullopt : std::optional(errc::cancelled)));
    }
}

}  // namespace
