// How a pool grows, shrinks and waits: each option, its default and the reason for it.
#pragma once

#include <bitdotio/observer.hpp>
#include <bitdotio/session_reset.hpp>

#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>

namespace bitdotio {

/// What the timeout of a statement or a pipeline covers in a pool.
enum class timeout_scope {
    whole_call,       ///< Waiting for a connection, waking the database, and sending again too.
    statement_alone,  ///< What runs on a connection, as on one of your own, once for each try.
};

// Not aggregates, on purpose: g++ 12 destroys aggregate temporaries twice inside a co_await
// expression. Make one, set its members, pass it.

/// How single statements of many callers share connections; see pool_options::multiplex.
///
/// Thread safety: a value.
struct multiplexing {
    multiplexing() = default;
    multiplexing(std::size_t most_connections, std::size_t most_in_flight)
        : connections(most_connections), in_flight(most_in_flight) {}

    /// The most connections that statements share, of those that the pool may have. Another one is
    /// borrowed when 16 statements are in flight on each, or when those are slow.
    std::size_t connections = 4;
    /// The most statements that are sent on one connection and not yet answered. If it breaks, so
    /// many may have an unknown outcome.
    std::size_t in_flight = 64;
};

/// How a pool grows, shrinks and waits.
///
/// Thread safety: a value.
struct pool_options {
    pool_options() = default;

    /// Connections to keep open. 0, because an open connection keeps a database awake.
    std::size_t min_size = 0;
    /// The most connections. Must be greater than `min_size`.
    std::size_t max_size = 100;
    /// How long `acquire` may wait, 30 s if not set. While the database is waking, and only if this
    /// is not set, `connect_options::wake_timeout` decides instead, whether longer or, with nothing
    /// open, shorter.
    std::optional<std::chrono::milliseconds> acquire_timeout;
    /// Whether a timeout that the caller gives to a statement or a pipeline limits its whole call
    /// to the pool: a caller that says 500 ms is told after 500 ms.
    timeout_scope timeouts = timeout_scope::whole_call;
    /// An idle connection is closed after this time, so that the database may sleep. Slightly below
    /// the five minutes after which the service closes it; `serverless()` sets less.
    std::chrono::milliseconds idle_timeout{290'000};
    /// The most callers that may wait; further ones fail with errc::queue_full. 0 means no limit.
    std::size_t max_waiters = 0;
    /// The most attempts to connect at once while all is well. More would make a thundering herd of
    /// a cold start.
    std::size_t max_connecting = 4;
    /// How long cleaning up a returned connection may take before it is cut.
    std::chrono::milliseconds return_timeout{2'000};
    /// A connection is closed at this age, once nobody uses it: this frees what has piled up in its
    /// backend, and spreads connections anew over servers that share a name.
    std::chrono::milliseconds max_lifetime{1'800'000};
    /// The part of max_lifetime by which each connection's own is longer or shorter, at random, so
    /// that connections opened together do not end together. At most 0.5.
    double lifetime_jitter = 0.1;
    /// A connection that was silent for this time is probed, with one round trip without a
    /// statement, before it is lent: networks forget silent connections without a word. 0 means
    /// never. Connections through a Unix socket, where nothing is forgotten, are never probed.
    std::chrono::milliseconds probe_after{30'000};
    /// How long a probe may take.
    std::chrono::milliseconds probe_timeout{1'000};
    /// After connecting has failed for this long (and longer than connect_options::wake_timeout),
    /// with no connection open, `acquire` fails at once with the cause, while the pool tries on as
    /// often as before, as long as somebody asks. 0 means that every caller waits for its turn to
    /// time out.
    std::chrono::milliseconds breaker_after{60'000};
    /// A connection held for longer is reported to the observer, with the place where it was
    /// acquired. 0 means that none is reported.
    std::chrono::milliseconds leak_after{0};
    /// Says that the database is meant to sleep, so that the observer is warned of what keeps it
    /// awake: a minimum of connections.
    bool lets_sleep = false;
    /// Is told what the pool does; empty for nobody. See also prometheus.hpp.
    std::shared_ptr<pool_observer> observer;
    /// Settings, roles, temporary tables, LISTEN, session locks and the like must not reach the
    /// next borrower. `smart` undoes those that the texts of the statements, or the server's
    /// reports, show to have changed; it costs no round trip, because it is sent ahead of the next
    /// borrower's first statement. `always` undoes them each time, for programs whose functions
    /// change a session unseen; `never` leaves all as it is.
    session_reset reset = session_reset::smart;

    /// Lets `query` and `execute` of the pool send single statements over few connections without
    /// waiting for the answers to those before, a sync each. What begins a transaction, changes its
    /// session, defines, streams, copies or locks gets a connection of its own as always. A caller
    /// that is cancelled, or whose time is up, leaves at once, and its statement is not stopped on
    /// the server. Not set: each statement has a connection to itself while it runs.
    std::optional<multiplexing> multiplex;

    /// A preset for databases that sleep: idle connections close after 120 s, and `lets_sleep`.
    static pool_options serverless();

    /// Errors: errc::bad_input naming the option and its range.
    void check() const;
};

}  // namespace bitdotio
