// The pool's whole policy as a state machine over events and time: no I/O, no clock, no chance.
#pragma once

#include "pool/dial_pace.hpp"
#include "pool/idle_stack.hpp"
#include "pool/pool_terms.hpp"

#include <algorithm>
#include <cassert>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <utility>
#include <vector>

namespace bitdotio {

/// Decides for a pool of `Resource`s which waiter gets one, when to dial, what to probe and close.
///
/// Events tell it what happened; `decide` then says what to do now, and when to ask again. The
/// rules: waiters are served in the order they came, by whatever becomes free first; the most
/// recently used idle resource is lent first, so that the others age; dials follow the number of
/// waiters, never above the maximum; while dialling fails, one dial at a time probes. Long-rested
/// resources are probed before they are lent; if one does not answer, the others may not either.
///
/// Thread safety: none.
template <class Resource>
class pool_state : public pool_terms {
public:
    using orders = pool_orders<Resource>;

    explicit pool_state(settings given)
        : settings_(given),
          pace_({given.max_connecting, given.wake_timeout, given.breaker_after}) {}

    /// Someone wants a resource until `deadline`, which a waking database extends if `extendable`.
    std::optional<refusal> enqueue(ticket who, time_point now, time_point deadline, bool extendable,
                                   const wish& wanted = wish()) {
        if (closed_ || (draining_ && !wanted.goes_on)) {
            return refusal::closed;
        }
        if (waiters_.empty() && dialling_ == 0) {
            pace_.forget_what_is_stale(now);
        }
        if (pace_.is_refused(now)) {
            return refusal::fatal;
        }
        if (is_broken(now)) {
            asked_ = true;
            return refusal::broken;
        }
        if (settings_.max_waiters != 0 && waiters_.size() >= settings_.max_waiters &&
            idle_.empty()) {
            return refusal::queue_full;
        }
        waiters_.push_back({who, now, deadline, extendable, wanted});
        first_deadline_ = std::min(first_deadline_, limit(waiters_.back()));
        return std::nullopt;
    }

    /// A waiter left. Returns false if it was not waiting any more.
    bool forget(ticket who) {
        const auto found =
            std::lower_bound(waiters_.begin(), waiters_.end(), who,
                             [](const waiter& w, ticket wanted) { return w.who < wanted; });
        if (found == waiters_.end() || found->who != who) {
            return false;
        }
        waiters_.erase(found);
        return true;
    }

    // ---- two short ways past `decide`, taken where it would come to nothing else

    /// Lends the topmost idle resource to somebody who comes now, if there is nothing to weigh:
    /// nobody waits, and it is beyond doubt.
    ///
    /// Parameters: `alive` as for `decide`.
    template <class Alive>
    std::optional<Resource> lend_at_once(time_point now, const wish& wanted, Alive&& alive) {
        if (idle_.empty() || !waiters_.empty() || !is_settled(now)) {
            return std::nullopt;
        }
        const entry& top = idle_.top();
        if (draining_ || pace_.is_refused(now) || top.opened < wanted.newer_than ||
            is_suspect(top, now) || !alive(top.what)) {
            return std::nullopt;
        }
        used_.push_back(idle_.take_top());
        return used_.back().what;
    }

    /// A lent resource came back and is well: it goes to the first waiter, whose ticket is
    /// returned, if there is nothing to weigh. Otherwise nothing has happened.
    std::optional<ticket> hand_on(const Resource& what, time_point now) {
        if (waiters_.empty() || !idle_.empty() || !is_settled(now) || draining_) {
            return std::nullopt;
        }
        entry& one = *find_used(what);
        const waiter& first = waiters_.front();
        if (one.generation != generation_ || one.dies <= now || size() > settings_.max_size ||
            one.opened < first.wanted.newer_than) {
            return std::nullopt;
        }
        one.since = one.heard = now;
        const ticket lucky = first.who;
        waiters_.pop_front();
        return lucky;
    }

    /// Whether `decide` would order nothing now but to be asked again at `next`.
    bool is_settled(time_point now) const {
        return !is_over() && retired_.empty() && !distrusted_ && !refuse_all_ &&
               idle_generation_ == generation_ && was_empty_ == (open() == 0) &&
               now < first_deadline_ && (waiters_.empty() || idle_.empty()) &&
               now < idle_.first_death() && size() <= settings_.max_size && size() > 0 &&
               now < first_rested() && (wanted() == 0 || (room() == 0 && idle_.empty()));
    }

