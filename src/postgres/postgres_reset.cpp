// What statements change in their session for those that come after them, and how that is undone.
#include "postgres/postgres_exchange.hpp"
#include "postgres/statement_words.hpp"

#include <utility>

namespace bitdotio {

void postgres_exchange::reset_first(session_reset how) {
    // Looking through what the server reports costs as much as all else that a return does.
    const bool may_be_changed = std::exchange(may_be_changed_, false);
    if (wire_.is_open() && (may_be_changed || how == session_reset::always)) {
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
    if (std::exchange(path_changed_, false) || reset_.drops_tables()) {
        wire_.statements().forget_inferred();  // names mean something else again
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

// A statement has been sent.
void postgres_exchange::note_changes(const std::string& sql, session_change changes) {
    const statement_facts* const known = wire_.known();
    may_be_changed_ = may_be_changed_ || !known || !known->reads;
    reset_.note(changes);
    if (has(changes, session_change::role) ||
        (has(changes, session_change::settings) && sets_search_path(sql))) {
        meanings_changed_ = true;
        path_changed_ = true;
    }
}

// A statement has been run.
void postgres_exchange::note_meanings(std::string_view command_tag) {
    if (command_tag == "ROLLBACK") {
        meanings_changed_ = meanings_changed_ || changed_in_transaction_;
    } else if (changes_meanings(command_tag)) {
        meanings_changed_ = true;
        changed_in_transaction_ = true;
    } else if (command_tag == "COMMIT") {
        changed_in_transaction_ = false;
    }
}

// Which types the server once inferred for parameters is not taken for true any more.
void postgres_exchange::forget_meanings() {
    if (std::exchange(meanings_changed_, false)) {
        wire_.statements().forget_inferred();
        types_.forget();
    }
}

error postgres_exchange::changed_encoding() {
    return error(errc::bad_input,
                 "the statement changed client_encoding, and this library reads and writes UTF-8 "
                 "alone: the encoding was set back; convert with convert_from and convert_to")
        .with(phase::replied)
        .with(outcome::executed);
}

// The server tells when it speaks another encoding than ours, which nothing here could read.
asio::awaitable<void> postgres_exchange::restore_encoding() {
    get_ready();
    const statement back("SET client_encoding TO 'UTF8'");
    const params none;
    send(back, none, kind::simple);
    const auto interrupted =
        co_await supervise(settle(), deadline_after(cancel_timeout_), phase::sending);
    const bool in_transaction = PQtransactionStatus(wire_.conn()) != PQTRANS_IDLE;
    conclude(kind::simple, phase::sending, interrupted, in_transaction);
    if (interrupted || !wire_.speaks_utf8()) {
        abort();
        throw changed_encoding();
    }
}

}  // namespace bitdotio
