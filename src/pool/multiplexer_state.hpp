// The multiplexer's whole policy, over events and time: who goes over which connection, who waits
// and how long, when a connection is borrowed and when it goes back.
#pragma once

#include "base/saturated.hpp"
#include "pool/multiplexer_rules.hpp"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <utility>
#include <vector>

namespace bitdotio {

/// The words in which multiplexer_state is spoken to.
///
/// Thread safety: values.
struct multiplexer_terms {
    using time_point = std::chrono::steady_clock::time_point;

    struct settings {
        std::size_t connections = 1;
        std::size_t in_flight = 1;
        std::size_t max_waiters = 0;  ///< 0: no limit
        /// How long a statement waits for a place.
        std::chrono::milliseconds patience{30'000};
        /// Whether a database that wakes makes that no longer.
        bool is_fixed = false;
        /// After this time a connection goes back in any case.
        std::chrono::milliseconds longest_lease = multiplexer_rules::longest_lease;
    };

    /// Why a statement is not served.
    enum class refusal { queue_full, late };

    /// How an attempt to borrow a connection failed.
    enum class opening_end {
        abandoned,  ///< Nobody wanted it any more.
        late,       ///< In the time of those that wait.
        full,       ///< The pool lets nobody else wait.
        for_all,    ///< It would fail for everybody.
    };

    /// How the sharing of a connection ended.
    enum class line_end {
        well,   ///< It was ended, or its connection broke on the way.
        lost,   ///< It broke before anything was sent.
        unfit,  ///< It could not be shared at all.
    };

    /// Callers of the pool that wait for a connection of their own, and how many there may be.
    struct others {
        std::size_t waiting = 0;
        std::size_t max_size = 0;
    };
};

/// Decides for the statements and connections of one multiplexer.
///
/// Parameters: a `Statement` points to what has `is_over()`, `came`, when it was handed over here,
///     and `waits_since`, which is kept here. A `Line` points to a connection that is shared, which
///     has `hand_over`, `finished`, `takes_more`, `head_since`, `want_room`, `end` and
///     `cut_if_deserted`, as shared_pipeline has.
/// Thread safety: none.
template <class Statement, class Line>
class multiplexer_state : public multiplexer_terms {
public:
    explicit multiplexer_state(const settings& chosen)
        : settings_(chosen), rules_{chosen.connections, chosen.in_flight} {}

    // ---- statements

    /// One comes. `obey` follows, after others that have come with it.
    void arrives(Statement one) {
        one->waits_since = one->came;
        waiting_.push_back(std::move(one));
    }
    /// Some of those that wait are over: their callers have left.
    void forget_left() {
        std::erase_if(waiting_, [](const Statement& one) { return one->is_over(); });
    }
    /// Those that wait are served no more, by nobody here.
    std::deque<Statement> take_waiting() { return std::exchange(waiting_, {}); }

    std::size_t waiting() const noexcept { return waiting_.size(); }
    /// The one that waits longest; null if none does.
    const Statement* first() const noexcept {
        return waiting_.empty() ? nullptr : &waiting_.front();
    }

    /// Ends every event: hands out what can be handed out.
    ///
    /// Parameters: `handed(one)` is called before one is handed over; `refuse(one, why)` ends one.
    template <class Handed, class Refuse>
    void obey(time_point now, const others& beside, Handed&& handed, Refuse&& refuse) {
        hand_out(now, handed);
        refuse_too_many(refuse);
        if (draining_) {
            look_after(now, beside);
        }
    }

    // ---- connections

    /// Whether one is to be borrowed; at most one at a time is, because the pool opens more by
    /// itself when it finds the server awake.
    bool wants_another(time_point now) {
        look_at_lines();
        const bool is_wanted = !waiting_.empty() || !lines_.empty();
        const bool pauses = now < not_before_ && !lines_.empty();  // with none nobody looks again
        return is_wanted && !pauses && !(draining_ && waiting_.empty()) &&
               rules_.wants_another(seen_, opening_ ? 1 : 0, waiting_.size(), now);
    }
    /// Whether one that is being borrowed is of no use any more.
    bool wants_none() const noexcept { return opening_ && waiting_.empty() && lines_.empty(); }

