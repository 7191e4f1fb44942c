// How a transaction begins: its isolation, and what it may do.
#pragma once

#include <chrono>
#include <optional>
#include <string>

namespace bitdotio {

/// How far a transaction is isolated from others.
enum class isolation_level { read_committed, repeatable_read, serializable };

/// How a transaction begins. Unset members mean the server's default.
///
/// Thread safety: a value.
/// See: PostgreSQL manual, SQL command BEGIN; 13.2 "Transaction Isolation".
struct transaction_options {
    transaction_options() = default;

    std::optional<isolation_level> isolation;
    /// If true, a write in it fails with SQLSTATE 25006.
    std::optional<bool> read_only;
    /// Waits at its beginning until it can never be refused with 40001. Only for transactions that
    /// are serializable and read only.
    bool deferrable = false;
    /// Makes errc::commit_outcome_unknown resolvable: the transaction's number is asked for before
    /// COMMIT, which costs one more trip, and a number even if nothing was written.
    /// pool::transaction and retry_transaction then settle it by themselves; other callers use
    /// resolve_commit. Needs PostgreSQL 13; on a standby it changes nothing.
    bool resolvable = false;

    /// How long its beginning may take: in a pool until it has begun on a connection, waiting for
    /// one and waking the database included. If it is set, BEGIN takes a trip of its own within
    /// that time. Not set means that BEGIN goes with the first statement and within its time, or,
    /// where it must go ahead, within connect_options::statement_timeout; zero means no limit.
    std::optional<std::chrono::milliseconds> begin_timeout;

    /// The statement that begins it.
    ///
    /// Errors: errc::bad_input if it is deferrable and not serializable and read only, which
    ///     PostgreSQL would silently ignore.
    std::string begin_statement() const;
};

}  // namespace bitdotio
