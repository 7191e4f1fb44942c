// Requests to cancel, few at once: a storm of deadlines must not become a storm of connections.
#pragma once

#include "base/async_semaphore.hpp"
#include "postgres/cancel_request.hpp"

#include <boost/asio/strand.hpp>

#include <atomic>
#include <cstdint>
#include <memory>

namespace bitdotio {

/// Shared by the connections to one target.
///
/// Thread safety: its functions may be called from any thread.
class cancel_queue : public std::enable_shared_from_this<cancel_queue> {
public:
    explicit cancel_queue(const asio::any_io_executor& executor)
        : strand_(asio::make_strand(executor)) {}

    /// As request_cancel, when it is its turn. The caller's deadline goes on meanwhile, and as
    /// long as nobody has let go of it the connection counts as used.
    asio::awaitable<void> request(PGconn* conn) {
        co_await asio::this_coro::reset_cancellation_state(asio::enable_total_cancellation());
        const auto self = shared_from_this();
        const place mine(self, co_await on_strand(strand_, self, turn_.enter()));
        sent_.fetch_add(1, std::memory_order_relaxed);
        co_await request_cancel(conn);
    }

    /// How many have been sent so far.
    std::uint64_t sent() const noexcept { return sent_.load(std::memory_order_relaxed); }

private:
    // A pass that is given back on the queue's strand.
    class place {
    public:
        place(std::shared_ptr<cancel_queue> where, async_semaphore::pass mine)
            : queue_(std::move(where)), pass_(std::move(mine)) {}
        ~place() {
            const auto strand = queue_->strand_;
            dispatch_work(strand,
                          [queue = std::move(queue_), mine = std::move(pass_)]() noexcept {});
        }
        place(const place&) = delete;

    private:
        std::shared_ptr<cancel_queue> queue_;
        async_semaphore::pass pass_;
    };

    static constexpr std::size_t at_once = 2;

    asio::strand<asio::any_io_executor> strand_;
    async_semaphore turn_{at_once};
    std::atomic<std::uint64_t> sent_{0};
};

}  // namespace bitdotio