    /// One is being borrowed. Returns since when that wait counts: it is no longer than those of
    /// the statements that wait for it.
    time_point opening_begins(time_point now) {
        const time_point since = std::min(now, oldest_wait());
        opening_ = opening{since, now};
        return since;
    }
    void opened(Line line, time_point now) {
        opening_.reset();
        lines_.push_back({std::move(line), 0, now, now, false});
    }
    /// None was borrowed, or it is given back at once. As long as others serve there is no hurry;
    /// else `refuse(one)` ends those that have waited as long as they may, or all if it would
    /// happen to all.
    template <class Refuse>
    void not_opened(opening_end how, time_point now, Refuse&& refuse) {
        const opening was = *std::exchange(opening_, std::nullopt);
        if (!lines_.empty()) {
            not_before_ = now + pause_after_failure;
            return;
        }
        if (how == opening_end::abandoned) {
            return;
        }
        const time_point since = how == opening_end::full ? was.began : was.since;
        for (auto& one : std::exchange(waiting_, {})) {
            if (how == opening_end::for_all || one->waits_since <= since || is_late(one, now)) {
                refuse(one);
            } else {
                waiting_.push_back(std::move(one));
            }
        }
    }

    /// A connection is shared no more. What it was given and did not send goes to another, ahead of
    /// what came later, and begins to wait anew; unless one after the other is unfit: then
    /// `refuse(one)` ends it.
    template <class Refuse>
    void line_ended(const Line& which, std::vector<Statement> unsent, line_end how, time_point now,
                    Refuse&& refuse) {
        std::erase_if(lines_, [&](const shared& one) { return one.line == which; });
        unfit_ = how == line_end::unfit ? unfit_ + 1 : how == line_end::well ? 0 : unfit_;
        if (unfit_ >= most_unfit) {
            unfit_ = 0;
            for (const Statement& one : unsent) {
                refuse(one);
            }
            return;
        }
        std::erase_if(unsent, [](const Statement& one) { return one->is_over(); });
        const auto came_first = [](const Statement& a, const Statement& b) {
            return a->came < b->came;
        };
        for (const Statement& one : unsent) {
            one->waits_since = now;
        }
        std::stable_sort(unsent.begin(), unsent.end(), came_first);
        const auto count = static_cast<std::ptrdiff_t>(unsent.size());
        waiting_.insert(waiting_.begin(), std::make_move_iterator(unsent.begin()),
                        std::make_move_iterator(unsent.end()));
        std::inplace_merge(waiting_.begin(), waiting_.begin() + count, waiting_.end(), came_first);
    }

    std::size_t lines() const noexcept { return lines_.size(); }

    // ---- the whole

    /// The pool is closed to new callers: connections go back as soon as nothing is left for them.
    void drain() noexcept { draining_ = true; }
    bool is_draining() const noexcept { return draining_; }
    /// Whether nothing is left: no statement, no connection.
    bool is_drained() const noexcept { return waiting_.empty() && lines_.empty() && !opening_; }
    /// All connections go back, once what they were given is answered.
    void retire() {
        for (shared& one : lines_) {
            end(one);
        }
    }

    // ---- time

    /// When to look again, at the latest; nothing if no time matters.
    std::optional<time_point> next_look(time_point now) {
        if (lines_.empty()) {
            next_look_.reset();
            // The pool says before that when it is too late, and why.
            return settings_.is_fixed && !waiting_.empty()
                       ? std::optional(later(later(oldest_wait(), settings_.patience),
                                             multiplexer_rules::linger))
                       : std::nullopt;
        }
        if (!next_look_) {
            next_look_ = now + multiplexer_rules::linger / (draining_ ? 10 : 2);
        }
        return next_look_;
    }
    /// That time has come, perhaps. `obey` follows.
    template <class Refuse>
    void look(time_point now, const others& beside, Refuse&& refuse) {
        const bool is_due = next_look_ && *next_look_ <= now;
        if (is_due) {
            next_look_.reset();
            look_after(now, beside);
        }
        if (is_due || lines_.empty()) {
            refuse_late(now, refuse);
        }
    }

private:
    // Before another connection is asked for, while others serve.
    static constexpr std::chrono::milliseconds pause_after_failure{500};
    // A statement goes from one connection to the next so often when none can be used at all.
    static constexpr int most_unfit = 3;

    struct shared {
        Line line;
        std::uint64_t handed;
        time_point since;
        time_point last_used;
        bool ends;

        multiplexer_rules::line seen() const {
            return {static_cast<std::size_t>(handed - line->finished()),
                    !ends && line->takes_more(), line->head_since()};
        }
    };
    struct opening {
        time_point since;  // when those came that it is for
        time_point began;
    };

