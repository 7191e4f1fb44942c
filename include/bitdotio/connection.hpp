// One connection to PostgreSQL.
#pragma once

#include <bitdotio/connect_options.hpp>
#include <bitdotio/copy.hpp>
#include <bitdotio/named.hpp>
#include <bitdotio/params.hpp>
#include <bitdotio/pipeline.hpp>
#include <bitdotio/result.hpp>
#include <bitdotio/row_stream.hpp>
#include <bitdotio/statement.hpp>
#include <bitdotio/transaction_options.hpp>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

namespace bitdotio {

namespace asio = boost::asio;

class postgres_session;
class transaction;

/// A session with PostgreSQL: one statement at a time, results in memory.
///
/// Statements use the extended protocol with parameters and results in binary. A statement that is
/// run for the second time is prepared on the way and only bound from then on: see
/// connect_options::statement_cache_size. If the server forgot it, or refuses it because a table
/// changed, it is prepared anew without the caller noticing, except inside a transaction, which the
/// refusal has ended.
///
/// All operations: a deadline or a cancellation stops the statement on the server and keeps the
/// connection usable; the connection is cut only if the server does not acknowledge within
/// connect_options::cancel_timeout. The error's `outcome()` says what is known of the statement:
/// not_executed if the server said that it stopped it, unknown if not.
///
/// Thread safety: its functions may be called from any thread, one operation at a time; a second
///     one while the first is under way fails with errc::protocol_violated and disturbs nothing.
/// Lifetime: an operation under way outlives the handle. Destroying the handle closes the
///     connection in the background once nothing is under way. After fork() the child must not
///     touch it, not even destroy it.
/// See: PostgreSQL manual, chapter 34 "libpq", chapter 55 "Frontend/Backend Protocol".
class connection {
public:
    /// A closed connection.
    connection() noexcept = default;
    explicit connection(std::shared_ptr<postgres_session> session) noexcept;
    connection(connection&&) noexcept = default;
    connection& operator=(connection&& other) noexcept;
    ~connection();

    /// Opens a connection; if the database is asleep, waits for it to wake.
    ///
    /// Names are resolved without blocking. Hosts and their addresses are tried in order. A
    /// refusal, a hang-up or "starting up" counts as asleep and is tried again with growing
    /// pauses until connect_options::wake_timeout.
    ///
    /// Errors: errc::bad_input, authentication_failed, not_found, tls_failed, connect_failed at
    ///     once; errc::database_asleep or server_busy when the time is up. With SQLSTATE where
    ///     the server gave one.
    /// Cancellation: terminal, partial, total; nothing is left behind.
    /// Lifetime: it works on the executor of the coroutine that awaits this. A pool and a client,
    ///     which are made outside of coroutines too, are given theirs.
    static asio::awaitable<connection> open(connect_options options);

    /// Runs one statement with `values` bound to $1, $2, …, or by name, see `named`.
    ///
    /// Errors: errc::query_failed and transaction_conflict with the server's fields, the connection
    ///     stays usable; errc::connection_lost, timeout, cancelled with the outcome;
    ///     errc::bad_input for values that cannot be bound.
    /// Cancellation: terminal, partial, total, see above.
    template <class... Values>
    asio::awaitable<result> query(statement sql, const Values&... values) {
        wire::bound bound(std::move(sql), values...);
        return run(std::move(bound.sql), std::move(bound.values));
    }
    template <class... Values>
        requires wire::with_temporary_aggregate<Values...> asio::awaitable<result> query(
            statement sql, Values&&... values) {
            wire::refuse_temporary_aggregate<Values...>();
            return query(std::move(sql), std::as_const(values)...);
        }

    /// The same with parameters bound beforehand.
    ///
    /// Errors and cancellation: as for `query`.
    asio::awaitable<result> run(statement sql, params values);

    /// As `query`; returns how many rows were affected.
    ///
    /// Errors and cancellation: as for `query`.
    template <class... Values>
    asio::awaitable<std::uint64_t> execute(statement sql, const Values&... values) {
        wire::bound bound(std::move(sql), values...);
        return count(std::move(bound.sql), std::move(bound.values));
    }
    template <class... Values>
        requires wire::with_temporary_aggregate<Values...> asio::awaitable<std::uint64_t> execute(
            statement sql, Values&&... values) {
            wire::refuse_temporary_aggregate<Values...>();
            return execute(std::move(sql), std::as_const(values)...);
        }

