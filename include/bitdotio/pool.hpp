// A pool shares connections of one database: it lends, takes back and replaces them.
#pragma once

#include <bitdotio/connect_options.hpp>
#include <bitdotio/connection.hpp>
#include <bitdotio/placed_statement.hpp>
#include <bitdotio/pool_options.hpp>
#include <bitdotio/transaction.hpp>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <source_location>
#include <type_traits>
#include <utility>

namespace bitdotio {

namespace asio = boost::asio;

class pool_core;

/// A connection on loan from a pool; its destructor gives it back.
///
/// A connection that comes back in a transaction is rolled back, a broken one is replaced, all off
/// the caller's path.
///
/// Thread safety: as connection. Lifetime: may outlive the `pool` handle it came from.
class pooled_connection {
public:
    /// No connection.
    pooled_connection() noexcept = default;
    /// Made by `acquire`.
    pooled_connection(std::shared_ptr<pool_core> pool, std::shared_ptr<postgres_session> session);
    pooled_connection(pooled_connection&&) noexcept = default;
    pooled_connection& operator=(pooled_connection&& other) noexcept;
    ~pooled_connection();

    connection& operator*() noexcept { return connection_; }
    connection* operator->() noexcept { return &connection_; }

    /// Gives the connection back before the handle is destroyed.
    void release() noexcept;

private:
    std::shared_ptr<pool_core> pool_;
    connection connection_;
};

/// Counts of a pool at one moment, and since it was made.
///
/// OpenTelemetry calls the first ones db.client.connection.count (state idle or used),
/// db.client.connection.max and db.client.connection.pending_requests.
///
/// Thread safety: a value.
struct pool_statistics {
    std::size_t idle = 0;
    std::size_t used = 0;
    std::size_t connecting = 0;
    std::size_t probing = 0;  ///< idle connections that are being probed
    std::size_t waiting = 0;
    std::size_t max_size = 0;
    bool waking = false;  ///< The database does not answer yet and is being probed.
    bool broken = false;  ///< Has not answered for so long that callers are refused at once.

    std::uint64_t acquired = 0;  ///< connections lent
    std::uint64_t refused = 0;   ///< callers who got none: timeout, asleep, queue full, …
    std::uint64_t connects = 0;  ///< tries to connect, failed ones included
    std::uint64_t opened = 0;    ///< connections opened
    std::uint64_t probes = 0;    ///< probes sent
    std::uint64_t replaced = 0;  ///< found dead while idle, at the look before lending, by a probe
    std::uint64_t closed_idle = 0;    ///< closed by the idle timeout
    std::uint64_t closed_aged = 0;    ///< closed at the end of their lifetime
    std::uint64_t closed_broken = 0;  ///< came back broken, or were not cleaned up in time
    std::uint64_t evicted = 0;        ///< closed because others showed that they are of no use
    std::uint64_t retried = 0;        ///< statements sent again
    std::uint64_t rolled_back = 0;    ///< returned in a transaction, or in the middle of something
    std::uint64_t wakes = 0;          ///< times the database was found asleep and woke
    std::uint64_t cancels = 0;        ///< requests to the server to stop a statement
    std::uint64_t leaked = 0;         ///< held for longer than pool_options::leak_after
};

/// A pool of connections to one database. A handle: copies share the pool.
///
/// It starts empty, connects when someone waits, keeps what comes back for the next (the most
/// recently used first, so that the others age), and closes what idles too long. A sleeping
/// database is a normal state: one connection attempt at a time probes it, and callers wait in the
/// order they came.
///
/// Thread safety: its functions may be called from any thread.
/// Lifetime: connections on loan keep the pool alive. Await `close()` before the executor ends.
///     After fork() the child must not touch it: make a new pool there.
class pool {
public:
    /// Errors: errc::bad_input for invalid options.
    pool(asio::any_io_executor executor, connect_options connect,
         pool_options options = pool_options());

