// The multiplexer of a pool: statements of many callers on few connections.
#pragma once

#include <bitdotio/error.hpp>
#include <bitdotio/pool_options.hpp>

#include "base/alarm.hpp"
#include "base/deadline.hpp"
#include "base/inbox.hpp"
#include "pool/multiplexer_rules.hpp"
#include "pool/multiplexer_state.hpp"
#include "pool/statement_deadlines.hpp"
#include "postgres/multiplexed_statement.hpp"
#include "postgres/shared_pipeline.hpp"

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/cancellation_signal.hpp>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <source_location>
#include <utility>
#include <vector>

namespace bitdotio {

class pool_core;
class postgres_session;

/// Does what multiplexer_state decides. It borrows connections of its pool while there are
/// statements to share them, and gives them back when nobody has used them for a moment; so it
/// sleeps, wakes and reconnects as the pool does.
///
/// Thread safety: `ask`, `caller_left` and `is_off` may be called from any thread; the rest runs on
/// the pool's strand.
/// Lifetime: it belongs to its pool, which outlives it.
class multiplexer : public std::enable_shared_from_this<multiplexer> {
public:
    /// Parameters: `options` are those of the pool, with multiplexing.
    multiplexer(pool_core& core, asio::any_io_executor strand, const pool_options& options);

    /// Takes a statement, whose caller waits for it.
    void ask(std::shared_ptr<multiplexed_statement> one);
    /// A caller has left whose statement was not sent.
    void caller_left() noexcept;
    /// Whether something in between does not let statements be pipelined: all go the usual way.
    bool is_off() const noexcept { return off_.load(std::memory_order_relaxed); }

    /// The pool is closed to new callers: connections go back as soon as nothing is left for them.
    void drain();
    /// Whether nothing is left: no statement, no connection.
    bool is_drained() const noexcept { return state_.is_drained(); }
    /// Those that wait are not served any more.
    void refuse_waiting();
    /// Gives all connections back, once what they were given is answered.
    void retire() { state_.retire(); }
    /// Statements that wait for a connection.
    std::size_t waiting() const noexcept { return state_.waiting(); }

private:
    using handed_statement = std::shared_ptr<multiplexed_statement>;
    using line = std::shared_ptr<shared_pipeline>;
    using state = multiplexer_state<handed_statement, line>;

    // What is left of a lease whose coroutine was destroyed, because the executor is at its end:
    // callers that wait hold the pool, which holds them.
    struct lease_end {
        explicit lease_end(std::shared_ptr<pool_core> pool_) : pool(std::move(pool_)) {}
        lease_end(const lease_end&) = delete;
        ~lease_end();

        std::shared_ptr<pool_core> pool;
        line pipeline{};
        bool is_over = false;
    };
    // Work on its way to the strand. Destroyed before it was done, it ends those who wait as above.
    class errand {
    public:
        errand(std::weak_ptr<pool_core> pool, void (multiplexer::*work)()) noexcept
            : pool_(std::move(pool)), work_(work) {}
        errand(errand&&) noexcept = default;
        ~errand();

        void operator()();

    private:
        std::weak_ptr<pool_core> pool_;
        void (multiplexer::*work_)();
    };
    using opening = std::shared_ptr<asio::cancellation_signal>;

    void soon(void (multiplexer::*work)());
    void obey();
    void take_box(time_point now);
    void forget_left();
    void refuse(const handed_statement& one, state::refusal why, time_point now);
    void abandon(const line& pipeline) noexcept;
    void turn_off();
    state::others others() const;

    void watch_clock(time_point now);
    void ring();

    // multiplexer_leases.cpp: connections are borrowed, looked at, and given back.
    void open_another(time_point now);
    asio::awaitable<void> lease(std::shared_ptr<pool_core> core, std::source_location where,
                                time_point since);
    asio::awaitable<bool> is_direct(std::shared_ptr<postgres_session> session);
    line opened(time_point now);
    void not_opened(const error& why);
    void take_back(const line& pipeline, const std::optional<error>& unfit);

    pool_core& core_;
    const asio::any_io_executor strand_;
    const std::size_t in_flight_;  // at most, on each

    inbox<multiplexed_statement> box_;
    std::atomic<bool> off_{false};
    std::atomic<bool> some_left_{false};
    shareable_texts texts_;
    state state_;
    opening opening_;
    std::vector<std::weak_ptr<postgres_session>> direct_;  // known to have no pooler in between
    time_point lost_at_ = time_point::min();

    statement_deadlines<handed_statement> deadlines_;
    alarm clock_;
    std::optional<time_point> next_;
};

}  // namespace bitdotio
