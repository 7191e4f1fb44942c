// What a failure means: by phase, SQLSTATE and the server's last state, never by localised text.
#pragma once

#include <bitdotio/error.hpp>

#include <string>
#include <string_view>

namespace bitdotio {

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

/// The error of a statement the server refused while the connection stays well: ReadyForQuery
/// came after it, so that the statement provably changed nothing.
error refused_statement(server_message message);

/// The error of a connection that broke. `reason` is the server's goodbye, if it said any.
///
/// Parameters: `when` is how far the statement had come: phase::sending before anything of it was
///     handed over, phase::awaiting_reply and phase::committing after.
error lost_connection(phase when, server_message reason, const std::string& words);

/// Whether a statement that failed so may be sent again without the caller's knowledge.
bool provably_not_executed(const error& failure) noexcept;

}  // namespace bitdotio