    /// When to decide again if nothing happens.
    std::optional<time_point> next(time_point now) const {
        time_point next = std::min(idle_.first_death(), first_rested());
        if (!waiters_.empty()) {
            next = std::min(next, first_deadline_);
        }
        if (dialling_ == 0 && wanted() > 0) {
            next = std::min(next, pace_.rests_until(now).value_or(next));
        }
        return next == time_point::max() ? std::nullopt : std::optional(next);
    }

    /// A lent resource came back and is well.
    void returned(const Resource& what, time_point now) {
        entry one = take_used(what);
        one.since = one.heard = now;
        keep(std::move(one));
    }

    /// A lent resource came back broken, and is closed.
    void lost(const Resource& what) { take_used(what); }

    /// An idle resource died. Returns false if it is not idle (any more).
    bool died(const Resource& what) { return idle_.take(what).has_value(); }

    /// The server ended a resource as it ends all of them: if another ends within a moment, idle
    /// resources are not trusted any longer.
    void ended_by_server(time_point now) {
        if (last_end_ && now - *last_end_ <= at_once) {
            distrust_idle();
        }
        last_end_ = now;
    }

    /// Resources that are idle now must not be lent again.
    void distrust_idle() { distrusted_ = true; }

    /// Parameters: `generation` is what `generation()` was when the dial began; `jitter`, in
    ///     [0, 1), spreads the end of its life.
    void dialled(Resource what, std::uint64_t generation, time_point now, double jitter) {
        --dialling_;
        pace_.succeeded();
        first_deadline_ = time_point::min();  // nothing is extended any more
        const double spread = 1 + settings_.lifetime_jitter * (2 * jitter - 1);
        const duration lifetime(static_cast<std::int64_t>(
            static_cast<double>(settings_.max_lifetime.count()) * spread));
        keep({std::move(what), generation, now + lifetime, now, now, now});
    }

    void dial_failed(dial_verdict verdict, time_point now, double jitter) {
        --dialling_;
        pace_.failed(verdict, now, jitter);
        first_deadline_ = time_point::min();
        refuse_all_ = refuse_all_ || verdict == dial_verdict::fatal;
    }

    /// We gave up a dial because of `close`.
    void dial_abandoned() { --dialling_; }

    /// A probe has ended. If it was not answered, the resource is closed.
    void probed(const Resource& what, bool answered, time_point now) {
        const auto found = std::find_if(probing_.begin(), probing_.end(),
                                        [&](const probe& one) { return one.of.what == what; });
        assert(found != probing_.end());
        probe one = std::move(*found);
        probing_.erase(found);
        silent_ = !answered;
        if (answered) {
            one.of.heard = now;
            keep(std::move(one.of));
        } else {
            // All that rested when it was asked may be dead too.
            suspect_until_ = std::max(suspect_until_, one.asked);
        }
    }

    /// Sets new limits; surplus resources are closed as soon as nobody uses them.
    void resize(std::size_t min_size, std::size_t max_size) {
        settings_.min_size = min_size;
        settings_.max_size = max_size;
    }

    /// Stops lending what is open now; lent resources are closed when they come back.
    void reset() { ++generation_; }

    /// Lets no new callers in: those who wait are still served, then all is closed.
    void drain() { draining_ = true; }
    /// Refuses everybody.
    void close() { draining_ = closed_ = true; }

    /// What to do now.
    ///
    /// Parameters: `alive(resource)` checks it before lending.
    template <class Alive>
    orders decide(time_point now, Alive&& alive) {
        orders now_do;
        now_do.close = std::exchange(retired_, {});
        if (is_over()) {
            refuse_everyone(now_do, refusal::closed, now);
            close_idle(now_do, close_reason::pool_closed);
            return now_do;
        }
        close_outdated(now_do, now);
        lend_idle(now_do, now, alive);
        if (std::exchange(refuse_all_, false)) {
            refuse_everyone(now_do, refusal::fatal, now);
        }
        refuse_late(now_do, now);
        if (is_over()) {
            close_idle(now_do, close_reason::pool_closed);
            return now_do;
        }
        close_rested(now_do, now);
        order_dials(now_do, now);
        now_do.next = next(now);
        return now_do;
    }

