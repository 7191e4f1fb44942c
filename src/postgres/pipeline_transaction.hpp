// A transaction whose statements are all known beforehand: one trip, and one outcome.
#pragma once

#include <bitdotio/pipeline.hpp>
#include <bitdotio/transaction.hpp>
#include <bitdotio/transaction_options.hpp>

#include <boost/asio/awaitable.hpp>

#include <memory>

namespace bitdotio {

class postgres_session;

/// BEGIN, the statements and COMMIT, ready to be sent.
///
/// Errors: errc::bad_input for options that contradict each other, and for a statement that would
///     end the transaction.
std::shared_ptr<pipeline> whole_transaction(pipeline batch, const transaction_options& options);

/// Runs what `whole_transaction` made. If it returns, all of it is committed.
///
/// Errors: the first statement's that failed, with outcome::not_executed: all of it is rolled back,
///     at the latest before the next statement; errc::commit_outcome_unknown if there was no
///     answer; errc::replication_unconfirmed; what stopped it.
/// Cancellation: terminal, partial, total.
asio::awaitable<pipeline_results> run_whole(std::shared_ptr<postgres_session> session,
                                            std::shared_ptr<const pipeline> whole);

/// Runs the same without BEGIN and COMMIT, in a transaction that is open; its end is the caller's.
///
/// Errors: as above, but for those of COMMIT.
asio::awaitable<pipeline_results> run_within(transaction& open, pipeline whole);

}  // namespace bitdotio
