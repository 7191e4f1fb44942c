// A session that comes back to its pool: what its last borrower changed is undone for the next.
#include "postgres/postgres_exchange.hpp"

#include <utility>

namespace bitdotio {

void postgres_exchange::reset_first(session_reset how) {
    if (wire_.is_open()) {
        reset_.owe(how, [&](const char* setting) { return wire_.reported(setting); });
    }
}

// In a pipeline, ahead of a statement and under its sync: if a piece fails the server passes over
// all up to that sync, so that the statement provably does not run. Being a transaction of its own
// it is not undone where the statement fails, and what must not run in one still runs.
bool postgres_exchange::send_reset() {
    if (reset_.forgets_statements()) {
        wire_.statements().clear();
    }
    return reset_.send([this](const char* sql) {
        return PQsendQueryParams(wire_.conn(), sql, 0, nullptr, nullptr, nullptr, nullptr, 0) != 0;
    });
}

// Where libpq cannot send it with the statement: ahead of streams, COPY, and several statements in
// one text.
asio::awaitable<void> postgres_exchange::reset_now() {
    get_ready();
    wire_.take_plan();
    wire_.enter_pipeline();
    require_sent(send_reset() && wire_.send_sync());
    status_ = session_status::busy;
    std::optional<error> interrupted;
    std::optional<error> cut;
    try {
        interrupted = co_await supervise(settle(), deadline_after(cancel_timeout_), phase::sending);
    } catch (const error& failure) {
        cut = failure;
    }
    if (cut && cut->code() == errc::timeout) {
        throw unfit("it took too long");
    }
    if (cut) {
        throw *cut;
    }
    if (interrupted && interrupted->code() == errc::timeout) {
        throw unfit("it took too long");
    }
    conclude(kind::simple, phase::sending, interrupted, false);
    if (interrupted) {  // the caller has given up before its own statement was sent
        throw interrupted->with(phase::sending).with(outcome::not_sent);
    }
}

// It is not to be used any more, and what it was to be used for did not run.
error postgres_exchange::unfit(const std::string& why) {
    abort();
    return error(errc::connection_lost,
                 "what its last borrower had changed in the connection could not be undone, so it "
                 "was closed: " +
                     why)
        .with(phase::sending)
        .with(outcome::not_sent);
}

// After the answers: throws if the reset among them failed.
void postgres_exchange::require_reset(const std::optional<error>& interrupted) {
    const auto why = reset_.take_failure();
    if (!why) {
        return;
    }
    const error failure = unfit(*why);
    throw interrupted ? interrupted->with(phase::sending).with(outcome::not_sent) : failure;
}

}  // namespace bitdotio