    /// Lends a connection: an idle one, else a new one, else the next to come back.
    ///
    /// Callers that must wait are served in the order they came. If the database is asleep, the
    /// first caller's connection wakes it and the others wait. Whether an idle connection is alive
    /// is checked without a round trip; a dead one is replaced silently.
    ///
    /// A connection that was silent for pool_options::probe_after is probed first.
    ///
    /// Parameters: `where` the connection is acquired, for reports; the place of the call.
    /// Errors: errc::pool_closed; errc::queue_full; errc::acquire_timeout, database_asleep or
    ///     server_busy after pool_options::acquire_timeout, saying why and, if all connections
    ///     are lent, who has held them longest; errc::connect_failed or server_busy at once
    ///     after pool_options::breaker_after; any fatal error of opening, to all waiters at once.
    /// Cancellation: terminal, partial, total. A cancelled wait leaves the pool as it was.
    asio::awaitable<pooled_connection> acquire(
        std::source_location where = std::source_location::current());

    /// Runs one statement on a connection of the pool, in a transaction of its own.
    ///
    /// If the connection turns out to be dead and the statement was not sent, it moves on to
    /// another; if it was sent and provably not executed, it is sent once more; if the outcome is
    /// unknown, only if its marks allow it: statement::idempotent, statement::read_only. A write
    /// that the server refuses (SQLSTATE 25006) is sent once more on a new connection, which leads
    /// elsewhere after a failover. The caller sees a slower statement.
    ///
    /// The timeout of the statement is that of the call: waiting for a connection, waking the
    /// database and sending again included, see pool_options::timeouts.
    ///
    /// Errors and cancellation: those of `acquire` and connection::query, with the number of
    ///     `attempts()`. `outcome()` covers all of them. errc::timeout with phase::acquiring and
    ///     outcome::not_sent if the time of the call was up before it had a connection.
    template <class... Values>
    asio::awaitable<result> query(wire::placed_statement sql, const Values&... values) {
        wire::bound bound(std::move(sql.sql), values...);
        return run(std::move(bound.sql), std::move(bound.values), sql.where);
    }
    template <class... Values>
        requires wire::with_temporary_aggregate<Values...> asio::awaitable<result> query(
            wire::placed_statement sql, Values&&... values) {
            wire::refuse_temporary_aggregate<Values...>();
            return query(std::move(sql), std::as_const(values)...);
        }
    asio::awaitable<result> run(statement sql, params values,
                                std::source_location where = std::source_location::current());

    /// As `query`, its errors and cancellation too; returns how many rows were affected.
    template <class... Values>
    asio::awaitable<std::uint64_t> execute(wire::placed_statement sql, const Values&... values) {
        wire::bound bound(std::move(sql.sql), values...);
        return count(std::move(bound.sql), std::move(bound.values), sql.where);
    }
    template <class... Values>
        requires wire::with_temporary_aggregate<Values...> asio::awaitable<std::uint64_t> execute(
            wire::placed_statement sql, Values&&... values) {
            wire::refuse_temporary_aggregate<Values...>();
            return execute(std::move(sql), std::as_const(values)...);
        }

    /// As connection::run, on a connection of the pool, which comes back at the end. Only a
    /// pipeline of which nothing was sent moves on to another connection. Its timeout is that of
    /// the call, as for `query`.
    ///
    /// Errors and cancellation: those of `acquire` and of connection::run.
    asio::awaitable<pipeline_results> run(
        pipeline batch, std::source_location where = std::source_location::current());
    /// As connection::stream, on a connection of the pool, which comes back at the end. Runs again
    /// as `query` does, also when the first call of row_stream::next finds the failure, but never
    /// after a row has been handed out. The timeout of the statement is that of each step: of this
    /// call, waiting for a connection included, and of each row_stream::next.
    ///
    /// Errors and cancellation: as for `query`.
    template <class... Values>
    asio::awaitable<row_stream> stream(wire::placed_statement sql, const Values&... values) {
        wire::bound bound(std::move(sql.sql), values...);
        return start_stream(std::move(bound.sql), std::move(bound.values), sql.where);
    }
    template <class... Values>
        requires wire::with_temporary_aggregate<Values...> asio::awaitable<row_stream> stream(
            wire::placed_statement sql, Values&&... values) {
            wire::refuse_temporary_aggregate<Values...>();
            return stream(std::move(sql), std::as_const(values)...);
        }

    /// Begins a transaction on a connection of the pool, which comes back when it ends.
    ///
    /// BEGIN is sent with the transaction's first statement, as by connection::begin. If the
    /// connection is lost before the server has answered BEGIN, transaction and statement begin
    /// again on another one.
    ///
    /// Errors and cancellation: those of `acquire` and connection::query; errc::timeout after
    ///     transaction_options::begin_timeout.
    asio::awaitable<bitdotio::transaction> begin(
        transaction_options options = transaction_options(),
        std::source_location where = std::source_location::current());

