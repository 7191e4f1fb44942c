// How a transaction begins in its session (with its first statement, or ahead of it) and is ended.
#include "postgres/postgres_exchange.hpp"

#include <utility>

namespace bitdotio {

// From here on the session is in a transaction, as far as anybody but the server can tell.
void postgres_exchange::begin_first(std::string text) noexcept {
    if (wire_.is_open() && status() == session_status::in_transaction) {
        roll_back_first_ = false;  // the session was idle: there was nothing left of the one before
        report_.forget_transaction();
        begin_.owe(std::move(text));
    }
}

// What `commit` comes to for most, see postgres_plain.cpp.
asio::awaitable<void> postgres_exchange::commit_for(const strand& home) {
    const statement word("COMMIT");
    if (!is_plain(word)) {
        co_return co_await within_strand(home, commit());
    }
    const turn mine(*this);
    const params none;
    phase when = phase::committing;
    const bool in_transaction = begin_asking(word, none, kind::simple, when);
    co_await settle_for(home);
    conclude(kind::simple, when, std::nullopt, in_transaction);
    if (has_other_encoding()) {
        co_await within_strand(home, restore_encoding());
        throw changed_encoding();
    }
    report_.require_commit(true);
}

asio::awaitable<bool> postgres_exchange::end_unbegun() {
    const turn mine(*this);
    co_return drop_begin();
}

bool postgres_exchange::drop_begin() noexcept {
    if (begin_.take().empty()) {
        return false;
    }
    take_status();
    return true;
}

// Ahead of the statement that is sent next, and under its sync.
bool postgres_exchange::send_begin() {
    return begin_.send([this](const char* sql) {
        return PQsendQueryParams(wire_.conn(), sql, 0, nullptr, nullptr, nullptr, nullptr, 0) !=
                   0 &&
               PQsendFlushRequest(wire_.conn()) != 0;
    });
}

// Ahead of what libpq cannot send them with.
asio::awaitable<void> postgres_exchange::prepare_alone() {
    if (begin_.is_due()) {
        co_await begin_now();
    }
    if (reset_.is_due()) {
        co_await reset_now();
    }
}

// Where libpq cannot send it with the statement: ahead of streams, COPY, results of limited size
// and several statements in one text; and ahead of several syncs, because of those after the first
// the statements would run outside of a transaction if it were refused.
asio::awaitable<void> postgres_exchange::begin_now() {
    get_ready();
    const statement begin(begin_.take());
    const params none;
    std::optional<error> failed;
    try {
        report_.note(begin, false, false);
        send(begin, none, kind::simple);
        const auto interrupted =
            co_await supervise(settle(), deadline_after(statement_timeout_), phase::awaiting_reply);
        conclude(kind::simple, phase::awaiting_reply, interrupted, false);
        begin_.succeed();
        failed = interrupted;
    } catch (const error& failure) {
        failed = failure;
    }
    if (failed) {  // of the caller's own statement nothing was sent
        throw failed->with(phase::sending).with(outcome::not_sent);
    }
    get_ready();
}

}  // namespace bitdotio