    /// Whether new callers are refused.
    bool is_closing() const { return draining_; }
    /// Whether nobody is to be served any more: what is being dialled is of no use.
    bool is_over() const { return closed_ || (draining_ && waiters_.empty()); }
    bool is_waking() const { return pace_.is_failing(); }
    /// Dialling has failed for longer than a wake may take, and nothing is open.
    bool is_broken(time_point now) const { return open() == 0 && pace_.is_broken(now); }
    std::optional<time_point> failing_since() const { return pace_.failing_since(); }
    std::optional<time_point> next_dial(time_point now) const { return pace_.rests_until(now); }
    /// Whether the last dial ended a sleep; asked once after `dialled`.
    bool take_woke() { return pace_.take_woke(); }
    template <class Visitor>
    void each_idle(Visitor&& visit) const {
        idle_.each([&](const entry& one) { visit(one.what, one.since); });
    }
    template <class Visitor>
    void each_used(Visitor&& visit) const {
        for (const entry& one : used_) {
            visit(one.what);
        }
    }
    std::uint64_t generation() const { return generation_; }
    std::size_t max_size() const { return settings_.max_size; }
    std::size_t idle() const { return idle_.size(); }
    std::size_t used() const { return used_.size(); }
    std::size_t probing() const { return probing_.size(); }
    std::size_t dialling() const { return dialling_; }
    std::size_t waiting() const { return waiters_.size(); }
    std::size_t size() const { return open() + dialling_; }

private:
    using entry = pooled<Resource>;

    struct waiter {
        ticket who;
        time_point came;
        time_point deadline;
        bool extendable;
        wish wanted;
    };
    struct probe {
        entry of;
        time_point asked;
    };

    std::size_t open() const { return idle_.size() + used_.size() + probing_.size(); }

    auto find_used(const Resource& what) {
        const auto found = std::find_if(used_.begin(), used_.end(),
                                        [&](const entry& one) { return one.what == what; });
        assert(found != used_.end());
        return found;
    }

    entry take_used(const Resource& what) {
        const auto found = find_used(what);
        entry one = std::move(*found);
        if (found != used_.end() - 1) {
            *found = std::move(used_.back());
        }
        used_.pop_back();
        return one;
    }

    // Lets it rest, unless there is a reason not to.
    void keep(entry one) {
        const auto retire = [&](close_reason why) {
            retired_.emplace_back(std::move(one.what), why);
        };
        if (is_over()) {
            retire(close_reason::pool_closed);
        } else if (one.generation != generation_) {
            retire(close_reason::pool_reset);
        } else {
            idle_.put(std::move(one));
        }
    }

    void refuse(orders& now_do, const waiter& w, refusal why, time_point now, std::size_t place) {
        now_do.refuse.emplace_back(w.who, why, std::chrono::duration_cast<duration>(now - w.came),
                                   place, w.wanted.until <= now);
    }

    void refuse_everyone(orders& now_do, refusal why, time_point now) {
        std::size_t place = 0;
        for (const waiter& w : waiters_) {
            refuse(now_do, w, why, now, ++place);
        }
        waiters_.clear();
        first_deadline_ = time_point::max();
    }

    void close_idle(orders& now_do, close_reason why) {
        while (!idle_.empty()) {
            now_do.close.emplace_back(idle_.take_bottom().what, why);
        }
    }

    // Closes what may not be lent any more, whoever waits.
    void close_outdated(orders& now_do, time_point now) {
        if (std::exchange(distrusted_, false)) {
            close_idle(now_do, close_reason::evicted);
        }
        if (std::exchange(idle_generation_, generation_) != generation_) {
            close_idle(now_do, close_reason::pool_reset);
        }
        while (auto one = idle_.take_dead(now)) {
            now_do.close.emplace_back(std::move(one->what), close_reason::aged);
        }
        while (!idle_.empty() && size() > settings_.max_size) {
            now_do.close.emplace_back(idle_.take_bottom().what, close_reason::pool_shrunk);
        }
    }

    bool is_suspect(const entry& one, time_point now) const {
        return one.heard <= suspect_until_ ||
               (settings_.probe_after.count() != 0 && one.heard + settings_.probe_after <= now);
    }

    template <class Alive>
    void lend_idle(orders& now_do, time_point now, Alive& alive) {
        std::size_t first = 0;  // those before it find nothing that is new enough
        while (first < waiters_.size() && !idle_.empty()) {
            const auto place = idle_.newer_than(waiters_[first].wanted.newer_than);
            if (!place) {
                ++first;
                continue;
            }
            const bool suspect = is_suspect(idle_.at(*place), now);
            if (suspect && probing_.size() >= waiters_.size() - first) {
                return;  // each waiter has a probe that may turn out well
            }
            entry one = idle_.take_at(*place);
            if (!alive(one.what)) {
                now_do.close.emplace_back(std::move(one.what), close_reason::dead);
            } else if (suspect) {
                now_do.probe.push_back(one.what);
                probing_.push_back({std::move(one), now});
            } else {
                const auto lucky = waiters_.begin() + static_cast<std::ptrdiff_t>(first);
                now_do.lend.emplace_back(lucky->who, one.what);
                used_.push_back(std::move(one));
                waiters_.erase(lucky);
            }
        }
    }

