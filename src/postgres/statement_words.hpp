// What the words of a statement say: what it is, when it commits, and what it leaves behind in its
// session.
#pragma once

#include <string_view>

namespace bitdotio {

/// The statement's first word as it is written, comments passed over; empty if it begins otherwise.
std::string_view first_word(std::string_view sql) noexcept;

/// Whether the statement ends a transaction by making it permanent, or ready for that: COMMIT, END,
/// PREPARE TRANSACTION, COMMIT PREPARED. If its answer is lost, so is that of the transaction.
bool commits(std::string_view sql) noexcept;

/// Whether a text of several statements may make a transaction permanent; in doubt it may.
bool may_commit(std::string_view script) noexcept;

/// Whether the statement, outside a transaction, may commit a part of what it does before it
/// fails: CALL, DO, VACUUM, CREATE INDEX CONCURRENTLY and the like. Its failure then proves
/// nothing.
bool may_commit_midway(std::string_view sql) noexcept;

/// Whether the statement ends a transaction, whichever way.
bool ends_transaction(std::string_view sql) noexcept;

/// The same of one in a transaction, where ROLLBACK TO ends no more than a savepoint.
bool leaves_transaction(std::string_view sql) noexcept;

/// Whether a statement of the text ends a transaction and begins another at once: COMMIT AND CHAIN,
/// ROLLBACK AND CHAIN.
bool chains_transactions(std::string_view script) noexcept;

/// Whether the text is certainly no more than one statement; in doubt it is not.
bool is_one_statement(std::string_view script) noexcept;

/// Whether a statement, given as its text or its command tag, may change what others mean: which
/// table a name is, of which type a column. SET does not count, see `sets_search_path`; of what
/// functions do nothing is seen.
bool changes_meanings(std::string_view command) noexcept;

/// Whether a statement reads tables and views and calls no function by name: a SELECT without a
/// parenthesis. In doubt it does more.
bool only_reads(std::string_view sql) noexcept;

/// Whether a statement that changes settings may change the path on which names are looked up.
bool sets_search_path(std::string_view sql) noexcept;

/// What of its session a statement changes for those that come after it; a set.
enum class session_change : unsigned {
    none = 0,
    settings = 1,
    role = 2,
    temporary = 4,  ///< what stands in pg_temp
    listening = 8,
    locks = 16,  ///< advisory ones that no transaction ends
    cursors = 32,
    statements = 64,  ///< prepared by hand
    sequences = 128,  ///< what currval says
    all_but_statements = 191,
};

constexpr session_change operator|(session_change a, session_change b) noexcept {
    return static_cast<session_change>(static_cast<unsigned>(a) | static_cast<unsigned>(b));
}
constexpr bool has(session_change set, session_change some) noexcept {
    return (static_cast<unsigned>(set) & static_cast<unsigned>(some)) != 0;
}

/// What the statements of a text may change beyond their transaction. Words within strings and
/// comments count too, so it may say too much; what functions and procedures do is not seen,
/// but for those of PostgreSQL: set_config and the session's advisory locks. DO may do anything.
///
/// What goes back to how the session began (RESET, UNLISTEN, DISCARD, …) changes nothing.
session_change session_changes_of(std::string_view sql) noexcept;

/// What the words of one statement say, for those who keep it with its text.
struct statement_facts {
    session_change changes = session_change::none;
    bool commits = false;
    bool midway = false;    ///< see may_commit_midway
    bool meanings = false;  ///< see changes_meanings
    bool reads = false;     ///< see only_reads; and it changes nothing
};

inline statement_facts facts_of(std::string_view sql) noexcept {
    const session_change changes = session_changes_of(sql);
    const bool reads = changes == session_change::none && only_reads(sql);
    return {changes, commits(sql), may_commit_midway(sql), changes_meanings(sql), reads};
}

}  // namespace bitdotio
