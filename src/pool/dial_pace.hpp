// Decides when to dial: one probe at a time while dialling fails, more while it succeeds.
#pragma once

#include "base/backoff.hpp"
#include "postgres/failure.hpp"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <optional>
#include <utility>

namespace bitdotio {

/// The pace at which a pool dials, over successful and failed dials.
///
/// While dialling fails there is one dial at a time, with growing pauses; each success allows twice
/// as many at once. A failure that waiting does not mend is remembered for a moment, for callers
/// that come with the same mistake. A database is broken if it fails for longer than it may take to
/// wake.
///
/// Thread safety: none.
class dial_pace {
public:
    using time_point = std::chrono::steady_clock::time_point;
    using duration = std::chrono::milliseconds;

    struct settings {
        std::size_t max_connecting = 4;
        duration wake_timeout{60'000};
        duration breaker_after{60'000};  // 0: never
    };

    explicit dial_pace(settings given) : settings_(given) {}

    /// Nothing is open: the database may be asleep, and the first dial finds out.
    void start_slowly() { at_once_ = 1; }

    void succeeded() {
        woke_ = failing_since_ && !busy_;
        forget_failures();
        fatal_until_.reset();
        at_once_ =
            at_once_ > settings_.max_connecting / 2 ? settings_.max_connecting : at_once_ * 2;
    }

    void failed(dial_verdict verdict, time_point now, double jitter) {
        at_once_ = 1;
        if (verdict == dial_verdict::fatal) {
            fatal_until_ = now + remembered;
            forget_failures();
            return;
        }
        if (!failing_since_) {
            failing_since_ = now;
        }
        ++failed_;
        busy_ = verdict == dial_verdict::busy;
        const auto waited = std::chrono::duration_cast<duration>(now - *failing_since_);
        next_ = now + (busy_ ? busy_delay(failed_, jitter) : wake_delay(failed_, waited, jitter));
    }

    /// Forgets failures from long ago: nobody has tried since, so they say nothing about now.
    void forget_what_is_stale(time_point now) {
        if (failing_since_ && next_ + stale < now) {
            forget_failures();
        }
    }

    /// How many dials may be started beside those in flight.
    std::size_t allowed(time_point now, std::size_t in_flight) const {
        return rests_until(now) ? 0 : at_once_ - std::min(in_flight, at_once_);
    }

    /// When the pause ends, if there is one.
    std::optional<time_point> rests_until(time_point now) const {
        if (failing_since_ && now < next_) {
            return next_;
        }
        return is_refused(now) ? fatal_until_ : std::nullopt;
    }

    bool is_failing() const { return failing_since_.has_value(); }
    /// Dialling fails because the server has no connection left.
    bool is_busy() const { return failing_since_ && busy_; }
    /// Trying again would fail the same way as a dial just did.
    bool is_refused(time_point now) const { return fatal_until_ && now < *fatal_until_; }
    /// Dialling has failed for longer than any database takes to wake.
    bool is_broken(time_point now) const {
        return failing_since_ && settings_.breaker_after.count() != 0 &&
               *failing_since_ + std::max(settings_.breaker_after, settings_.wake_timeout) <= now;
    }

    std::optional<time_point> failing_since() const { return failing_since_; }

    /// The deadline of a waiter that leaves it to a waking database: longer than its own, and, if
    /// there is nothing else to wait for, shorter too.
    ///
    /// Parameters: `came` is when the waiter came; `asleep` whether nothing is open.
    time_point while_waking(time_point came, time_point deadline, bool asleep) const {
        if (!failing_since_ || busy_) {
            return deadline;
        }
        const time_point own =
            asleep ? std::min(deadline, came + settings_.wake_timeout) : deadline;
        return std::max(own, *failing_since_ + settings_.wake_timeout);
    }

    /// Whether the last dial ended a sleep; asked once after `succeeded`.
    bool take_woke() { return std::exchange(woke_, false); }

private:
    void forget_failures() {
        failing_since_.reset();
        failed_ = 0;
        busy_ = false;
    }

    // Long enough for callers that are on their way with the same mistake.
    static constexpr duration remembered{250};
    // Longer than any pause, so that constant callers keep what is known.
    static constexpr duration stale{30'000};

    settings settings_;
    std::size_t at_once_ = 1;
    std::size_t failed_ = 0;
    bool busy_ = false;
    bool woke_ = false;
    std::optional<time_point> failing_since_;
    std::optional<time_point> fatal_until_;
    time_point next_{};
};

}  // namespace bitdotio
