// The tries of one call of a pool: each on a connection of its own, all within one deadline.
#pragma once

#include <bitdotio/error.hpp>
#include <bitdotio/pool.hpp>

#include "base/deadline.hpp"
#include "pool/pool_core.hpp"
#include "postgres/statement_attempts.hpp"

#include <boost/asio/awaitable.hpp>
#include <boost/asio/steady_timer.hpp>

#include <chrono>
#include <memory>
#include <optional>
#include <source_location>
#include <utility>

namespace bitdotio {

/// The error being handled. A caller that is cancelled between two tries may not await the second:
/// Asio says so with an exception of its own.
error current_failure();

/// The tries of one call, on connections of its pool.
///
/// Thread safety: one thread at a time.
class pool_attempts {
public:
    /// Parameters: `deadline` of the call, waiting for connections included; `where` it was made.
    pool_attempts(std::shared_ptr<pool_core> core, bool may_run_twice, time_point deadline,
                  std::source_location where);

    asio::awaitable<pooled_connection> lend();
    /// Lends, runs and gives back.
    asio::awaitable<result> run(statement_try& one) {
        one.limits = limits();
        return core_->run(one);
    }

    /// Returns if there is to be another try; otherwise throws the failure, which happened on the
    /// session `failed_on`. A next try is awaited with `pause`, once nothing of this one is left.
    void go_on(const error& failure, postgres_session* failed_on, bool rows_seen = false);
    asio::awaitable<void> pause();

    /// Sets the time that is left as the timeout, where the call has a deadline.
    template <class Sent>
    void limit(Sent& sent) const {
        if (deadline_ != no_deadline) {
            sent.timeout(left_until(deadline_));
        }
    }
    time_point deadline() const { return deadline_; }
    /// The deadline of the next step, of a stream.
    void set_deadline(time_point deadline);

    /// What is said of the next wait for a connection.
    acquire_limits limits() const;

private:
    const std::shared_ptr<pool_core> core_;
    time_point deadline_;
    const std::source_location where_;
    statement_attempts so_far_;
    time_point lost_at_ = time_point::min();
    const std::uint64_t wakes_;
};

}  // namespace bitdotio
