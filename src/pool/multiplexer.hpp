// The multiplexer of a pool: statements of many callers on few connections.
#pragma once

#include <bitdotio/error.hpp>
#include <bitdotio/pool_options.hpp>

#include "base/alarm.hpp"
#include "base/deadline.hpp"
#include "base/inbox.hpp"
#include "pool/multiplexer_rules.hpp"
#include "postgres/multiplexed_statement.hpp"
#include "postgres/shared_pipeline.hpp"

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/cancellation_signal.hpp>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <source_location>
#include <utility>
#include <vector>

namespace bitdotio {

class pool_core;

/// Borrows connections of its pool while there are statements to share them, and gives them back
/// when nobody has used them for a moment; so it sleeps, wakes and reconnects as the pool does.
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
    bool is_drained() const noexcept {
        return waiting_.empty() && lines_.empty() && openings_.empty();
    }
    /// Those that wait are not served any more.
    void refuse_waiting();
    /// Gives all connections back, once what they were given is answered.
    void retire();
    /// Statements that wait for a connection.
    std::size_t waiting() const noexcept { return waiting_.size(); }

private:
    struct line {
        std::shared_ptr<shared_pipeline> pipeline;
        std::uint64_t handed = 0;
        time_point since{};
        time_point last_used{};
        bool ends = false;

        multiplexer_rules::line seen() const {
            return {static_cast<std::size_t>(handed - pipeline->finished()),
                    !ends && pipeline->takes_more(), pipeline->head_since()};
        }
    };
    struct deadline {
        time_point at;
        std::shared_ptr<multiplexed_statement> who;
        bool operator<(const deadline& other) const { return at > other.at; }  // the next on top
    };
    // What is left of a lease whose coroutine was destroyed, because the executor is at its end:
    // callers that wait hold the pool, which holds them.
    struct lease_end {
        explicit lease_end(std::shared_ptr<pool_core> pool_) : pool(std::move(pool_)) {}
        lease_end(const lease_end&) = delete;
        ~lease_end();

        std::shared_ptr<pool_core> pool;
        std::shared_ptr<shared_pipeline> pipeline{};
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
    void hand_out(time_point now);
    bool ask_for_room(time_point now);
    void look_at_lines();
    void refuse_too_many(time_point now);
    void refuse_late(time_point now);
    void give_way();
    void look_after(time_point now);
    void open_another(time_point now);
    void forget_left();
    asio::awaitable<void> lease(std::shared_ptr<pool_core> core, opening mine,
                                std::source_location where);
    void not_opened(const error& why, time_point began);
    void abandon(const std::shared_ptr<shared_pipeline>& pipeline) noexcept;
    void take_back(const std::shared_ptr<shared_pipeline>& pipeline,
                   const std::optional<error>& unfit);
    void turn_off();
    void watch_clock(time_point now);
    void add_deadline(time_point at, const std::shared_ptr<multiplexed_statement>& who);
    void ring();

    pool_core& core_;
    const asio::any_io_executor strand_;
    const multiplexer_rules rules_;
    const std::chrono::milliseconds patience_;
    const std::size_t max_waiters_;
    const std::chrono::milliseconds longest_lease_;

    inbox<multiplexed_statement> box_;
    std::atomic<bool> off_{false};
    std::atomic<bool> some_left_{false};
    shareable_texts texts_;
    std::deque<std::shared_ptr<multiplexed_statement>> waiting_;
    std::vector<line> lines_;
    std::vector<multiplexer_rules::line> seen_;  // the same, as the rules see them
    std::vector<opening> openings_;
    std::vector<deadline> deadlines_;  // a heap
    std::size_t sweep_at_;
    time_point lost_at_ = time_point::min();
    time_point not_before_ = time_point::min();  // another one is opened, while others serve
    int unfit_ = 0;  // connections in a row that could not be shared at all
    alarm clock_;
    std::optional<time_point> next_;
    std::optional<time_point> next_look_;
    bool draining_ = false;
};

}  // namespace bitdotio
