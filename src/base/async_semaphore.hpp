// So many at once, the others in the order they came.
#pragma once

#include "base/deadline.hpp"

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/steady_timer.hpp>

#include <cstddef>
#include <deque>
#include <memory>

namespace bitdotio {

/// Lets a number of coroutines of one strand pass at once.
///
/// Thread safety: on its strand only.
class async_semaphore {
public:
    explicit async_semaphore(std::size_t places) : free_(places) {}

    /// Returns when there is a place; `leave` gives it back.
    ///
    /// Errors: errc::cancelled.
    /// Cancellation: terminal, partial, total; a cancelled wait gives its place to the next.
    asio::awaitable<void> enter() {
        if (free_ > 0) {
            --free_;
            co_return;
        }
        const auto mine =
            std::make_shared<asio::steady_timer>(co_await asio::this_coro::executor, no_deadline);
        queue_.push_back(mine);
        boost::system::error_code ended;
        co_await mine->async_wait(asio::redirect_error(asio::use_awaitable, ended));
        if (std::erase(queue_, mine) > 0) {  // nobody called: the wait was cancelled
            throw error(errc::cancelled, "waiting for a place was cancelled");
        }
    }

    void leave() noexcept {
        if (queue_.empty()) {
            ++free_;
            return;
        }
        const auto next = queue_.front();
        queue_.pop_front();
        next->cancel();
    }

private:
    std::size_t free_;
    std::deque<std::shared_ptr<asio::steady_timer>> queue_;
};

}  // namespace bitdotio
