// A statement's words, comments passed over.
#include "postgres/statement_words.hpp"

#include "base/ascii.hpp"
#include "values/sql_scanner.hpp"

#include <algorithm>
#include <cstddef>
#include <initializer_list>

namespace bitdotio {

namespace {

bool begins_word(char c) {
    return ascii::is_letter(c) || c == '_';
}

// What is left behind a comment, which may hold others; all of it is one if its end is missing.
std::string_view behind_comment(std::string_view sql) {
    std::size_t depth = 0;
    for (std::size_t at = 0; at + 1 < sql.size(); ++at) {
        const std::string_view two = sql.substr(at, 2);
        if (two == "/*") {
            ++depth;
            ++at;
        } else if (two == "*/") {
            --depth;
            ++at;
        }
        if (depth == 0) {
            return sql.substr(at + 1);
        }
    }
    return {};
}

// Takes the next word away from the text; empty if something else comes first.
std::string_view next_word(std::string_view& sql) {
    while (!sql.empty()) {
        if (sql.starts_with("--")) {
            sql.remove_prefix(std::min(sql.find('\n'), sql.size()));
        } else if (sql.starts_with("/*")) {
            sql = behind_comment(sql);
        } else if (std::string_view(" \t\r\n\f\v;").find(sql.front()) != sql.npos) {
            sql.remove_prefix(1);
        } else {
            break;
        }
    }
    const auto end = std::find_if_not(sql.begin(), sql.end(), begins_word);
    const std::string_view word = sql.substr(0, static_cast<std::size_t>(end - sql.begin()));
    sql.remove_prefix(word.size());
    return word;
}

bool says(std::string_view sql, std::string_view capitals) {
    return std::search(sql.begin(), sql.end(), capitals.begin(), capitals.end(),
                       ascii::same_letters) != sql.end();
}

bool is_one_of(std::string_view word, std::initializer_list<std::string_view> capitals) {
    return std::any_of(capitals.begin(), capitals.end(), [word](std::string_view one) {
        return ascii::equal_ignoring_case(word, one);
    });
}

bool begins(std::string_view word, std::string_view capitals) {
    return ascii::equal_ignoring_case(word.substr(0, capitals.size()), capitals);
}

// What is asked of every statement is answered for most by their first letter: whether the first
// word of this one begins with another letter than these.
bool begins_otherwise(std::string_view sql, std::string_view capitals) {
    return !sql.empty() && ascii::is_letter(sql.front()) &&
           capitals.find(ascii::to_upper(sql.front())) == std::string_view::npos;
}

// Takes away the word the text begins with.
std::string_view take_word(std::string_view& sql) {
    const auto end = std::find_if_not(sql.begin(), sql.end(), ascii::is_word);
    const std::string_view word = sql.substr(0, static_cast<std::size_t>(end - sql.begin()));
    sql.remove_prefix(word.size());
    return word;
}

bool begins_with_chain(std::string_view sql) {
    if (!is_one_of(next_word(sql), {"COMMIT", "END", "ROLLBACK", "ABORT"})) {
        return false;
    }
    std::string_view word = next_word(sql);
    if (is_one_of(word, {"WORK", "TRANSACTION"})) {
        word = next_word(sql);
    }
    return ascii::equal_ignoring_case(word, "AND") &&
           ascii::equal_ignoring_case(next_word(sql), "CHAIN");
}

session_change changed_by_set(std::string_view rest) {
    std::string_view what = next_word(rest);
    if (what.empty()) {  // a quoted name
        return session_change::settings | session_change::role;
    }
    std::string_view behind = rest;
    if (next_word(behind).empty() && behind.starts_with('.')) {
        return session_change::settings;  // SET local.foo
    }
    if (is_one_of(what, {"LOCAL", "TRANSACTION", "CONSTRAINTS"})) {
        return session_change::none;
    }
    if (ascii::equal_ignoring_case(what, "SESSION")) {
        what = next_word(rest);
        behind = rest;
        if (what.empty()) {
            return session_change::settings | session_change::role;
        }
        if (next_word(behind).empty() && behind.starts_with('.')) {
            return session_change::settings;
        }
    }
    return is_one_of(what, {"ROLE", "AUTHORIZATION", "SESSION_AUTHORIZATION"})
               ? session_change::role
               : session_change::settings;
}

// By the word a statement begins with, and those behind it.
session_change changed_by_statement(std::string_view first, std::string_view rest) {
    if (ascii::equal_ignoring_case(first, "SET")) return changed_by_set(rest);
    if (ascii::equal_ignoring_case(first, "DO")) return session_change::all_but_statements;
    if (ascii::equal_ignoring_case(first, "LISTEN")) return session_change::listening;
    if (ascii::equal_ignoring_case(first, "LOAD")) return session_change::settings;
    if (ascii::equal_ignoring_case(first, "PREPARE") &&
        !ascii::equal_ignoring_case(next_word(rest), "TRANSACTION")) {
        return session_change::statements;
    }
    return session_change::none;
}

// What is remembered of the words of a statement.
struct words_so_far {
    std::string_view first{};
    std::string_view before{};
    bool updates = false;
};

// By a word anywhere in a statement, and those before it.
session_change changed_by_word(const words_so_far& said, std::string_view word) {
    switch (ascii::to_upper(word.front())) {
        case 'H':
            if (ascii::equal_ignoring_case(word, "HOLD") &&
                ascii::equal_ignoring_case(said.before, "WITH"))
                return session_change::cursors;
            break;
        case 'N':
            if (ascii::equal_ignoring_case(word, "NEXTVAL")) return session_change::sequences;
            break;
        case 'P':
            if (begins(word, "PG_ADVISORY_LOCK") || begins(word, "PG_TRY_ADVISORY_LOCK")) {
                return session_change::locks;
            }
            if (begins(word, "PG_TEMP")) return session_change::temporary;
            if (ascii::equal_ignoring_case(word, "PG_SETTINGS") && said.updates) {
                return session_change::settings | session_change::role;
            }
            if (ascii::equal_ignoring_case(word, "PREPARE") &&
                ascii::equal_ignoring_case(said.first, "DO"))
                return session_change::statements;
            break;
        case 'S':
            if (ascii::equal_ignoring_case(word, "SET_CONFIG"))
                return session_change::settings | session_change::role;
            if (ascii::equal_ignoring_case(word, "SETVAL")) return session_change::sequences;
            break;
        case 'T':
            if (is_one_of(word, {"TEMP", "TEMPORARY"}) &&
                (ascii::equal_ignoring_case(said.first, "CREATE") ||
                 is_one_of(said.before, {"CREATE", "REPLACE", "INTO", "LOCAL", "GLOBAL"}))) {
                return session_change::temporary;
            }
            break;
        default: break;
    }
    return session_change::none;
}

// Goes through the words of a text, statement by statement. Within quotes and comments a statement
// may begin behind a semicolon only: whether they are quotes at all depends on a setting.
class change_finder {
public:
    session_change found() const { return found_; }

