// How often one statement may be handed to a server, and what its error says after several tries.
#pragma once

#include <bitdotio/error.hpp>

#include "base/backoff.hpp"
#include "base/deadline.hpp"
#include "postgres/failure.hpp"

#include <chrono>
#include <cstddef>
#include <string>
#include <utility>

namespace bitdotio {

/// Counts the tries of one statement that is a transaction of its own.
///
/// What may be sent again after its connection was lost, because it was never sent, did nothing, or
/// may run twice, has a budget of time: the deadline of its call, or else as long as a database may
/// take to wake, and one more try in any case. The first follows at once, further ones with growing
/// pauses. What the server refused is sent once more at most.
///
/// Thread safety: none.
class statement_attempts {
public:
    explicit statement_attempts(bool may_run_twice, time_point deadline = no_deadline,
                                std::chrono::milliseconds otherwise = std::chrono::seconds(60))
        : may_run_twice_(may_run_twice), deadline_(deadline), otherwise_(otherwise) {}

    /// Whether to try again after this failure of the last try, and after `delay()`; if so, the
    /// next one has begun.
    ///
    /// Parameters: `jitter`, in [0, 1), spreads the pauses.
    bool again(const error& failure, bool rows_seen = false,
               time_point now = std::chrono::steady_clock::now(), double jitter = 0.5) {
        const bool more = wants_more(judge_statement(failure, rows_seen), failure, now, jitter);
        if (failure.outcome() == outcome::unknown) {
            may_have_run_ = true;
        }
        count_ += more;
        return more;
    }

    /// How long to wait before the next try.
    std::chrono::milliseconds delay() const { return delay_; }
    /// Whether a try has failed.
    bool has_failed() const { return count_ > 1; }
    /// Sets the deadline of the next step of a stream.
    void set_deadline(time_point deadline) { deadline_ = deadline; }

    /// The last failure, with what is known of the tries before it.
    error told(const error& failure) const {
        error all = failure.with_attempts(count_).with_woke_database(
            woke_ || failure.woke_database() || failure.code() == errc::database_asleep);
        const bool this_one_did_nothing =
            failure.outcome() == outcome::not_sent || failure.outcome() == outcome::not_executed;
        if (may_have_run_ && this_one_did_nothing) {
            all = all.with(outcome::unknown)
                      .with_message(std::string(failure.what()) +
                                    "; whether an earlier try was executed is unknown");
        }
        return all;
    }

    /// The database was found asleep, and woke.
    void woke() { woke_ = true; }

private:
    bool wants_more(verdict found, const error& failure, time_point now, double jitter) {
        const bool lost = failure.code() == errc::connection_lost;
        delay_ = std::chrono::milliseconds(0);
        switch (found) {
            case verdict::again: return has_time(now, jitter);
            case verdict::again_once:
                return lost ? has_time(now, jitter) : !std::exchange(sent_again_, true);
            case verdict::once_if_idempotent:
                if (!may_run_twice_) return false;
                if (!lost) return !std::exchange(sent_again_, true);
                // It may be what ends them: a server must not be brought down for a minute.
                silent_ += failure.sqlstate().empty();
                return silent_ < most_silent && has_time(now, jitter);
            case verdict::again_as_a_whole:
            case verdict::tell: break;
        }
        return false;
    }

    bool has_time(time_point now, double jitter) {
        if (losses_++ == 0) {
            first_loss_ = now;
            return now < deadline_;
        }
        const auto waited =
            std::chrono::duration_cast<std::chrono::milliseconds>(now - first_loss_);
        delay_ = wake_delay(losses_ - 1, waited, jitter);
        const time_point end =
            deadline_ != no_deadline ? deadline_ : later(first_loss_, otherwise_);
        return now + delay_ < end;
    }

    // Losses of a statement under way about which the server said nothing.
    static constexpr int most_silent = 5;

    const bool may_run_twice_;
    time_point deadline_;
    const std::chrono::milliseconds otherwise_;
    int count_ = 1;
    std::size_t losses_ = 0;
    int silent_ = 0;
    time_point first_loss_{};
    std::chrono::milliseconds delay_{0};
    bool sent_again_ = false;
    bool may_have_run_ = false;
    bool woke_ = false;
};

}  // namespace bitdotio
