// The pool's whole policy as a state machine over events and time: no I/O, no clock, no chance.
#pragma once

#include "backoff.hpp"
#include "failure.hpp"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <utility>
#include <vector>

namespace bitdotio {

/// Why a waiter got nothing.
enum class refusal { timed_out, waking, busy, fatal, closed, queue_full };

/// Decides for a pool of `Resource`s who gets one, when to dial, what to close.
///
/// Events tell it what happened; `decide` then says what to do now, and when to ask again. The
/// rules: waiters are served in the order they came, by whatever becomes free first; the most
/// recently used idle resource is lent first, so that the others age; dials follow the number of
/// waiters, never above the maximum; while dialling fails, one dial at a time probes.
///
/// Thread safety: none.
template <class Resource>
class pool_state {
public:
    using time_point = std::chrono::steady_clock::time_point;
    using duration = std::chrono::milliseconds;
    using ticket = std::uint64_t;

    struct settings {
        std::size_t min_size = 0;
        std::size_t max_size = 100;
        std::size_t max_waiters = 0;  // 0: no limit
        std::size_t max_dials = 4;
        duration idle_timeout{290'000};
        duration wake_timeout{60'000};
    };

    struct orders {
        std::vector<std::pair<ticket, Resource>> lend;
        std::vector<std::pair<ticket, refusal>> refuse;
        std::vector<Resource> close;
        std::size_t aged = 0;  ///< how many of those to close were idle for too long
        std::size_t dials = 0;
        std::optional<time_point> next;  ///< when to decide again if nothing happens
    };

    explicit pool_state(settings given) : settings_(given) {}

    /// Someone wants a resource until `deadline`, which a waking database extends if `extendable`.
    std::optional<refusal> enqueue(ticket who, time_point now, time_point deadline,
                                   bool extendable) {
        if (closed_) {
            return refusal::closed;
        }
        if (fatal_until_ && now < *fatal_until_) {
            return refusal::fatal;
        }
        if (settings_.max_waiters != 0 && waiters_.size() >= settings_.max_waiters &&
            idle_.empty()) {
            return refusal::queue_full;
        }
        waiters_.push_back({who, deadline, extendable});
        return std::nullopt;
    }

    /// A waiter left. False if it waits no more.
    bool forget(ticket who) {
        const auto found = std::find_if(waiters_.begin(), waiters_.end(),
                                        [who](const waiter& w) { return w.who == who; });
        if (found == waiters_.end()) {
            return false;
        }
        waiters_.erase(found);
        return true;
    }

    /// A lent resource came back and is well.
    void returned(Resource what, time_point now) {
        --used_;
        idle_.push_back({std::move(what), now});
    }

    /// A lent resource came back broken.
    void lost() { --used_; }

    /// An idle resource died. False if it is not idle (any more).
    bool died(const Resource& what) {
        const auto found =
            std::find_if(idle_.begin(), idle_.end(), [&](const rest& r) { return r.what == what; });
        if (found == idle_.end()) {
            return false;
        }
        idle_.erase(found);
        return true;
    }

    void dialled(Resource what, time_point now) {
        --dialling_;
        idle_.push_back({std::move(what), now});
        woke_ = failing_since_ && !busy_;
        failing_since_.reset();
        fatal_until_.reset();
        failed_ = 0;
        dial_limit_ = std::min(dial_limit_ * 2, settings_.max_dials);
    }

    void dial_failed(dial_verdict verdict, time_point now, double jitter) {
        --dialling_;
        dial_limit_ = 1;
        if (verdict == dial_verdict::fatal) {
            // Long enough for callers that are on their way with the same mistake.
            fatal_until_ = now + duration(250);
            failing_since_.reset();
            failed_ = 0;
            refuse_all_ = true;
            return;
        }
        if (!failing_since_) {
            failing_since_ = now;
        }
        ++failed_;
        busy_ = verdict == dial_verdict::busy;
        const auto waited = std::chrono::duration_cast<duration>(now - *failing_since_);
        next_dial_ =
            now + (busy_ ? busy_delay(failed_, jitter) : wake_delay(failed_, waited, jitter));
    }

    /// What is idle now must not be lent again.
    void distrust_idle() { close_all_idle_ = true; }

    /// A dial that was given up by us, because of `close`.
    void dial_abandoned() { --dialling_; }

    void close() { closed_ = true; }

    /// What to do now.
    ///
    /// Parameters: `alive(resource)` is the look before lending.
    template <class Alive>
    orders decide(time_point now, Alive&& alive) {
        orders now_do;
        if (closed_) {
            refuse_everyone(now_do, refusal::closed);
            close_idle(now_do, idle_.size());
            return now_do;
        }
        if (std::exchange(close_all_idle_, false)) {
            close_idle(now_do, idle_.size());
        }
        if (std::exchange(refuse_all_, false)) {
            refuse_everyone(now_do, refusal::fatal);
        }
        lend_idle(now_do, alive);
        refuse_late(now_do, now);
        close_aged(now_do, now);
        order_dials(now_do, now);
        set_next(now_do, now);
        return now_do;
    }

    bool is_closed() const { return closed_; }
    bool is_waking() const { return failing_since_.has_value(); }
    /// Whether the last dial ended a sleep; asked once after `dialled`.
    bool take_woke() { return std::exchange(woke_, false); }
    std::size_t idle() const { return idle_.size(); }
    std::size_t used() const { return used_; }
    std::size_t dialling() const { return dialling_; }
    std::size_t waiting() const { return waiters_.size(); }
    std::size_t size() const { return idle_.size() + used_ + dialling_; }

private:
    struct waiter {
        ticket who;
        time_point deadline;
        bool extendable;
    };
    struct rest {
        Resource what;
        time_point since;
    };

    void refuse_everyone(orders& now_do, refusal why) {
        for (const waiter& w : waiters_) {
            now_do.refuse.emplace_back(w.who, why);
        }
        waiters_.clear();
    }

    void close_idle(orders& now_do, std::size_t count) {
        for (; count > 0; --count) {
            now_do.close.push_back(std::move(idle_.front().what));
            idle_.pop_front();
        }
    }

    template <class Alive>
    void lend_idle(orders& now_do, Alive& alive) {
        while (!waiters_.empty() && !idle_.empty()) {
            Resource what = std::move(idle_.back().what);
            idle_.pop_back();
            if (!alive(what)) {
                now_do.close.push_back(std::move(what));
                continue;
            }
            ++used_;
            now_do.lend.emplace_back(waiters_.front().who, std::move(what));
            waiters_.pop_front();
        }
    }

    time_point limit(const waiter& w) const {
        return w.extendable && failing_since_ && !busy_
                   ? std::max(w.deadline, *failing_since_ + settings_.wake_timeout)
                   : w.deadline;
    }

    void refuse_late(orders& now_do, time_point now) {
        const refusal why = !failing_since_ ? refusal::timed_out
                            : busy_         ? refusal::busy
                                            : refusal::waking;
        std::erase_if(waiters_, [&](const waiter& w) {
            const bool late = limit(w) <= now;
            if (late) {
                now_do.refuse.emplace_back(w.who, why);
            }
            return late;
        });
    }

    // The one at the front has rested longest, because lending takes from the back.
    void close_aged(orders& now_do, time_point now) {
        while (!idle_.empty() && size() > settings_.min_size &&
               idle_.front().since + settings_.idle_timeout <= now) {
            close_idle(now_do, 1);
            ++now_do.aged;
        }
    }

    std::size_t wanted() const {
        const std::size_t for_waiters =
            waiters_.size() > dialling_ ? waiters_.size() - dialling_ : 0;
        const std::size_t for_minimum =
            settings_.min_size > size() ? settings_.min_size - size() : 0;
        return std::max(for_waiters, for_minimum);
    }

    void order_dials(orders& now_do, time_point now) {
        if (idle_.size() + used_ == 0 && dialling_ == 0) {
            dial_limit_ = 1;  // it may be asleep: the first one in finds out
        }
        const bool resting =
            (failing_since_ && now < next_dial_) || (fatal_until_ && now < *fatal_until_);
        if (resting) {
            return;
        }
        const std::size_t room = settings_.max_size - std::min(size(), settings_.max_size);
        const std::size_t at_once = dial_limit_ - std::min(dialling_, dial_limit_);
        now_do.dials = std::min({wanted(), room, at_once});
        dialling_ += now_do.dials;
    }

    void set_next(orders& now_do, time_point now) const {
        const auto consider = [&](time_point when) {
            now_do.next = now_do.next ? std::min(*now_do.next, when) : when;
        };
        for (const waiter& w : waiters_) {
            consider(limit(w));
        }
        if (!idle_.empty() && size() > settings_.min_size) {
            consider(idle_.front().since + settings_.idle_timeout);
        }
        if (dialling_ == 0 && wanted() > 0) {
            if (failing_since_ && now < next_dial_) {
                consider(next_dial_);
            } else if (fatal_until_ && now < *fatal_until_) {
                consider(*fatal_until_);
            }
        }
    }

    settings settings_;
    std::deque<waiter> waiters_;
    std::deque<rest> idle_;
    std::size_t used_ = 0;
    std::size_t dialling_ = 0;
    std::size_t dial_limit_ = 1;
    std::size_t failed_ = 0;
    bool busy_ = false;
    bool closed_ = false;
    bool refuse_all_ = false;
    bool close_all_idle_ = false;
    bool woke_ = false;
    std::optional<time_point> failing_since_;
    std::optional<time_point> fatal_until_;
    time_point next_dial_{};
};

}  // namespace bitdotio
