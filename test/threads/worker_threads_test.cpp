// Worker threads whose callers are cancelled while the work ends: for the sanitizers.
#include "server/jobs/worker_threads.hpp"

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/thread_pool.hpp>

#include <doctest/doctest.h>

#include <atomic>
#include <exception>
#include <memory>

namespace {

namespace asio = boost::asio;
using bitdotio::worker_threads;

constexpr int callers = 5'000;
constexpr int slices = 3;

asio::awaitable<void> work_in_slices(worker_threads& threads, std::atomic<int>& done) {
    for (int i = 0; i < slices; ++i) {
        std::function<void()> slice = [&done] { ++done; };
        co_await threads.run(slice);
    }
}

TEST_CASE("cancellations that meet the end of work on other threads harm nobody") {
    std::atomic<int> done = 0;
    std::atomic<int> ended = 0;
    {
        worker_threads threads(2);
        asio::thread_pool pool(2);
        for (int i = 0; i < callers; ++i) {
            const auto home = asio::make_strand(pool);
            const auto signal = std::make_shared<asio::cancellation_signal>();
            const auto on_end = [&ended, signal](std::exception_ptr) { ++ended; };
            asio::post(home, [&threads, &done, home, signal, on_end] {
                asio::co_spawn(home, work_in_slices(threads, done),
                               asio::bind_cancellation_slot(signal->slot(),
                                                            asio::bind_executor(home, on_end)));
            });
            // Early for some callers, late for others.
            asio::post(home, [home, signal] {
                asio::post(home, [signal] { signal->emit(asio::cancellation_type::terminal); });
            });
        }
        pool.join();
    }
    CHECK(ended == callers);
    CHECK(done <= callers * slices);
}

}  // namespace
