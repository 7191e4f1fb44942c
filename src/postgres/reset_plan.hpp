// What the last borrower of a session changed, and how that is undone for the next.
#pragma once

#include <bitdotio/session_reset.hpp>

#include "postgres/libpq.hpp"
#include "postgres/statement_words.hpp"

#include <array>
#include <cstddef>
#include <cstring>
#include <optional>
#include <string>
#include <utility>

namespace bitdotio {

/// The changes of a session that are to be undone ahead of its next statement.
///
/// Thread safety: none; it belongs to its session.
class reset_plan {
public:
    /// Looks at what the server reports of a session that was just opened.
    ///
    /// Parameters: `report` gives the value of a setting, or null.
    template <class Report>
    void begin(const Report& report) {
        for (std::size_t i = 0; i < reported.size(); ++i) {
            const char* const value = report(reported[i]);
            is_reported_[i] = value != nullptr;
            opened_with_[i] = text_of(value);
        }
    }

    /// A statement was sent that may change this.
    void note(session_change changes) noexcept { changed_ = changed_ | changes; }

    /// The session has come back: from now on what was changed is due.
    template <class Report>
    void owe(session_reset how, const Report& report) {
        due_ = due_ | std::exchange(changed_, session_change::none);
        for (std::size_t i = 0; i < reported.size(); ++i) {
            if (is_reported_[i] &&
                std::strcmp(opened_with_[i].c_str(), text_of(report(reported[i]))) != 0) {
                due_ = due_ | session_change::settings | session_change::role;
                break;
            }
        }
        if (how == session_reset::always) {
            due_ = due_ | session_change::all_but_statements;
        }
    }

    bool is_due() const noexcept { return due_ != session_change::none; }
    /// Whether what is due takes the prepared statements away.
    bool forgets_statements() const noexcept { return has(due_, session_change::statements); }

    /// Whether what is due takes temporary tables away.
    bool drops_tables() const noexcept { return has(due_, session_change::temporary); }

    /// Calls `ask` with each statement that undoes something, until it says false; none is due
    /// then. They are a transaction of their own: the first of them and the last.
    ///
    /// Their answers go to `swallow`.
    template <class Ask>
    bool send(const Ask& ask) {
        const session_change due = std::exchange(due_, session_change::none);
        // Whatever isolation was made the default: a standby has no serializable.
        bool sent = send_one(ask, "BEGIN ISOLATION LEVEL READ COMMITTED");
        for (const piece& one : pieces) {
            if (has(due, one.undoes)) {
                sent = sent && send_one(ask, one.sql);
            }
        }
        return sent && send_one(ask, "COMMIT");
    }

    /// Whether an answer, null at the end of each, is one of those, and not to be seen by anybody.
    bool swallow(const PGresult* answer) {
        if (left_ == 0) {
            return false;
        }
        if (!answer) {
            --left_;
            return true;
        }
        const ExecStatusType status = PQresultStatus(answer);
        if (status == PGRES_PIPELINE_SYNC) {
            return false;
        }
        if (status == PGRES_FATAL_ERROR || status == PGRES_BAD_RESPONSE) {
            return swallow(libpq::message_of(answer));
        }
        return true;
    }
    /// The same for a refusal, in the server's words.
    bool swallow(const server_message& said) {
        if (left_ == 0 || said.sqlstate.empty() || said.severity != "ERROR") {
            return false;  // the end of the connection
        }
        failure_ = said.message + " (SQLSTATE " + said.sqlstate + ")";
        return true;
    }

    /// What the server said against it, told once.
    std::optional<std::string> take_failure() noexcept {
        return std::exchange(failure_, std::nullopt);
    }
    void forget_failure() noexcept { failure_.reset(); }
    /// The connection has ended: there is nothing to wait for.
    void end() noexcept { left_ = 0; }

private:
    struct piece {
        session_change undoes;
        const char* sql;
    };

    // What DISCARD ALL does, which does not run in a transaction, and which would take the
    // statements away that are kept prepared. First comes who we are, or the rest might not be
    // allowed.
    static constexpr piece pieces[] = {
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
    static constexpr std::array reported{"TimeZone",
                                         "DateStyle",
                                         "IntervalStyle",
                                         "client_encoding",
                                         "search_path",
                                         "is_superuser",
                                         "session_authorization",
                                         "application_name",
                                         "default_transaction_read_only",
                                         "standard_conforming_strings"};

    static const char* text_of(const char* value) { return value ? value : ""; }

    template <class Ask>
    bool send_one(const Ask& ask, const char* sql) {
        ++left_;
        return ask(sql);
    }

    session_change changed_ = session_change::none;  // since it came back the last time
    session_change due_ = session_change::none;
    std::size_t left_ = 0;  // statements sent, not yet answered
    std::optional<std::string> failure_;
    std::array<std::string, reported.size()> opened_with_;
    std::array<bool, reported.size()> is_reported_{};
};

}  // namespace bitdotio
