// The pool that the handles share: it does what pool_state decides, on one strand.
#pragma once

#include <bitdotio/pool.hpp>

#include "base/alarm.hpp"
#include "base/deadline.hpp"
#include "base/fork_guard.hpp"
#include "base/resumption.hpp"
#include "base/strand.hpp"
#include "pool/lease_book.hpp"
#include "pool/pool_state.hpp"
#include "pool/refusal_error.hpp"
#include "postgres/connector.hpp"

#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/steady_timer.hpp>

#include <algorithm>
#include <atomic>
#include <deque>
#include <exception>
#include <memory>
#include <optional>
#include <set>
#include <source_location>
#include <utility>

namespace bitdotio {

class multiplexer;
class pool_statement;

/// What a caller says of its wait for a connection.
///
/// Thread safety: a value.
struct acquire_limits {
    acquire_limits() = default;

    /// The caller's own deadline, beside that of the pool.
    time_point until = no_deadline;
    /// Since when its wait counts, if that began before the call.
    std::optional<time_point> since{};
    /// When the caller saw a connection die; only one that was opened later will do.
    time_point newer_than = time_point::min();
    /// Whether it goes on with what it began before the pool was closed.
    bool goes_on = false;
};

/// One try of a statement of pool::query, on a connection of the pool.
///
/// Thread safety: none. Lifetime: it refers to what its caller keeps until the end of the try.
struct statement_try {
    statement_try(const statement& sql_, const params& values_, std::source_location where_)
        : sql(sql_), values(values_), where(where_) {}

    const statement& sql;
    const params& values;
    const std::source_location where;
    acquire_limits limits{};  ///< `until` is the deadline of the statement too
    time_point began{};       ///< the call, for the observer
    /// Left here if the statement failed on it.
    pooled_connection failed_on{};
};

/// Thread safety: the public functions may be called from any thread; the rest runs on the strand.
class pool_core : public std::enable_shared_from_this<pool_core> {
    friend multiplexer;  // parts of it, in files of their own
    friend pool_statement;

public:
    pool_core(asio::any_io_executor executor, connect_options connect, pool_options options);

    /// Begins to keep the minimum open, once the pool is shared.
    void start();

    asio::awaitable<pooled_connection> acquire(std::source_location where,
                                               acquire_limits limits = acquire_limits());
    /// Gets a connection, asks, tells the observer if that goes well, and gives it back. See
    /// pool_statement for the way of most.
    asio::awaitable<result> run(statement_try& one);
    asio::awaitable<pool_statistics> statistics();
    asio::awaitable<void> close(std::chrono::milliseconds drain);
    /// Refuses new callers, as `close` does, and returns at once.
    void begin_close() noexcept;
    bool is_closed() const noexcept { return closed_.load(std::memory_order_acquire); }
    void reset() noexcept;
    void resize(std::size_t min_size, std::size_t max_size);

    void give_back(std::shared_ptr<postgres_session> session) noexcept;
    void count_retry(const error& after) noexcept;

    /// A server that must no longer be written to answered: no idle session may be lent again.
    void distrust_idle() noexcept;
    /// How often the database was found asleep and woke, for comparison before and after a wait.
    std::uint64_t wakes() const noexcept { return wakes_.load(std::memory_order_relaxed); }

    /// Calls the observer, if there is one. From any thread.
    template <class Call>
    void tell(Call&& call) const noexcept {
        if (options_.observer) {
            try {
                call(*options_.observer);
            } catch (...) {  // observers must not throw
            }
        }
    }
    bool has_observer() const noexcept { return options_.observer != nullptr; }

    /// The deadline of a call that begins now, with the timeout that its caller has set.
    time_point deadline_of(std::optional<std::chrono::milliseconds> timeout) const {
        const bool whole = options_.timeouts == timeout_scope::whole_call;
        return whole && timeout ? deadline_after(*timeout) : no_deadline;
    }
    /// The connections that statements share; null unless pool_options::multiplex is set.
    const std::shared_ptr<multiplexer>& shared_connections() const noexcept { return multiplexer_; }
    /// How long a statement may take on its connection, zero for as long as it takes.
    std::chrono::milliseconds time_alone(std::optional<std::chrono::milliseconds> timeout) const {
        const bool whole = options_.timeouts == timeout_scope::whole_call;
        return whole && timeout ? std::chrono::milliseconds(0)
                                : timeout.value_or(connector_.options().statement_timeout);
    }
    void check_same_process() const { birth_.check_same_process("the pool"); }
    /// How long the database may take to wake.
    std::chrono::milliseconds wake_timeout() const { return connector_.options().wake_timeout; }

private:
    using resource = std::shared_ptr<postgres_session>;
    using state = pool_state<resource>;
    using dial_signal = std::shared_ptr<asio::cancellation_signal>;

    // Somebody who waits in the queue; it stands in the frame of the caller's coroutine.
    class waiter {
    public:
        waiter(pool_core& pool, std::source_location where_)
            : where(where_), called(pool.sleeping_, pool.strand_), pool_(pool) {}
        virtual ~waiter() {
            if (is_waiting_) pool_.waiters_.remove(ticket_);
        }
        waiter(const waiter&) = delete;

