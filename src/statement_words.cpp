// A statement's words, comments passed over.
#include "statement_words.hpp"

#include <algorithm>
#include <cstddef>

namespace bitdotio {

namespace {

char upper(char c) {
    return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
}

bool is_letter(char c) {
    return (upper(c) >= 'A' && upper(c) <= 'Z') || c == '_';
}

bool same(std::string_view word, std::string_view capitals) {
    return std::equal(word.begin(), word.end(), capitals.begin(), capitals.end(),
                      [](char mine, char theirs) { return upper(mine) == theirs; });
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
    const auto end = std::find_if_not(sql.begin(), sql.end(), is_letter);
    const std::string_view word = sql.substr(0, static_cast<std::size_t>(end - sql.begin()));
    sql.remove_prefix(word.size());
    return word;
}

bool says(std::string_view sql, std::string_view capitals) {
    return std::search(sql.begin(), sql.end(), capitals.begin(), capitals.end(),
                       [](char mine, char theirs) { return upper(mine) == theirs; }) != sql.end();
}

}  // namespace

std::string_view first_word(std::string_view sql) noexcept {
    return next_word(sql);
}

bool commits(std::string_view sql) noexcept {
    const std::string_view first = next_word(sql);
    return same(first, "COMMIT") || same(first, "END") ||
           (same(first, "PREPARE") && same(next_word(sql), "TRANSACTION"));
}

bool may_commit(std::string_view script) noexcept {
    return says(script, "COMMIT") || says(script, "END") || says(script, "PREPARE");
}

bool may_commit_midway(std::string_view sql) noexcept {
    const std::string_view first = next_word(sql);
    for (const std::string_view one :
         {"CALL", "DO", "VACUUM", "ANALYZE", "ANALYSE", "CLUSTER", "REINDEX"}) {
        if (same(first, one)) {
            return true;
        }
    }
    if (!same(first, "CREATE") && !same(first, "DROP") && !same(first, "ALTER")) {
        return false;
    }
    // Outside the catalogs, these leave files, settings or a half-made index behind.
    std::string_view rest = sql;
    const std::string_view second = next_word(rest);
    return same(second, "DATABASE") || same(second, "TABLESPACE") || same(second, "SYSTEM") ||
           same(second, "SUBSCRIPTION") || says(sql, "CONCURRENTLY");
}

}  // namespace bitdotio