    void read(std::string_view text, bool begins_here) {
        words_so_far said;
        if (begins_here) {
            begin(text, said);
        }
        sql::scanner scan(text);
        std::size_t at = 0;
        while (!scan.at_end()) {
            const std::size_t begun = at;
            const std::string_view part = scan.next();
            at += part.size();
            switch (scan.kind()) {
                case sql::part_kind::quoted:
                    within(part, said);
                    said.before = {};
                    break;
                case sql::part_kind::comment: within(part, said); break;
                case sql::part_kind::name: each_word(part, said); break;
                default:
                    if (part == ";") {
                        said = {};
                        begin(text.substr(at), said);
                    } else if (begins_word(part.front()) &&
                               (begun == 0 || !ascii::is_word(text[begun - 1]))) {
                        std::string_view rest = text.substr(begun);
                        word(take_word(rest), said);
                    }
            }
        }
    }

private:
    void begin(std::string_view text, words_so_far& said) {
        said.first = next_word(text);
        found_ = found_ | changed_by_statement(said.first, text);
    }

    void word(std::string_view one, words_so_far& said) {
        found_ = found_ | changed_by_word(said, one);
        said.updates = said.updates || ascii::equal_ignoring_case(one, "UPDATE");
        said.before = one;
    }

    void each_word(std::string_view text, words_so_far& said) {
        while (!text.empty()) {
            if (begins_word(text.front())) {
                word(take_word(text), said);
            } else {
                text.remove_prefix(1);
            }
        }
    }

    // Words in quotes and comments, which follow on no word outside of them.
    void within(std::string_view part, words_so_far said) {
        said.before = {};
        while (!part.empty()) {
            if (part.front() == ';') {
                said = {};
                part.remove_prefix(1);
                begin(part, said);
            } else if (begins_word(part.front())) {
                word(take_word(part), said);
            } else {
                part.remove_prefix(1);
            }
        }
    }

