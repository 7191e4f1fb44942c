// Lends, judges and pauses for one call of a pool.
#include "pool/pool_attempts.hpp"

#include "postgres/failure.hpp"
#include "postgres/postgres_session.hpp"

#include <boost/asio/redirect_error.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/system/system_error.hpp>

namespace bitdotio {

error current_failure() {
    try {
        throw;
    } catch (const error& failure) {
        return failure;
    } catch (const boost::system::system_error&) {
        return error(errc::cancelled, "cancelled before it was tried again");
    }
}

pool_attempts::pool_attempts(std::shared_ptr<pool_core> core, bool may_run_twice,
                             time_point deadline, std::source_location where)
    : core_(std::move(core)),
      deadline_(deadline),
      where_(where),
      so_far_(may_run_twice, deadline, core_->wake_timeout()),
      wakes_(core_->wakes()) {}

acquire_limits pool_attempts::limits() const {
    acquire_limits limits;
    limits.until = deadline_;
    limits.newer_than = lost_at_;
    limits.goes_on = so_far_.has_failed();
    return limits;
}

asio::awaitable<pooled_connection> pool_attempts::lend() {
    return core_->acquire(where_, limits());
}

void pool_attempts::go_on(const error& failure, postgres_session* failed_on, bool rows_seen) {
    if (core_->wakes() != wakes_) {
        so_far_.woke();
    }
    const auto now = std::chrono::steady_clock::now();
    if (!so_far_.again(failure, rows_seen, now, random_fraction())) {
        throw so_far_.told(failure);
    }
    if (failure.code() == errc::connection_lost) {
        lost_at_ = now;
    }
    core_->count_retry(failure);
    if (failed_on && is_read_only_server(failure)) {
        failed_on->close();
        core_->distrust_idle();
    }
}

asio::awaitable<void> pool_attempts::pause() {
    if (so_far_.delay().count() == 0) {
        co_return;
    }
    co_await asio::this_coro::reset_cancellation_state(asio::enable_total_cancellation());
    co_await asio::this_coro::throw_if_cancelled(false);
    asio::steady_timer timer(co_await asio::this_coro::executor, so_far_.delay());
    boost::system::error_code aborted;
    co_await timer.async_wait(asio::redirect_error(asio::use_awaitable, aborted));
    if (aborted) {
        throw so_far_.told(
            error(errc::cancelled, "cancelled before it was tried again").with(outcome::not_sent));
    }
}

void pool_attempts::set_deadline(time_point deadline) {
    deadline_ = deadline;
    so_far_.set_deadline(deadline);
}

}  // namespace bitdotio
