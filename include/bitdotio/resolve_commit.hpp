// Finds out what became of a transaction whose COMMIT was not answered.
#pragma once

#include <bitdotio/error.hpp>
#include <bitdotio/pool.hpp>

#include <boost/asio/awaitable.hpp>

#include <chrono>
#include <source_location>

namespace bitdotio {

namespace asio = boost::asio;

/// Asks the server what became of a transaction after errc::commit_outcome_unknown.
///
/// A connection of the pool asks until the transaction is over; the transaction's own connection is
/// lost. outcome::executed: it is committed. outcome::not_executed: it was rolled back and will
/// never be committed. outcome::unknown: not known, because the time was up, because the server has
/// forgotten (it does after some hundred million transactions), or because the database is on
/// another server than before: one that was promoted or restored may have missed the transaction,
/// and given its number to another.
///
/// Parameters: `failure` as thrown by transaction::commit of a transaction that was begun with
///     transaction_options::resolvable; `limit` is the time for all of it; `where` it is asked, for
///     reports of who holds connections.
/// Errors: errc::bad_input if the failure has no `transaction_id()`; errc::pool_closed.
/// Cancellation: terminal, partial, total; errc::cancelled, and nothing is known.
/// Thread safety: may be called from any thread.
/// See: PostgreSQL manual, 9.26.8 "Transaction ID and Snapshot Information Functions".
asio::awaitable<outcome> resolve_commit(
    pool from, error failure, std::chrono::milliseconds limit = std::chrono::seconds(10),
    std::source_location where = std::source_location::current());

}  // namespace bitdotio
