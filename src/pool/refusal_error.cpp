// Words the error of a caller that got no connection.
#include "pool/refusal_error.hpp"

#include "pool/lease_book.hpp"

namespace bitdotio {

namespace {

std::string counts(const pool_picture& pool) {
    return std::to_string(pool.idle) + " idle, " + std::to_string(pool.used) + " in use, " +
           std::to_string(pool.dialling) + " being opened, at most " +
           std::to_string(pool.max_size) + ", " + std::to_string(pool.waiting) + " waiting";
}

std::string wait_of(const pool_picture& pool) {
    std::string text = "after " + lease_book::in_words(pool.waited);
    if (pool.place > 0) {
        text += " as number " + std::to_string(pool.place) + " of those who wait";
    }
    return text;
}

std::string last_dial(const pool_picture& pool) {
    return pool.last_dial ? std::string("; the last try to connect: ") + pool.last_dial->what()
                          : std::string();
}

std::string failing_for(const pool_picture& pool) {
    return pool.failing_for ? " for " + lease_book::in_words(*pool.failing_for) : std::string();
}

// A caller that holds a connection and waits for another may be waiting for itself.
std::string holders(const pool_picture& pool) {
    if (pool.holders.empty()) {
        return {};
    }
    std::string text = "; held by " + pool.holders;
    if (pool.stands_still) {
        text +=
            "; none came back meanwhile: a task that holds one and waits for another waits for "
            "itself";
    }
    return text;
}

std::string words(refusal why, const pool_picture& pool) {
    switch (why) {
        case refusal::closed: return "the pool is closed";
        case refusal::queue_full:
            return "too many callers wait for a connection already: " + counts(pool);
        case refusal::waking:
            return "the database did not wake in time: given up " + wait_of(pool) +
                   "; it has not " + "answered" + failing_for(pool) + last_dial(pool);
        case refusal::busy:
            return "the server had no connection left until the time was up: given up " +
                   wait_of(pool) + last_dial(pool);
        case refusal::fatal: return "cannot connect";
        case refusal::broken:
            return "the server has not been reachable" + failing_for(pool) +
                   ", so nobody waits for it" +
                   (pool.next_dial
                        ? "; it is tried again in " + lease_book::in_words(*pool.next_dial)
                        : std::string()) +
                   last_dial(pool);
        case refusal::timed_out: break;
    }
    return "no connection became free in time: given up " + wait_of(pool) + "; " + counts(pool) +
           holders(pool) + last_dial(pool);
}

errc code(refusal why, const pool_picture& pool) {
    switch (why) {
        case refusal::closed: return errc::pool_closed;
        case refusal::queue_full: return errc::queue_full;
        case refusal::waking: return errc::database_asleep;
        case refusal::busy: return errc::server_busy;
        case refusal::fatal: return errc::connect_failed;
        case refusal::broken:
            return pool.last_dial && judge_dial(*pool.last_dial) == dial_verdict::busy
                       ? errc::server_busy
                       : errc::connect_failed;
        case refusal::timed_out: break;
    }
    return errc::acquire_timeout;
}

}  // namespace

error refusal_error(refusal why, const pool_picture& pool) {
    if (why == refusal::fatal && pool.last_dial) {
        return pool.last_dial->with(outcome::not_sent);
    }
    const bool late = why == refusal::timed_out || why == refusal::waking || why == refusal::busy;
    error made(code(why, pool), words(why, pool));
    if (late && pool.by_caller) {
        made = made.with_code(errc::timeout)
                   .with_message(std::string("the time of the call was up before it had a "
                                             "connection: ") +
                                 made.what());
    }
    if (pool.last_dial) {
        made = made.with(pool.last_dial->server());
    }
    return made.with(phase::acquiring).with(outcome::not_sent);
}

}  // namespace bitdotio
