// What a pool reports while it works: for metrics, traces and logs.
#pragma once

#include <bitdotio/error.hpp>

#include <chrono>
#include <source_location>
#include <string_view>

namespace bitdotio {

/// Why a pool closed a connection.
enum class close_reason {
    idle,         ///< Nobody used it for pool_options::idle_timeout.
    aged,         ///< It reached its pool_options::max_lifetime.
    dead,         ///< It died while it was idle, or did not answer a probe.
    broken,       ///< It came back broken, or could not be cleaned up.
    evicted,      ///< The server ended others, or must not be written to any longer.
    pool_shrunk,  ///< pool::resize
    pool_reset,   ///< pool::reset
    pool_closed,  ///< pool::close
};

std::string_view to_string(close_reason why) noexcept;

/// What a pool calls when something happens; derive and override what is of interest.
///
/// The names follow OpenTelemetry's `db.client.connection.*` where it has one: create_time,
/// wait_time, use_time. Set it as pool_options::observer; one observer may serve several pools.
///
/// The functions are called in the middle of the pool's work: they must return soon, not throw
/// (what they throw is dropped) and not wait. They never get a password, key or bound value.
///
/// Thread safety: the calls of one pool come one at a time, except `queried` and `retried`, which
///     may come from any thread at once, as may those of different pools.
class pool_observer {
public:
    using duration = std::chrono::steady_clock::duration;

    virtual ~pool_observer() = default;

    /// A try to connect has begun.
    virtual void connecting() {}
    /// A connection was opened; `create_time` is how long its try took.
    virtual void connected(duration /*create_time*/) {}
    /// A try to connect failed.
    virtual void connect_failed(const error& /*why*/, duration /*took*/) {}
    /// The database was found asleep, and woke after this time.
    virtual void woke(duration /*after*/) {}

    /// A caller was lent a connection after `wait_time`.
    virtual void acquired(duration /*wait_time*/) {}
    /// A caller got none: errc::acquire_timeout, database_asleep, queue_full, ….
    virtual void acquire_failed(const error& /*why*/, duration /*waited*/) {}
    /// A connection came back after `use_time`.
    virtual void released(duration /*use_time*/) {}
    virtual void closed(close_reason /*why*/) {}

    /// A statement of pool::query or pool::execute has ended; all its tries are counted together.
    ///
    /// Parameters: `failure` is null if the statement succeeded.
    virtual void queried(std::string_view /*sql*/, duration /*took*/, const error* /*failure*/) {}
    /// A statement is sent once more after this failure.
    virtual void retried(const error& /*after*/) {}

    /// A connection has been held for longer than pool_options::leak_after; reported once.
    ///
    /// Parameters: `where` the connection was acquired.
    virtual void leaked(const std::source_location& /*where*/, duration /*held*/) {}
    /// Something works but is probably not intended.
    virtual void warned(std::string_view /*text*/) {}
};

}  // namespace bitdotio
