// Repeats work after each pause, until the server closes.
#pragma once

#include "base/deadline.hpp"
#include "base/strand.hpp"
#include "server/base/event_log.hpp"

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/steady_timer.hpp>

#include <chrono>
#include <functional>
#include <memory>

namespace bitdotio {

/// A member of an object with a strand.
///
/// Thread safety: only on the strand, except `start`.
/// Lifetime: await `stop` if `start` was called.
class periodic {
public:
    using work = std::function<asio::awaitable<void>()>;

    periodic(strand home, std::chrono::milliseconds interval);

    /// Runs `look` on the strand after each interval, including the first. An exception ends the
    /// loop and is told to `report`.
    ///
    /// Parameters: `owner` is kept until the end.
    void start(std::shared_ptr<void> owner, work look, failure_report report);

    /// Ends the loop; returns when a `look` under way has ended.
    ///
    /// Cancellation: none.
    asio::awaitable<void> stop();
    /// Whether `stop` waits for a `look` under way.
    bool is_stopping() const noexcept { return stopping_; }

private:
    asio::awaitable<void> run(work look);

    const strand strand_;
    const std::chrono::milliseconds interval_;
    asio::steady_timer pause_;
    asio::steady_timer ended_;  ///< cancelled when `run` has ended
    bool running_ = false;
    bool stopping_ = false;
};

}  // namespace bitdotio