        // It stands in the queue from now on, until one of the two below is called.
        void begin(state::ticket ticket, time_point now) {
            pool_.waiters_.add(ticket, this);
            is_waiting_ = true;
            ticket_ = ticket;
            came_ = now;
        }
        void end() noexcept { is_waiting_ = false; }
        // It leaves the queue, if it is there.
        void withdraw() {
            if (std::exchange(is_waiting_, false)) {
                pool_.state_.forget(ticket_);
                pool_.waiters_.remove(ticket_);
            }
        }
        virtual void got(resource lent) noexcept = 0;
        virtual void got_none(std::exception_ptr why) noexcept = 0;

        state::ticket ticket() const noexcept { return ticket_; }
        time_point came() const noexcept { return came_; }
        const std::source_location where;
        resumption called;

    protected:
        pool_core& pool_;

    private:
        state::ticket ticket_ = 0;
        time_point came_{};
        bool is_waiting_ = false;
    };

    // Those in the queue, by their tickets: mostly the first one leaves.
    class queue {
    public:
        void add(state::ticket ticket, waiter* one) { all_.emplace_back(ticket, one); }
        waiter& remove(state::ticket ticket) noexcept {
            if (all_.front().first == ticket) {
                waiter& first = *all_.front().second;
                all_.pop_front();
                return first;
            }
            const auto place = std::lower_bound(
                all_.begin(), all_.end(), ticket,
                [](const auto& one, state::ticket wanted) { return one.first < wanted; });
            waiter& found = *place->second;
            all_.erase(place);
            return found;
        }

    private:
        std::deque<std::pair<state::ticket, waiter*>> all_;
    };

    class sleeper;
    class lease_wait;

    // A lease of the pool's own, on its strand from its beginning to its end.
    class inner_lease {
    public:
        explicit inner_lease(pool_core& pool) noexcept : pool_(pool) {}
        ~inner_lease() {
            if (session) pool_.end_lease(std::move(session));
        }
        inner_lease(const inner_lease&) = delete;

        resource session;

    private:
        pool_core& pool_;
    };

    // pool_lending.cpp: how connections are lent, and come back.
    asio::awaitable<pooled_connection> do_acquire(std::source_location where,
                                                  acquire_limits limits);
    asio::awaitable<result> do_run(statement_try& one);
    static bool is_fit(const resource& idle);
    resource lend_at_once(std::source_location where, const acquire_limits& limits);
    asio::awaitable<resource> wait_for_one(std::source_location where, acquire_limits limits);
    void enqueue(waiter& one, const acquire_limits& limits);
    void queue_up(waiter& one, const acquire_limits& limits) noexcept;
    void go_on_soon(suspended caller) const;
    void lend(state::ticket ticket, resource session, time_point now);
    void note_lease(const resource& session, std::source_location where, time_point now);
    void refuse(const state::refused& one, time_point now);
    void end_lease(resource session) noexcept;
    void take_back(resource session);
    asio::awaitable<void> do_return(resource session);

    // pool_core.cpp: how they begin and end.
    asio::awaitable<void> dial(dial_signal signal, std::uint64_t generation);
    asio::awaitable<void> do_probe(resource session);
    void obey();
    void obey(time_point now);
    void set_alarm(std::optional<time_point> next);
    void ring();
    void dispose(const resource& session, close_reason why);
    void watch(const resource& session);
    void watch_soon();
    void watch_rested();
    void bury(const resource& session, bool others_too);

    // Tells the observer, where nobody waits for what failed.
    struct failure_report {
        std::weak_ptr<const pool_core> pool;
        void operator()(const std::exception_ptr& thrown) const noexcept {
            if (const auto self = pool.lock()) self->failed(thrown);
        }
    };
    failure_report on_failure() const noexcept { return {weak_from_this()}; }
    void failed(const std::exception_ptr& thrown) const noexcept;

    // Runs `work` on the strand.
    template <class Work>
    void soon(Work work) {
        post_work(strand_, guarded(std::move(work), on_failure()));
    }

    // pool_upkeep.cpp: what the pool does as a whole.
    asio::awaitable<pool_statistics> do_statistics();
    asio::awaitable<void> do_close(std::chrono::milliseconds drain);
    void refuse_new();
    void give_up_dials();
    error end_by_force(std::chrono::milliseconds drain);
    asio::awaitable<void> wait_until_drained();
    bool is_drained() const;
    void report_leaks(time_point now);
    pool_picture picture(time_point now) const;

    const fork_guard birth_;
    const strand strand_;
    const connector connector_;
    const pool_options options_;
    state state_;
    lease_book leases_;
    sleeping_coroutines& sleeping_;
    queue waiters_;
    state::ticket next_ticket_ = 0;
    std::uint64_t asked_in_place_ = 0;
    std::optional<error> last_dial_error_;
    std::set<dial_signal> dials_;
    std::size_t returning_ = 0;
    alarm next_event_;
    alarm next_watch_;  // of sessions that rest
    asio::steady_timer drained_;
    pool_statistics counted_;
    std::atomic<std::uint64_t> wakes_{0};
    std::atomic<bool> closed_{false};  // to new callers
    std::shared_ptr<multiplexer> multiplexer_;
};

}  // namespace bitdotio