    time_point limit(const waiter& w) const {
        const time_point here =
            w.extendable ? pace_.while_waking(w.came, w.deadline, open() == 0) : w.deadline;
        return std::min(here, w.wanted.until);
    }

    void refuse_late(orders& now_do, time_point now) {
        const bool is_empty = open() == 0;
        if (std::exchange(was_empty_, is_empty) != is_empty) {
            first_deadline_ = time_point::min();  // `limit` looks at that
        }
        if (now < first_deadline_) {
            return;
        }
        const refusal why = pace_.is_busy()      ? refusal::busy
                            : pace_.is_failing() ? refusal::waking
                                                 : refusal::timed_out;
        first_deadline_ = time_point::max();
        std::size_t place = 0;
        std::erase_if(waiters_, [&](const waiter& w) {
            ++place;
            const bool late = limit(w) <= now;
            if (late) {
                refuse(now_do, w, why, now, place);
                // So short a wait may fall into a pause: the next caller is to find a try made.
                asked_ = asked_ || (why == refusal::waking && now < w.deadline);
            } else {
                first_deadline_ = std::min(first_deadline_, limit(w));
            }
            return late;
        });
    }

    // The resource at the bottom has rested longest, because lending takes from the top. What is
    // being dialled does not count: it may fail.
    time_point first_rested() const {
        return !idle_.empty() && open() > settings_.min_size
                   ? idle_.bottom().since + settings_.idle_timeout
                   : time_point::max();
    }
    void close_rested(orders& now_do, time_point now) {
        while (first_rested() <= now) {
            now_do.close.emplace_back(idle_.take_bottom().what, close_reason::idle);
        }
    }

    // A waiter with a probe under way needs no dial, unless such probes are not answered.
    std::size_t wanted() const {
        const std::size_t coming = dialling_ + (silent_ ? 0 : probing_.size());
        const std::size_t for_waiters = waiters_.size() > coming ? waiters_.size() - coming : 0;
        if (draining_) {
            return for_waiters;
        }
        const std::size_t for_minimum =
            settings_.min_size > size() ? settings_.min_size - size() : 0;
        const std::size_t to_know = asked_ && dialling_ == 0 ? 1 : 0;
        return std::max({for_waiters, for_minimum, to_know});
    }

    void order_dials(orders& now_do, time_point now) {
        if (size() == 0) {
            pace_.start_slowly();
        }
        const std::size_t dials = std::min(wanted(), pace_.allowed(now, dialling_));
        make_room(now_do, dials);
        now_do.dials = std::min(dials, room());
        dialling_ += now_do.dials;
        asked_ = asked_ && now_do.dials == 0;
    }

    std::size_t room() const { return settings_.max_size - std::min(size(), settings_.max_size); }

    // What rests is too old for those who have just seen one die, and in their way.
    void make_room(orders& now_do, std::size_t dials) {
        const auto is_too_old = [&](const entry& one) {
            return std::any_of(waiters_.begin(), waiters_.end(),
                               [&](const waiter& w) { return one.opened < w.wanted.newer_than; });
        };
        while (dials > room() && !idle_.empty() && is_too_old(idle_.bottom())) {
            now_do.close.emplace_back(idle_.take_bottom().what, close_reason::evicted);
        }
    }

    // Two ends so close to each other are not two accidents.
    static constexpr duration at_once{100};

    settings settings_;
    dial_pace pace_;
    std::deque<waiter> waiters_;
    time_point first_deadline_ = time_point::max();  // nobody is late before this
    idle_stack<Resource> idle_;
    std::vector<entry> used_;
    std::vector<probe> probing_;
    std::vector<std::pair<Resource, close_reason>> retired_;  // to be closed with the next orders
    std::size_t dialling_ = 0;
    std::uint64_t generation_ = 0;
    std::uint64_t idle_generation_ = 0;  // the generation of idle resources
    std::optional<time_point> last_end_;
    time_point suspect_until_ = time_point::min();  // a resource not heard since then is suspect
    bool silent_ = false;                           // the last probe was not answered
    bool draining_ = false;
    bool closed_ = false;
    bool was_empty_ = true;  // nothing was open when waiters were last looked at
    bool refuse_all_ = false;
    bool distrusted_ = false;
    bool asked_ = false;  // somebody was refused because it is broken
};

}  // namespace bitdotio