    /// Runs `work(transaction&)`, an awaitable, in a transaction: commits when it ends well, rolls
    /// back when it throws, and passes on what it returns or throws. It runs once, see
    /// retry_transaction. If `work` commits or rolls back itself, the transaction ends there.
    ///
    /// Parameters: a named callable; a temporary would be destroyed while it runs.
    /// Errors: those of `begin`, of `work`, and of transaction::commit. Unknown outcomes of commit
    ///     are settled first if transaction_options::resolvable is set: as success, or as
    ///     errc::connection_lost with outcome::not_executed.
    /// Cancellation: terminal, partial, total; the transaction is rolled back.
    template <class Work>
    auto transaction(Work& work, transaction_options options = transaction_options(),
                     std::source_location where = std::source_location::current())
        -> std::invoke_result_t<Work&, bitdotio::transaction&>;
    // Name the callable on the line before, then pass it.
    template <class Work>
    void transaction(Work&& work, transaction_options options = transaction_options()) requires(
        !std::is_lvalue_reference_v<Work>) = delete;

    /// As connection::transaction with a pipeline, on a connection of the pool. The timeout of the
    /// pipeline is that of the call, as for `query`, and what provably did nothing is sent again
    /// as there. An unknown outcome is settled as above.
    ///
    /// Errors and cancellation: those of `acquire` and of connection::transaction.
    asio::awaitable<pipeline_results> transaction(
        pipeline batch, transaction_options options = transaction_options(),
        std::source_location where = std::source_location::current());

    /// What the pool is doing, and has done.
    ///
    /// Cancellation: none, it does not wait for the network.
    asio::awaitable<pool_statistics> statistics();

    /// Stops lending all connections that are open now: after credentials or addresses have
    /// changed. Lent connections stay with their borrowers and are closed afterwards.
    void reset() noexcept;

    /// Sets new limits. Surplus connections are closed as soon as nobody uses them.
    ///
    /// Errors: errc::bad_input as for pool_options.
    void resize(std::size_t min_size, std::size_t max_size);

    /// Refuses new callers, serves those who wait already, closes what nobody uses, and returns
    /// when all connections have come back and are closed. Calling it again does the same.
    ///
    /// Parameters: `drain` is how long it waits for callers and lent connections.
    /// Errors: errc::timeout if not all is over by then, saying who holds connections: callers that
    ///     still wait get errc::pool_closed, connections still lent are cut, and their users get
    ///     errc::connection_lost. The pool is closed.
    /// Cancellation: terminal, partial, total: stops waiting; the pool stays closed.
    asio::awaitable<void> close(std::chrono::milliseconds drain = std::chrono::seconds(10));

    /// Whether `close` has begun: new callers are refused for good.
    bool is_closed() const noexcept;

    /// What all copies of a pool share; not for use by others.
    const std::shared_ptr<pool_core>& core() const noexcept { return core_; }
    /// Commits, and asks the server for the outcome if it is unknown; does nothing if it has ended.
    /// For `transaction` and retry_transaction.
    asio::awaitable<void> commit(bitdotio::transaction& open,
                                 std::source_location where = std::source_location::current());

private:
    class stream_source;

    asio::awaitable<std::uint64_t> count(statement sql, params values, std::source_location where);
    asio::awaitable<row_stream> start_stream(statement sql, params values,
                                             std::source_location where);

    std::shared_ptr<pool_core> core_;
};

template <class Work>
auto pool::transaction(Work& work, transaction_options options, std::source_location where)
    -> std::invoke_result_t<Work&, bitdotio::transaction&> {
    using value = typename std::invoke_result_t<Work&, bitdotio::transaction&>::value_type;
    bitdotio::transaction open = co_await begin(std::move(options), where);
    if constexpr (std::is_void_v<value>) {
        // If it throws, `open` is abandoned: the pool rolls it back off this path.
        co_await work(open);
        co_await commit(open, where);
    } else {
        value answer = co_await work(open);
        co_await commit(open, where);
        co_return answer;
    }
}

}  // namespace bitdotio
