// The pool behind its handles: obeys pool_state on one strand.
#pragma once

#include <bitdotio/pool.hpp>

#include "connector.hpp"
#include "pool_state.hpp"
#include "process_birth.hpp"

#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>

#include <atomic>
#include <list>
#include <memory>
#include <optional>
#include <unordered_map>

namespace bitdotio {

/// Thread safety: the public functions may be called from any thread; the rest runs on the strand.
class pool_core : public std::enable_shared_from_this<pool_core> {
public:
    pool_core(asio::any_io_executor executor, connect_options connect, pool_options options);

    /// Begins to keep the minimum, once it is shared.
    void start();

    asio::awaitable<pooled_connection> acquire();
    asio::awaitable<pool_statistics> statistics();
    asio::awaitable<void> close();

    void give_back(std::shared_ptr<postgres_session> session) noexcept;
    void count_retry() noexcept;

    /// A server that is no longer to be written to answered: none of what idles may be lent again.
    void distrust_idle() noexcept;
    /// How often the database was found asleep and woke, to be compared before and after a wait.
    std::uint64_t wakes() const noexcept { return wakes_.load(std::memory_order_relaxed); }

private:
    using resource = std::shared_ptr<postgres_session>;
    using state = pool_state<resource>;

    struct waiter {
        explicit waiter(const asio::any_io_executor& executor) : called(executor, never) {}
        asio::steady_timer called;
        pooled_connection lent;
        std::optional<error> refused;
        bool done = false;
    };

    asio::awaitable<pooled_connection> do_acquire();
    asio::awaitable<pool_statistics> do_statistics();
    asio::awaitable<void> do_close();
    asio::awaitable<void> dial(std::list<asio::cancellation_signal>::iterator signal);
    asio::awaitable<void> do_return(resource session);

    void obey();
    void take_back(resource session);
    void watch(const resource& session);
    void set_timer(std::optional<time_point> next);
    error refusal_error(refusal why) const;
    std::string counts() const;

    const process_birth birth_;
    asio::strand<asio::any_io_executor> strand_;
    const connector connector_;
    const pool_options options_;
    state state_;
    std::unordered_map<state::ticket, std::shared_ptr<waiter>> waiters_;
    state::ticket next_ticket_ = 0;
    std::optional<error> last_dial_error_;
    std::list<asio::cancellation_signal> dials_;
    std::size_t returning_ = 0;
    asio::steady_timer timer_;
    std::optional<time_point> timer_at_;
    asio::steady_timer drained_;
    pool_statistics counted_;
    std::atomic<std::uint64_t> wakes_{0};
};

}  // namespace bitdotio
