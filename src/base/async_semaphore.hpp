// Bounds how many coroutines do something at once; the others wait in the order they came.
#pragma once

#include "base/deadline.hpp"

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/steady_timer.hpp>

#include <cstddef>
#include <deque>
#include <memory>
#include <utility>

namespace bitdotio {

/// Lets a number of coroutines of one strand pass at once.
///
/// Thread safety: on its strand only.
/// Lifetime: must outlive its passes.
class async_semaphore {
public:
    /// The right to be inside. Its destructor gives it back, on the strand as everything here.
    class [[nodiscard]] pass {
    public:
        pass() = default;
        explicit pass(async_semaphore& from) noexcept : from_(&from) {}
        pass(pass&& other) noexcept : from_(std::exchange(other.from_, nullptr)) {}
        pass& operator=(pass&& other) noexcept {
            std::swap(from_, other.from_);
            return *this;
        }
        ~pass() {
            if (from_) from_->leave();
        }

    private:
        async_semaphore* from_ = nullptr;
    };

    explicit async_semaphore(std::size_t places) : free_(places) {}

    /// Returns when there is a place.
    ///
    /// Errors: errc::cancelled.
    /// Cancellation: terminal, partial, total; a cancelled wait gives its place to the next.
    asio::awaitable<pass> enter() {
        if (free_ > 0) {
            --free_;
            co_return pass(*this);
        }
        const auto mine =
            std::make_shared<asio::steady_timer>(co_await asio::this_coro::executor, no_deadline);
        queue_.push_back(mine);
        boost::system::error_code ended;
        co_await mine->async_wait(asio::redirect_error(asio::use_awaitable, ended));
        if (std::erase(queue_, mine) > 0) {  // not woken: the wait was cancelled
            throw error(errc::cancelled, "waiting for a place was cancelled");
        }
        co_return pass(*this);
    }

private:
    void leave() noexcept {
        if (queue_.empty()) {
            ++free_;
            return;
        }
        const auto next = queue_.front();
        queue_.pop_front();
        next->cancel();
    }

    std::size_t free_;
    std::deque<std::shared_ptr<asio::steady_timer>> queue_;
};

}  // namespace bitdotio
