// A plain statement, asked and answered in parts.
#pragma once

#include "postgres/postgres_exchange.hpp"

#include <utility>

namespace bitdotio {

/// A plain statement in parts, for one that waits for its answer without a coroutine: made, it has
/// been sent; then it goes on with each event of the wire, until it is answered.
///
/// Thread safety: as the exchange, which it has to itself.
/// Lifetime: as what it refers to: the exchange, the statement, and its parameters.
class postgres_exchange::plain_answer {
public:
    enum class progress {
        waits,  ///< for an event
        ended,  ///< it has been answered
        stuck,  ///< all that is left is for `finish_plainly`
    };

    /// Errors: as those of `answer`; the statement is over then.
    plain_answer(postgres_exchange& whose, const statement& sql, const params& values)
        : turn_(whose), whose_(whose), sql_(sql), values_(values) {
        in_transaction_ = whose.begin_asking(sql, values, kind::extended, when_);
    }

    /// Takes in what there is without waiting.
    progress look();
    /// Calls `event` once with an error or none, beside whatever else runs, when there may be more
    /// to take in.
    template <class Event>
    void on_event(Event event) {
        whose_.wire_.on_event(std::move(event));
    }
    /// The same as `look` for the event.
    progress go_on(const boost::system::error_code& failure);
    /// The answer of what has ended.
    ///
    /// Errors: as those of `answer`.
    result take() {
        if (whose_.report_.commits()) {
            whose_.report_.require_commit(false);
        }
        return whose_.report_.take_last_answer();
    }

private:
    friend postgres_exchange;

    progress conclude();

    const turn turn_;
    postgres_exchange& whose_;
    const statement& sql_;
    const params& values_;
    phase when_ = phase::awaiting_reply;
    bool in_transaction_ = false;
    bool has_concluded_ = false;
};

}  // namespace bitdotio
