// Finds :name in SQL, and nothing that only looks like it.
#include <bitdotio/error.hpp>
#include <bitdotio/named.hpp>

#include "base/ascii.hpp"

#include <algorithm>
#include <string>
#include <vector>

namespace bitdotio {

namespace {

bool begins_name(char c) {
    return ascii::is_letter(c) || c == '_' || static_cast<unsigned char>(c) >= 0x80;
}

bool in_name(char c) {
    return begins_name(c) || ascii::is_digit(c);
}

// Walks over the lexical parts of SQL. See: PostgreSQL manual, 4.1 "Lexical Structure".
class scanner {
public:
    explicit scanner(std::string_view text) : text_(text) {}

    bool at_end() const { return at_ >= text_.size(); }

    // The next part; a parameter's name comes alone, with its colon.
    std::string_view next() {
        const std::size_t begin = at_;
        const char c = text_[at_];
        if (c == '\'') {
            skip_quoted('\'', is_escape_string(begin));
        } else if (c == '"') {
            skip_quoted('"', false);
        } else if (c == '$' && (begin == 0 || !in_name(text_[begin - 1]))) {
            skip_dollar();
        } else if (text_.substr(at_, 2) == "--") {
            at_ = std::min(text_.find('\n', at_), text_.size());
        } else if (text_.substr(at_, 2) == "/*") {
            skip_comment();
        } else if (c == ':') {
            skip_colon();
        } else {
            ++at_;
        }
        return text_.substr(begin, at_ - begin);
    }

private:
    bool is_escape_string(std::size_t quote) const {
        return quote > 0 && (text_[quote - 1] == 'E' || text_[quote - 1] == 'e') &&
               (quote == 1 || !in_name(text_[quote - 2]));
    }

    // A doubled quote ends one string and begins another, which is the same for this walk.
    void skip_quoted(char quote, bool backslashes) {
        for (++at_; at_ < text_.size() && text_[at_] != quote; ++at_) {
            at_ += backslashes && text_[at_] == '\\';
        }
        at_ = std::min(at_ + 1, text_.size());
        // But in an E'' string the part after a doubled quote has backslashes too.
        if (backslashes && at_ < text_.size() && text_[at_] == quote) {
            skip_quoted(quote, true);
        }
    }

    void skip_dollar() {
        std::size_t end = at_ + 1;
        if (end < text_.size() && begins_name(text_[end])) {
            while (end < text_.size() && in_name(text_[end])) {
                ++end;
            }
        }
        if (end >= text_.size() || text_[end] != '$') {
            ++at_;  // $1
            return;
        }
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

    // A cast, an assignment, a slice such as a[1:n] or a[x:y]: what follows a name or a closing
    // bracket is not a parameter.
    void skip_colon() {
        const char before = at_ == 0 ? ' ' : text_[at_ - 1];
        ++at_;
        const char after = at_ < text_.size() ? text_[at_] : ' ';
        if (after == ':' || after == '=') {
            ++at_;
            return;
        }
        if (!begins_name(after) || in_name(before) || before == ']' || before == ')') {
            return;
        }
        while (at_ < text_.size() && in_name(text_[at_])) {
            ++at_;
        }
    }

    std::string_view text_;
    std::size_t at_ = 0;
};

std::string quoted(std::string_view name) {
    return "\"" + std::string(name) + "\"";
}

}  // namespace

statement number_parameters(statement sql, std::initializer_list<std::string_view> names) {
    std::string text;
    std::vector<bool> used(names.size(), false);
    for (auto name = names.begin(); name != names.end(); ++name) {
        if (std::find(names.begin(), name, *name) != name) {
            throw error(errc::bad_input, "the parameter " + quoted(*name) + " is given twice");
        }
    }
    scanner scan(sql.sql());
    while (!scan.at_end()) {
        const std::string_view part = scan.next();
        if (part.size() < 2 || part[0] != ':' || !begins_name(part[1])) {
            text += part;
            continue;
        }
        const std::string_view name = part.substr(1);
        const auto found = std::find(names.begin(), names.end(), name);
        if (found == names.end()) {
            throw error(errc::bad_input, "the statement has the parameter :" + std::string(name) +
                                             ", and no value is named " + quoted(name));
        }
        const auto index = static_cast<std::size_t>(found - names.begin());
        used[index] = true;
        text += "$" + std::to_string(index + 1);
    }
    for (std::size_t i = 0; i < used.size(); ++i) {
        if (!used[i]) {
            const std::string_view name = names.begin()[i];
            throw error(errc::bad_input,
                        "a value is named " + quoted(name) +
                            ", and the statement has no parameter :" + std::string(name));
        }
    }
    sql.replace_sql(std::move(text));
    return sql;
}

}  // namespace bitdotio