    session_change found_ = session_change::none;
};

}  // namespace

std::string_view first_word(std::string_view sql) noexcept {
    return next_word(sql);
}

bool ends_transaction(std::string_view sql) noexcept {
    std::string_view rest = sql;
    return commits(sql) || is_one_of(next_word(rest), {"ROLLBACK", "ABORT"});
}

bool leaves_transaction(std::string_view sql) noexcept {
    if (!ends_transaction(sql)) {
        return false;
    }
    std::string_view rest = sql;
    if (!ascii::equal_ignoring_case(next_word(rest), "ROLLBACK")) {
        return true;
    }
    std::string_view second = next_word(rest);
    if (is_one_of(second, {"WORK", "TRANSACTION"})) {
        second = next_word(rest);
    }
    return !ascii::equal_ignoring_case(second, "TO");
}

bool chains_transactions(std::string_view script) noexcept {
    if (begins_otherwise(script, "ACER") && script.find(';') == script.npos) {
        return false;  // as most, at little cost
    }
    if (!says(script, "CHAIN")) {
        return false;
    }
    if (begins_with_chain(script)) {
        return true;
    }
    sql::scanner scan(script);
    std::size_t at = 0;
    while (!scan.at_end()) {
        const std::string_view part = scan.next();
        at += part.size();
        if (part == ";" && begins_with_chain(script.substr(at))) {
            return true;
        }
    }
    return false;
}

bool is_one_statement(std::string_view script) noexcept {
    const std::size_t end = script.find(';');
    return end == script.npos || script.find_first_not_of("; \t\r\n", end) == script.npos;
}

bool changes_meanings(std::string_view command) noexcept {
    for (const std::string_view usual :
         {"SELECT", "INSERT", "UPDATE", "DELETE", "BEGIN", "COMMIT"}) {  // at little cost
        if (command.starts_with(usual) &&
            (command.size() == usual.size() || !ascii::is_word(command[usual.size()]))) {
            return false;
        }
    }
    return !is_one_of(
        first_word(command),
        {"SELECT",  "INSERT",  "UPDATE",    "DELETE",   "MERGE",      "VALUES",   "TABLE",
         "WITH",    "BEGIN",   "START",     "COMMIT",   "END",        "ROLLBACK", "ABORT",
         "PREPARE", "EXECUTE", "SAVEPOINT", "RELEASE",  "COPY",       "DECLARE",  "FETCH",
         "MOVE",    "CLOSE",   "LISTEN",    "UNLISTEN", "NOTIFY",     "EXPLAIN",  "SHOW",
         "SET",     "LOCK",    "VACUUM",    "ANALYZE",  "DEALLOCATE", "TRUNCATE", "GRANT",
         "REVOKE",  "COMMENT", "CHECKPOINT"});
}

bool sets_search_path(std::string_view sql) noexcept {
    return says(sql, "SEARCH_PATH") || says(sql, "SCHEMA");
}

session_change session_changes_of(std::string_view sql) noexcept {
    change_finder all;
    all.read(sql, true);
    return all.found();
}

bool only_reads(std::string_view sql) noexcept {
    return !begins_otherwise(sql, "S") && ascii::equal_ignoring_case(next_word(sql), "SELECT") &&
           sql.find('(') == sql.npos;
}

bool commits(std::string_view sql) noexcept {
    if (begins_otherwise(sql, "CEP")) {
        return false;
    }
    const std::string_view first = next_word(sql);
    return ascii::equal_ignoring_case(first, "COMMIT") ||
           ascii::equal_ignoring_case(first, "END") ||
           (ascii::equal_ignoring_case(first, "PREPARE") &&
            ascii::equal_ignoring_case(next_word(sql), "TRANSACTION"));
}

bool may_commit(std::string_view script) noexcept {
    return says(script, "COMMIT") || says(script, "END") || says(script, "PREPARE");
}

bool may_commit_midway(std::string_view sql) noexcept {
    if (begins_otherwise(sql, "ACDRV")) {
        return false;
    }
    const std::string_view first = next_word(sql);
    for (const std::string_view one :
         {"CALL", "DO", "VACUUM", "ANALYZE", "ANALYSE", "CLUSTER", "REINDEX"}) {
        if (ascii::equal_ignoring_case(first, one)) {
            return true;
        }
    }
    if (!ascii::equal_ignoring_case(first, "CREATE") &&
        !ascii::equal_ignoring_case(first, "DROP") && !ascii::equal_ignoring_case(first, "ALTER")) {
        return false;
    }
    // Outside the catalogs, these leave files, settings or a half-made index behind.
    std::string_view rest = sql;
    const std::string_view second = next_word(rest);
    return ascii::equal_ignoring_case(second, "DATABASE") ||
           ascii::equal_ignoring_case(second, "TABLESPACE") ||
           ascii::equal_ignoring_case(second, "SYSTEM") ||
           ascii::equal_ignoring_case(second, "SUBSCRIPTION") || says(sql, "CONCURRENTLY");
}

}  // namespace bitdotio
