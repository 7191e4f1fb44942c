// Walks over the lexical parts of SQL text.
#pragma once

#include "base/ascii.hpp"

#include <algorithm>
#include <cstddef>
#include <string_view>

namespace bitdotio::sql {

inline bool begins_name(char c) {
    return ascii::is_letter(c) || c == '_' || static_cast<unsigned char>(c) >= 0x80;
}

inline bool in_name(char c) {
    return begins_name(c) || ascii::is_digit(c);
}

/// What a part of a text is.
enum class part_kind {
    other,   ///< a word, another character, or a few that belong together, such as "::"
    quoted,  ///< a string of any kind, dollar quotes included
    name,    ///< in double quotes
    comment,
    parameter,  ///< ":name"
    number,     ///< "$1"
};

/// Takes a text apart, piece by piece; all pieces together are the text.
///
/// See: PostgreSQL manual, 4.1 "Lexical Structure".
class scanner {
public:
    explicit scanner(std::string_view text) : text_(text) {}

    bool at_end() const { return at_ >= text_.size(); }
    /// What the last piece is.
    part_kind kind() const { return kind_; }
    /// Whether a string had a backslash, which escapes only where standard_conforming_strings is
    /// off: then nobody can tell where the string ends.
    bool is_doubtful() const { return doubtful_; }

    std::string_view next() {
        const std::size_t begin = at_;
        const char c = text_[at_];
        kind_ = part_kind::other;
        if (ascii::is_word(c)) {  // most of a text
            while (at_ < text_.size() && ascii::is_word(text_[at_])) {
                ++at_;
            }
        } else if (c == '\'') {
            skip_quoted('\'', is_escape_string(begin));
            kind_ = part_kind::quoted;
        } else if (c == '"') {
            skip_quoted('"', false);
            kind_ = part_kind::name;
        } else if (c == '$' && (begin == 0 || !in_name(text_[begin - 1]))) {
            skip_dollar();
        } else if (c == '-' && next_is('-')) {
            at_ = std::min(text_.find('\n', at_), text_.size());
            kind_ = part_kind::comment;
        } else if (c == '/' && next_is('*')) {
            skip_comment();
            kind_ = part_kind::comment;
        } else if (c == ':') {
            skip_colon();
        } else {
            brackets_ += c == '[' ? 1 : c == ']' && brackets_ > 0 ? -1 : 0;
            ++at_;
        }
        return text_.substr(begin, at_ - begin);
    }

private:
    bool next_is(char c) const { return at_ + 1 < text_.size() && text_[at_ + 1] == c; }

    bool is_escape_string(std::size_t quote) const {
        return quote > 0 && (text_[quote - 1] == 'E' || text_[quote - 1] == 'e') &&
               (quote == 1 || !in_name(text_[quote - 2]));
    }

    // A doubled quote ends one string and begins another, which is the same for this walk.
    void skip_quoted(char quote, bool backslashes) {
        do {
            for (++at_; at_ < text_.size() && text_[at_] != quote; ++at_) {
                const bool backslash = text_[at_] == '\\';
                doubtful_ = doubtful_ || (backslash && !backslashes && quote == '\'');
                at_ += backslashes && backslash;
            }
            at_ = std::min(at_ + 1, text_.size());
            // But in an E'' string the part after a doubled quote has backslashes too.
        } while (backslashes && at_ < text_.size() && text_[at_] == quote);
    }

    void skip_dollar() {
        std::size_t end = at_ + 1;
        if (end < text_.size() && begins_name(text_[end])) {
            while (end < text_.size() && in_name(text_[end])) {
                ++end;
            }
        }
        if (end >= text_.size() || text_[end] != '$') {
            for (++at_; at_ < text_.size() && ascii::is_digit(text_[at_]); ++at_) {
                kind_ = part_kind::number;
            }
            return;
        }
        kind_ = part_kind::quoted;
        const std::string_view tag = text_.substr(at_, end + 1 - at_);
        const std::size_t close = text_.find(tag, end + 1);
        at_ = close == std::string_view::npos ? text_.size() : close + tag.size();
    }

    void skip_comment() {
        int depth = 0;
        do {
            const std::string_view two = text_.substr(at_, 2);
            depth += two == "/*" ? 1 : two == "*/" ? -1 : 0;
            at_ += two == "/*" || two == "*/" ? 2 : 1;
        } while (depth > 0 && at_ < text_.size());
        at_ = std::min(at_, text_.size());
    }

    // A cast, an assignment, or within brackets a slice such as a[1:n] or a[x:y], where what
    // follows a name, a number or a closing bracket is no parameter.
    void skip_colon() {
        const char before = at_ == 0 ? ' ' : text_[at_ - 1];
        ++at_;
        const char after = at_ < text_.size() ? text_[at_] : ' ';
        if (after == ':' || after == '=') {
            ++at_;
            return;
        }
        const bool slices =
            brackets_ > 0 && (in_name(before) || before == ']' || before == ')' || before == '"');
        if (!begins_name(after) || slices) {
            return;
        }
        kind_ = part_kind::parameter;
        while (at_ < text_.size() && in_name(text_[at_])) {
            ++at_;
        }
    }

    std::string_view text_;
    std::size_t at_ = 0;
    int brackets_ = 0;
    part_kind kind_ = part_kind::other;
    bool doubtful_ = false;
};

}  // namespace bitdotio::sql
