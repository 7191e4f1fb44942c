// How often one statement may be handed to a server, and what its error says after several tries.
#pragma once

#include <bitdotio/error.hpp>

#include "postgres/failure.hpp"

#include <string>
#include <utility>

namespace bitdotio {

/// Counts the tries of one statement that is a transaction of its own.
///
/// What was never sent moves on to another connection as often as it must; what was sent is sent
/// once more at most: if it provably did nothing, or may run twice.
///
/// Thread safety: none.
class statement_attempts {
public:
    explicit statement_attempts(bool may_run_twice) : may_run_twice_(may_run_twice) {}

    /// Whether to try again after this failure of the last try; if so, the next one has begun.
    bool again(const error& failure, bool rows_seen = false) {
        const bool more = wants_more(judge_statement(failure, rows_seen));
        if (failure.outcome() == outcome::unknown) {
            may_have_run_ = true;
        }
        count_ += more;
        return more;
    }

    /// The last failure, with what is known of the tries before it.
    error told(const error& failure) const {
        error all = failure.with_attempts(count_).with_woke_database(
            woke_ || failure.woke_database() || failure.code() == errc::database_asleep);
        const bool this_one_did_nothing =
            failure.outcome() == outcome::not_sent || failure.outcome() == outcome::not_executed;
        if (may_have_run_ && this_one_did_nothing) {
            all = all.with(outcome::unknown)
                      .with_message(std::string(failure.what()) +
                                    "; whether an earlier try was executed is unknown");
        }
        return all;
    }

    /// The database was found asleep, and woke.
    void woke() { woke_ = true; }

private:
    bool wants_more(verdict found) {
        switch (found) {
            case verdict::again: return count_ < most;
            case verdict::again_once: return !std::exchange(sent_again_, true);
            case verdict::once_if_idempotent:
                return may_run_twice_ && !std::exchange(sent_again_, true);
            case verdict::again_as_a_whole:
            case verdict::tell: break;
        }
        return false;
    }

    // Each found a connection that broke between the look and the sending: more is no chance.
    static constexpr int most = 20;

    const bool may_run_twice_;
    int count_ = 1;
    bool sent_again_ = false;
    bool may_have_run_ = false;
    bool woke_ = false;
};

}  // namespace bitdotio
