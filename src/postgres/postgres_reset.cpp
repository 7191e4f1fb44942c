// A session that comes back to its pool: what its last borrower changed is undone for the next.
#include "postgres/postgres_session.hpp"

#include <string_view>
#include <utility>

namespace bitdotio {

namespace {

struct piece {
    session_change undoes;
    const char* sql;
};

// What DISCARD ALL does, which does not run in a transaction, and which would take the statements
// away that are kept prepared. First comes who we are, or the rest might not be allowed.
constexpr piece pieces[] = {
    {session_change::role, "SET SESSION AUTHORIZATION DEFAULT"},
    {session_change::role, "RESET ROLE"},
    {session_change::settings, "RESET ALL"},
    {session_change::cursors, "CLOSE ALL"},
    {session_change::listening, "UNLISTEN *"},
    {session_change::locks, "SELECT pg_catalog.pg_advisory_unlock_all()"},
    {session_change::temporary, "DISCARD TEMP"},
    {session_change::statements, "DEALLOCATE ALL"},
    {session_change::sequences, "DISCARD SEQUENCES"},
};

// What the server tells of by itself when it changes.
constexpr const char* reported[] = {"TimeZone",
                                    "DateStyle",
                                    "IntervalStyle",
                                    "client_encoding",
                                    "search_path",
                                    "is_superuser",
                                    "session_authorization",
                                    "application_name",
                                    "default_transaction_read_only",
                                    "standard_conforming_strings"};

}  // namespace

void postgres_session::remember_reports() {
    opened_with_.clear();
    for (const char* const name : reported) {
        const char* const value = PQparameterStatus(conn_.get(), name);
        opened_with_.emplace_back(value ? value : "");
    }
}

bool postgres_session::reports_changes() const {
    std::size_t index = 0;
    for (const char* const name : reported) {
        const char* const value = PQparameterStatus(conn_.get(), name);
        if (opened_with_[index++] != std::string_view(value ? value : "")) {
            return true;
        }
    }
    return false;
}

void postgres_session::reset_first(session_reset how) {
    if (!birth_.is_here() || how == session_reset::never) {
        return;
    }
    dispatch_work(strand_, [self = shared_from_this(), how]() noexcept { self->owe_reset(how); });
}

void postgres_session::owe_reset(session_reset how) {
    if (!conn_) {
        return;
    }
    reset_due_ = reset_due_ | std::exchange(changed_, session_change::none);
    if (reports_changes()) {
        reset_due_ = reset_due_ | session_change::settings | session_change::role;
    }
    if (how == session_reset::always) {
        reset_due_ = reset_due_ | session_change::all_but_statements;
    }
}

// In a pipeline, ahead of a statement and under its sync: if a piece fails the server passes over
// all up to that sync, so that the statement provably does not run. Being a transaction of its own
// it is not undone where the statement fails, and what must not run in one still runs.
bool postgres_session::send_reset() {
    const session_change due = std::exchange(reset_due_, session_change::none);
    if (has(due, session_change::statements)) {
        statements_.clear();
    }
    const auto ask = [this](const char* sql) {
        ++reset_left_;
        return PQsendQueryParams(conn_.get(), sql, 0, nullptr, nullptr, nullptr, nullptr, 0) != 0;
    };
    // Whatever isolation was made the default: a standby has no serializable.
    bool sent = ask("BEGIN ISOLATION LEVEL READ COMMITTED");
    for (const piece& one : pieces) {
        if (has(due, one.undoes)) {
            sent = sent && ask(one.sql);
        }
    }
    return sent && ask("COMMIT");
}

// Where libpq cannot send it with the statement: ahead of streams, COPY, and several statements in
// one text.
asio::awaitable<void> postgres_session::reset_now() {
    get_ready();
    plan_ = {};
    PQenterPipelineMode(conn_.get());
    const bool sent = send_reset() && libpq::send_sync(conn_.get());
    syncs_ += sent;
    check_sent(sent);
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

// Whether the answer is one of a reset, and not to be seen by anybody.
bool postgres_session::swallow(const libpq::result& answer) {
    if (reset_left_ == 0) {
        return false;
    }
    if (!answer) {
        --reset_left_;
        return true;
    }
    const ExecStatusType status = PQresultStatus(answer.get());
    if (status == PGRES_PIPELINE_SYNC) {
        return false;
    }
    if (status == PGRES_FATAL_ERROR || status == PGRES_BAD_RESPONSE) {
        const server_message said = libpq::message_of(answer.get());
        if (said.sqlstate.empty() || said.severity != "ERROR") {
            return false;  // the end of the connection
        }
        reset_failure_ = said.message + " (SQLSTATE " + said.sqlstate + ")";
    }
    return true;
}

// It is not to be used any more, and what it was to be used for did not run.
error postgres_session::unfit(const std::string& why) {
    abort();
    return error(errc::connection_lost,
                 "what its last borrower had changed in the connection could not be undone, so it "
                 "was closed: " +
                     why)
        .with(phase::sending)
        .with(outcome::not_sent);
}

// After the answers: throws if the reset among them failed.
void postgres_session::require_reset(const std::optional<error>& interrupted) {
    if (!reset_failure_) {
        return;
    }
    const error failure = unfit(*std::exchange(reset_failure_, std::nullopt));
    throw interrupted ? interrupted->with(phase::sending).with(outcome::not_sent) : failure;
}

}  // namespace bitdotio