    template <class Handed>
    void hand_out(time_point now, Handed&& handed) {
        look_at_lines();
        do {
            while (!waiting_.empty()) {
                if (waiting_.front()->is_over()) {
                    waiting_.pop_front();
                    continue;
                }
                const auto best = rules_.choose(seen_, now);
                if (!best) {
                    break;
                }
                shared& taker = lines_[*best];
                Statement one = std::move(waiting_.front());
                waiting_.pop_front();
                handed(one);
                ++seen_[*best].in_flight;
                ++taker.handed;
                taker.last_used = now;
                taker.line->hand_over(std::move(one));
            }
        } while (!waiting_.empty() && ask_for_room(now));
    }

    void look_at_lines() {
        seen_.clear();
        for (const shared& one : lines_) {
            seen_.push_back(one.seen());
        }
    }

    // Whether there is room by now; else it will be told.
    bool ask_for_room(time_point now) {
        for (const shared& one : lines_) {
            one.line->want_room();
        }
        look_at_lines();
        return rules_.choose(seen_, now).has_value();
    }

    template <class Refuse>
    void refuse_too_many(Refuse&& refuse) {
        if (settings_.max_waiters == 0 || waiting_.size() <= settings_.max_waiters) {
            return;
        }
        forget_left();
        while (waiting_.size() > settings_.max_waiters) {
            refuse(waiting_.back(), refusal::queue_full);
            waiting_.pop_back();
        }
    }

    bool is_late(const Statement& one, time_point now) const {
        return later(one->waits_since, settings_.patience) <= now;
    }
    // Behind the first one that was on no connection nobody waits for longer.
    static bool was_handed_back(const Statement& one) { return one->waits_since != one->came; }

    time_point oldest_wait() const {
        time_point oldest = time_point::max();
        for (const Statement& one : waiting_) {
            oldest = std::min(oldest, one->waits_since);
            if (!was_handed_back(one)) {
                break;
            }
        }
        return oldest;
    }

    // As long as no connection is open the pool says when it is too late, and why: it has a moment
    // more for that.
    template <class Refuse>
    void refuse_late(time_point now, Refuse&& refuse) {
        if (lines_.empty() && !settings_.is_fixed) {
            return;
        }
        const time_point then = lines_.empty() ? now - multiplexer_rules::linger : now;
        for (auto one = waiting_.begin(); one != waiting_.end();) {
            if ((*one)->is_over()) {
                one = waiting_.erase(one);
            } else if (is_late(*one, then)) {
                refuse(*one, refusal::late);
                one = waiting_.erase(one);
            } else if (was_handed_back(*one)) {
                ++one;
            } else {
                break;
            }
        }
    }

    void end(shared& one) {
        if (!std::exchange(one.ends, true)) {
            one.line->end();
        }
    }

    // Those who need a connection of their own would get none as long as there is something to
    // send.
    void give_way(const others& beside) {
        const bool some_wait = beside.waiting > (opening_ ? 1U : 0U);
        const bool has_all = lines_.size() >= beside.max_size;
        if (!some_wait || !has_all ||
            std::any_of(lines_.begin(), lines_.end(), [](const shared& one) { return one.ends; })) {
            return;
        }
        end(*std::min_element(lines_.begin(), lines_.end(), [](const shared& a, const shared& b) {
            return a.seen().in_flight < b.seen().in_flight;
        }));
    }

    void look_after(time_point now, const others& beside) {
        give_way(beside);
        for (shared& one : lines_) {
            const multiplexer_rules::line is = one.seen();
            const bool rests =
                is.in_flight == 0 && now - one.last_used >= multiplexer_rules::linger;
            const bool is_done = is.in_flight == 0 && draining_ && waiting_.empty();
            const bool is_old = now - one.since >= settings_.longest_lease;
            if (rests || is_done || is_old || !is.takes_more) {
                end(one);
            }
            if (is.head_since && now - *is.head_since >= multiplexer_rules::deserted) {
                one.line->cut_if_deserted();
            }
        }
    }

    const settings settings_;
    const multiplexer_rules rules_;
    std::deque<Statement> waiting_;  // by the time they came
    std::vector<shared> lines_;
    std::vector<multiplexer_rules::line> seen_;  // the same, as the rules see them
    std::optional<opening> opening_;
    time_point not_before_ = time_point::min();  // another one is opened, while others serve
    int unfit_ = 0;  // connections in a row that could not be shared at all
    std::optional<time_point> next_look_;
    bool draining_ = false;
};

}  // namespace bitdotio
