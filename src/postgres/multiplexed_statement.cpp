// What a caller is told that leaves before its answer has come.
#include "postgres/multiplexed_statement.hpp"

#include <string>

namespace bitdotio {

namespace {

error left_waiting(errc why) {
    const std::string what = why == errc::timeout
                                 ? "the time of the call was up while the statement waited for a "
                                   "place on a shared connection"
                                 : "the statement was cancelled while it waited for a place on a "
                                   "shared connection";
    return error(why, what).with(phase::acquiring).with(outcome::not_sent);
}

error left_sent(errc why) {
    const std::string what =
        why == errc::timeout ? "the statement took too long" : "the statement was cancelled";
    return error(why, what +
                          "; it was left to the server, because it shares its connection with "
                          "others, and whether it is executed is unknown")
        .with(phase::awaiting_reply)
        .with(outcome::unknown);
}

}  // namespace

outcome multiplexed_statement::leave(errc why) {
    const stage was = now_.exchange(stage::over);
    if (was == stage::over) {
        return outcome::executed;
    }
    const outcome known = was == stage::waiting ? outcome::not_sent : outcome::unknown;
    failure_ = was == stage::waiting ? left_waiting(why) : left_sent(why);
    tell();
    return known;
}

}  // namespace bitdotio
