// An executor on a thread of its own, for fixtures driven by plain blocking code.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_future.hpp>

#include <chrono>
#include <future>
#include <stdexcept>
#include <thread>

namespace test {

/// Thread safety: `wait_for` may be called from any thread but its own.
class background {
public:
    background() : guard_(boost::asio::make_work_guard(io_)), thread_([this] { io_.run(); }) {}
    ~background() {
        guard_.reset();
        io_.stop();
        thread_.join();
    }
    background(const background&) = delete;
    background& operator=(const background&) = delete;

    /// Runs `work` there and returns its value, or throws what it throws.
    ///
    /// Errors: std::runtime_error if it has not ended by `limit`.
    template <class T>
    T wait_for(boost::asio::awaitable<T> work,
               std::chrono::milliseconds limit = std::chrono::seconds(60)) {
        auto done = boost::asio::co_spawn(io_, std::move(work), boost::asio::use_future);
        if (done.wait_for(limit) != std::future_status::ready) {
            throw std::runtime_error("a fixture did not do in time what a test asked of it");
        }
        return done.get();
    }

private:
    boost::asio::io_context io_{1};
    boost::asio::executor_work_guard<boost::asio::io_context::executor_type> guard_;
    std::thread thread_;
};

}  // namespace test
