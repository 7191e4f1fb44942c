// Runs a loop on the owner's strand.
#include "server/base/periodic.hpp"

#include <utility>

namespace bitdotio {

periodic::periodic(strand home, std::chrono::milliseconds interval)
    : strand_(std::move(home)),
      interval_(interval),
      pause_(strand_),
      ended_(strand_, no_deadline) {}

void periodic::start(std::shared_ptr<void> owner, work look, failure_report report) {
    running_ = true;
    auto ended = [this, owner = std::move(owner),
                  report = std::move(report)](std::exception_ptr thrown) noexcept {
        report(thrown);
        running_ = false;
        ended_.cancel();
    };
    spawn_alone(strand_, run(std::move(look)), std::move(ended));
}

asio::awaitable<void> periodic::run(work look) {
    while (!stopping_) {
        boost::system::error_code ended;
        pause_.expires_after(interval_);
        co_await pause_.async_wait(asio::redirect_error(asio::use_awaitable, ended));
        if (!stopping_) co_await look();
    }
}

asio::awaitable<void> periodic::stop() {
    co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
    stopping_ = true;
    pause_.cancel();
    while (running_) {
        boost::system::error_code ended;
        co_await ended_.async_wait(asio::redirect_error(asio::use_awaitable, ended));
    }
}

}  // namespace bitdotio
