// What a failure means: by stage, SQLSTATE and the server's last state, never by localised text.
#pragma once

#include <bitdotio/error.hpp>

#include <string>
#include <string_view>

namespace bitdotio {

/// How far things had come when they failed: the columns of the table of failures.
enum class stage {
    connecting,
    leased,     ///< Nothing of the statement was handed over; the connection idled, or was lent.
    sent,       ///< All or part of it was, in a transaction of its own.
    rows_seen,  ///< It was, and the caller has rows of it already.
    in_transaction,  ///< It was, as part of a transaction whose COMMIT was not sent.
    committing,      ///< COMMIT was sent.
};

/// What is known of a failure.
struct failure_facts {
    /// The server's error, or its goodbye; empty if it said nothing.
    server_message said{};
    /// Whether ReadyForQuery came after it: the connection is well.
    bool ready = false;
    /// Whether the server said that it has committed and did not wait for its standby.
    bool committed = false;
    /// Whether the statement may commit before it fails, see may_commit_midway; or it is one of
    /// several, of which others may have run.
    bool midway = false;
};

/// What may be done without asking the caller: the cells of the table.
enum class verdict {
    again,               ///< Try again, on another connection.
    again_once,          ///< Try again once, on another connection.
    once_if_idempotent,  ///< The same, if the caller said that it may run twice.
    again_as_a_whole,    ///< Run the whole transaction again.
    tell,                ///< Nothing: the outcome says what is known.
};

struct judgement {
    verdict what;
    bitdotio::outcome outcome;

    friend bool operator==(const judgement&, const judgement&) = default;
};

/// The table of failures. A refusal proves something only as severity ERROR with ReadyForQuery; a
/// loss only as FATAL 57P05 or 25P03, which a backend says only while it waits for a command.
judgement judge(stage when, const failure_facts& facts) noexcept;

/// The same of an error that a statement in a transaction of its own ended with. Nothing is to be
/// done about errors of this side: bad input, deadlines, cancellations, pools without a place.
verdict judge_statement(const error& failure, bool rows_seen) noexcept;
/// The same of an error that work in a transaction, or its COMMIT, ended with.
verdict judge_transaction(const error& failure) noexcept;

/// Whether the error says that the server, or its settings, forbids to write: another connection
/// may lead to another server.
bool is_read_only_server(const error& failure) noexcept;

/// What to do after a connection could not be opened.
enum class dial_verdict {
    waking,  ///< The database is asleep or starting: wait and try again.
    busy,    ///< It has no connection left: wait longer.
    fatal,   ///< Trying again would fail the same way.
};

dial_verdict judge_dial(const error& failure) noexcept;

/// The error of a connect the server refused with a SQLSTATE.
error refused_dial(server_message message);

/// The error of a connect that failed on this side, or on the way.
///
/// Parameters: `words` are libpq's, untranslated: it has no codes for these.
error failed_dial(std::string words);

/// The error of a statement the server refused while the connection stays well.
///
/// Parameters: `midway` as in failure_facts.
error refused_statement(stage when, server_message message, bool midway = false);
/// The error of a COMMIT that the server answered with ROLLBACK, because the transaction had
/// failed with `cause` before, as far as that was seen.
error refused_commit(server_message cause);

/// The error of a connection that broke. Without the server's words it is libpq's that are told.
error lost_connection(stage when, failure_facts facts, const std::string& words);

/// The error of a statement that took effect, while its standby may not have it.
error unconfirmed_commit(stage when, server_message warning);

/// What a refusal says about a statement that was kept prepared.
enum class plan_verdict {
    fine,
    missing,   ///< The server does not know it, or knows another of its name.
    outdated,  ///< Its tables have changed.
    /// It may be understood otherwise today: names and functions (class 42), or what broke within
    /// the server (XX000).
    suspect,
    /// The same of the values that it takes (class 22), if the server chose their types.
    suspect_of_values,
};

plan_verdict judge_plan(const server_message& refusal) noexcept;

/// Whether the refusal says no more than that something in its transaction was refused before.
bool echoes_earlier(const server_message& refusal) noexcept;

/// Whether the server refused because it was asked to stop.
bool was_stopped(std::string_view sqlstate) noexcept;

/// Whether a goodbye is about one session that was idle for too long, not about the server.
bool ends_itself_only(const server_message& goodbye) noexcept;

/// What the server says without being asked.
enum class notice_verdict {
    tell,       ///< Words for the user.
    goodbye,    ///< It ends the session, and this is why.
    committed,  ///< It has committed, and does not wait for its standby any longer.
};

notice_verdict judge_notice(const server_message& notice) noexcept;

}  // namespace bitdotio
