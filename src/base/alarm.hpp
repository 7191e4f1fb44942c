// A timer that rings once, at the time that was set last.
#pragma once

#include "base/deadline.hpp"

#include <boost/asio/steady_timer.hpp>

#include <memory>
#include <optional>
#include <utility>

namespace bitdotio {

/// A member of an object that acts when its next time has come.
///
/// Thread safety: on its executor only, a strand.
class alarm {
public:
    template <class Executor>
    explicit alarm(const Executor& executor) : timer_(executor) {}

    /// Calls `ring` with the owner at `next`, which replaces the time set before; null for never.
    ///
    /// Parameters: `owner` has this alarm as a member, and may be gone by then. `failed` is called
    ///     with what `ring` throws; it must be noexcept.
    template <class Owner, class Ring, class Failed>
    void set(std::optional<time_point> next, std::weak_ptr<Owner> owner, Ring ring, Failed failed) {
        if (next == next_) {
            return;
        }
        next_ = next;
        timer_.cancel();
        if (!next) {
            return;
        }
        timer_.expires_at(*next);
        auto event = [this, owner = std::move(owner), ring = std::move(ring),
                      at = *next](const boost::system::error_code& failure) {
            const auto held = owner.lock();
            if (held && !failure && next_ == at) {
                next_.reset();
                ring(*held);
            }
        };
        timer_.async_wait(guarded(std::move(event), std::move(failed)));
    }

    /// Whether it rings at `when` or earlier. Ringing too early does no harm where the owner then
    /// sets it anew; setting it later each time costs more.
    bool rings_by(time_point when) const noexcept { return next_ && *next_ <= when; }

private:
    asio::steady_timer timer_;
    std::optional<time_point> next_;
};

}  // namespace bitdotio
