// A transaction: committed by `commit`, rolled back otherwise.
#pragma once

#include <bitdotio/copy.hpp>
#include <bitdotio/named.hpp>
#include <bitdotio/open_part.hpp>
#include <bitdotio/params.hpp>
#include <bitdotio/pipeline.hpp>
#include <bitdotio/result.hpp>
#include <bitdotio/row_stream.hpp>
#include <bitdotio/statement.hpp>
#include <bitdotio/transaction_options.hpp>

#include <boost/asio/awaitable.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

namespace bitdotio {

namespace asio = boost::asio;

/// An open transaction on a connection, or one nested in another.
///
/// A transaction that is destroyed unfinished is rolled back before anyone uses its connection
/// again: in the pool, off the caller's path; on a connection of your own, before its next
/// statement; a nested one before the next statement of the transaction around it.
///
/// BEGIN is sent with the first statement, see connection::begin and pool::begin. Once the server
/// has answered it, nothing is retried inside a transaction: after errc::connection_lost it is
/// gone, and all of it must be run again, as retry_transaction does. A loss while COMMIT is under
/// way is errc::commit_outcome_unknown, also where COMMIT is run as a statement.
///
/// A statement of yours may end it (COMMIT, ROLLBACK, PREPARE TRANSACTION; alone, in a script, last
/// in a pipeline): then it is over, and all else with it or with those nested in it fails with
/// errc::protocol_violated before anything is sent. COMMIT AND CHAIN and ROLLBACK AND CHAIN, which
/// would go on in another transaction, are errc::bad_input.
///
/// Thread safety: as its connection: from any thread, one operation at a time.
class transaction {
public:
    /// No transaction: every use fails with errc::protocol_violated, as of one moved from.
    transaction() noexcept = default;
    /// Made by `begin`.
    explicit transaction(wire::open_part<transaction_scope> open) noexcept;

    /// As connection::query. After a statement failed, only `rollback` makes sense: the server
    /// answers all else with SQLSTATE 25P02. Put what may fail into a nested transaction.
    ///
    /// Errors: those of connection::query; errc::protocol_violated if the transaction is over, or a
    ///     nested one is open.
    /// Cancellation: terminal, partial, total. Like a failed statement, a cancelled one leaves only
    ///     `rollback`. This applies to all that is run in a transaction.
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
    asio::awaitable<result> run(statement sql, params values);
    /// Errors: errc::bad_input, and nothing is sent, if a statement but the last would end the
    ///     transaction: the rest would run outside of any.
    asio::awaitable<pipeline_results> run(pipeline batch);

    /// As connection::script, as part of this transaction: several statements in one text, such as
    /// a migration. Whether one of them ends the transaction is only guessed: retry_transaction
    /// runs nothing again after a text that has COMMIT, END or PREPARE anywhere, even in a word.
    asio::awaitable<std::vector<result>> script(statement sql);

    /// As `query`; returns how many rows were affected.
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

    /// As connection::stream. If it is dropped midway, the rest of its rows is read and discarded,
    /// because stopping the statement would end the transaction; a cursor does not need even that.
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
    asio::awaitable<copy_in> copy_from(statement sql);
    asio::awaitable<copy_out> copy_to(statement sql);

    /// Begins a nested transaction, a savepoint. Until it ends, this one cannot be used.
    ///
    /// Errors and cancellation: as for `query`.
    /// See: PostgreSQL manual, SQL command SAVEPOINT.
    asio::awaitable<transaction> begin();

    /// Makes it permanent; a nested transaction becomes part of the one around it.
    ///
    /// Errors: errc::commit_outcome_unknown if the connection broke, the deadline passed or the
    ///     caller cancelled while COMMIT was under way and the server did not answer, with a
    ///     `transaction_id()` for resolve_commit if transaction_options::resolvable is set;
    ///     errc::replication_unconfirmed if it is committed and the server was kept from waiting
    ///     for its synchronous standby; errc::timeout or cancelled with outcome::executed if that
    ///     was this side's deadline or cancellation; errc::query_failed or transaction_conflict if
    ///     a statement had failed before and the server rolled back, with that failure's SQLSTATE.
    /// Cancellation: terminal, partial, total. A cancellation before COMMIT was sent rolls back; a
    ///     later one that finds it committed changes nothing.
    asio::awaitable<void> commit();

    /// Undoes the transaction. A lost connection has already undone it: that is not an error.
    ///
    /// Errors: errc::protocol_violated if it is over; errc::timeout or cancelled: it is then rolled
    ///     back before the next statement.
    /// Cancellation: terminal, partial, total, see Errors.
    asio::awaitable<void> rollback();

    /// Whether neither commit nor rollback was called, and no statement has ended it.
    bool is_open() const noexcept;

    /// What its cursors, large objects and retries share with it; not for use by others.
    ///
    /// Errors: errc::protocol_violated if it is over.
    const std::shared_ptr<transaction_scope>& scope() const;
    std::size_t level() const noexcept { return open_.number(); }

private:
    asio::awaitable<std::uint64_t> count(statement sql, params values);
    asio::awaitable<row_stream> start_stream(statement sql, params values);

    wire::open_part<transaction_scope> open_;
};

}  // namespace bitdotio