    /// Runs several statements separated by semicolons, in one implicit transaction unless they
    /// say otherwise; results come in text, one for each statement.
    ///
    /// Errors and cancellation: as for `query`; no result is returned if one statement fails.
    /// See: PostgreSQL manual, 55.2.2.1 "Multiple Statements in a Simple Query".
    asio::awaitable<std::vector<result>> script(statement sql);

    /// Runs many statements in one trip to the server.
    ///
    /// The results say what became of each, also after a deadline, a cancellation or a loss of the
    /// connection: a statement that was not answered has an error whose `outcome()` tells what is
    /// known. Statements and answers may be larger than all buffers on the way.
    ///
    /// Errors: errc::bad_input for what cannot be sent; then nothing was sent.
    /// Cancellation: terminal, partial, total: unfinished statements are stopped, each with
    ///     errc::cancelled.
    asio::awaitable<pipeline_results> run(pipeline batch);

    /// Runs a statement whose rows are read piece by piece, see row_stream.
    ///
    /// Errors and cancellation: as for `query`; errors of the statement come from the stream.
    template <class... Values>
    asio::awaitable<row_stream> stream(statement sql, const Values&... values) {
        wire::bound bound(std::move(sql), values...);
        return start_stream(std::move(bound.sql), std::move(bound.values));
    }
    template <class... Values>
        requires wire::with_temporary_aggregate<Values...> asio::awaitable<row_stream> stream(
            statement sql, Values&&... values) {
            wire::refuse_temporary_aggregate<Values...>();
            return stream(std::move(sql), std::as_const(values)...);
        }

    /// Starts "COPY … FROM STDIN" or "COPY … TO STDOUT", see copy_in and copy_out.
    ///
    /// Errors: as for `query`; errc::bad_input if the statement is something else; it has run then.
    /// Cancellation: as for `query`; no COPY is open then.
    asio::awaitable<copy_in> copy_from(statement sql);
    asio::awaitable<copy_out> copy_to(statement sql);

    /// Begins a transaction; the returned object refers to this connection's session.
    ///
    /// BEGIN is sent with the transaction's first statement, whose error tells what goes wrong with
    /// it; ahead of that if the server might refuse it, or transaction_options::begin_timeout is
    /// set.
    ///
    /// Errors: those of `query`; errc::bad_input for options that contradict each other.
    /// Cancellation: as for `query`; no transaction is open then.
    asio::awaitable<bitdotio::transaction> begin(
        transaction_options options = transaction_options());

    /// Runs statements that are known beforehand as one transaction, in one trip: BEGIN, all of
    /// them, and COMMIT. If it returns, all of it is committed.
    ///
    /// Parameters: the pipeline_sync of the pipeline has no meaning here, nor has
    ///     transaction_options::begin_timeout; with transaction_options::resolvable it takes more
    ///     trips, so that a COMMIT without an answer can be settled.
    /// Errors: the error of the first statement that failed, or of COMMIT, naming which;
    ///     outcome::not_executed then says that all of it is rolled back.
    ///     errc::commit_outcome_unknown and errc::replication_unconfirmed as for
    ///     transaction::commit. errc::bad_input, and nothing is sent, for a statement that would
    ///     end the transaction.
    /// Cancellation: terminal, partial, total: as for transaction::commit, once it was sent.
    asio::awaitable<pipeline_results> transaction(
        pipeline batch, transaction_options options = transaction_options());

    /// Whether the connection is open as far as this side knows.
    bool is_open() const noexcept;
    /// The process number of the server's backend, 0 if closed. Behind a gateway it is the
    /// gateway's number for this connection.
    int backend_pid() const noexcept;

    /// Tells the server and closes, once the operation under way, if any, has ended. A closed
    /// connection stays closed; closing again does nothing.
    ///
    /// Cancellation: none, it does not wait for the network.
    asio::awaitable<void> close();

    /// The session that does the work; not for use by others.
    const std::shared_ptr<postgres_session>& session() const noexcept { return session_; }
    /// Hands the session out; this connection does not own it any more.
    std::shared_ptr<postgres_session> detach() noexcept { return std::exchange(session_, nullptr); }

private:
    asio::awaitable<std::uint64_t> count(statement sql, params values);
    asio::awaitable<row_stream> start_stream(statement sql, params values);

    std::shared_ptr<postgres_session> session_;
};

}  // namespace bitdotio
