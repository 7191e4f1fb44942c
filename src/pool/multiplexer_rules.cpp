// What the words of a statement say about sharing its connection.
#include "pool/multiplexer_rules.hpp"

#include "base/ascii.hpp"
#include "postgres/statement_words.hpp"

#include <array>

namespace bitdotio {

namespace {

bool begins_rows(std::string_view sql) noexcept {
    static constexpr std::array<std::string_view, 8> words = {
        "SELECT", "INSERT", "UPDATE", "DELETE", "WITH", "VALUES", "MERGE", "TABLE"};
    const std::string_view first = first_word(sql);
    return std::any_of(words.begin(), words.end(), [first](std::string_view one) {
        return ascii::equal_ignoring_case(first, one);
    });
}

bool says(std::string_view sql, std::string_view capitals) noexcept {
    return std::search(sql.begin(), sql.end(), capitals.begin(), capitals.end(),
                       ascii::same_letters) != sql.end();
}

}  // namespace

bool may_share_connection(std::string_view sql) noexcept {
    return begins_rows(sql) && session_changes_of(sql) == session_change::none &&
           !says(sql, "PG_ADVISORY");
}

bool begins_shareable(const statement& sql) noexcept {
    return !sql.largest_result() && begins_rows(sql.sql());
}

}  // namespace bitdotio
