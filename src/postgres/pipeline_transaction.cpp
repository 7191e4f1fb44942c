// What became of a transaction, by what became of its statements.
#include "postgres/pipeline_transaction.hpp"

#include "postgres/postgres_session.hpp"

#include <optional>
#include <string>
#include <utility>

namespace bitdotio {

namespace {

// The first that failed by itself. Those before it failed with it: their words name it.
const error* culprit(const pipeline_results& all, std::size_t& index) {
    const error* last = nullptr;
    for (std::size_t i = 0; i < all.size(); ++i) {
        const error* const failure = all.failure(i);
        const bool own = failure && !failure->server().sqlstate.empty();
        if (own || (failure && !last)) {
            index = i;
            last = failure;
        }
        if (own) {
            break;
        }
    }
    return last;
}

error rolled_back(const error& failure, const std::string& whose) {
    return failure.with(outcome::not_executed)
        .with_message(whose +
                      " failed, and all of the transaction was rolled back: " + failure.what());
}

// Parameters: `first` is the number of the first statement of the caller's, `count` how many.
error told(const pipeline_results& all, std::size_t first, std::size_t count) {
    std::size_t index = 0;
    const error failure = *culprit(all, index);
    if (failure.code() == errc::connection_lost || failure.code() == errc::commit_outcome_unknown) {
        return failure;
    }
    if (failure.outcome() != outcome::not_executed || failure.server().sqlstate.empty()) {
        return failure;
    }
    if (index < first) {
        return failure.with_message(std::string("the transaction could not begin: ") +
                                    failure.what());
    }
    if (index >= first + count) {
        return rolled_back(failure, "COMMIT").with(phase::committing);
    }
    return rolled_back(failure, "statement " + std::to_string(index - first));
}

}  // namespace

std::shared_ptr<pipeline> whole_transaction(pipeline batch, const transaction_options& options) {
    statement begin(options.begin_statement());
    begin.unprepared();
    return std::make_shared<pipeline>(std::move(batch).as_transaction(std::move(begin)));
}

asio::awaitable<pipeline_results> run_whole(std::shared_ptr<postgres_session> session,
                                            std::shared_ptr<const pipeline> whole) {
    pipeline_results all = co_await session->run_pipeline(whole);
    if (all.succeeded()) {
        co_return std::move(all).without_ends();
    }
    // What was refused before COMMIT is open still, and failed.
    if (session->status() == session_status::in_transaction) {
        session->roll_back_first();
    }
    const std::size_t commit = all.size() - 1;
    const error failure = told(all, 1, commit - 1);
    const error* const last = all.failure(commit);
    const bool is_refused =
        failure.outcome() == outcome::not_executed && failure.server().severity == "ERROR";
    const bool is_doubtful = last && last->outcome() == outcome::unknown && !is_refused;
    if (is_doubtful) {
        throw last->with_code(errc::commit_outcome_unknown)
            .with(phase::committing)
            .with_message(std::string("whether the transaction was committed is unknown: ") +
                          last->what());
    }
    if (failure.code() == errc::replication_unconfirmed) {
        throw failure.with(phase::committing);
    }
    // Nothing is committed without its COMMIT.
    const bool unsent = all.failure(0) && all.failure(0)->outcome() == outcome::not_sent;
    throw unsent || failure.outcome() == outcome::executed ? failure
                                                           : failure.with(outcome::not_executed);
}

asio::awaitable<pipeline_results> run_within(transaction& open, pipeline whole) {
    pipeline batch = std::move(whole).without_ends();
    const std::size_t count = batch.size();
    pipeline_results all = co_await open.run(std::move(batch));
    if (!all.succeeded()) {
        throw told(all, 0, count);
    }
    co_return all;
}

}  // namespace bitdotio
