// Reads JSON: a list of objects or of lists, one by one.
#include "server/formats/file_input.hpp"
#include "server/formats/header_guess.hpp"
#include "server/formats/table_reader.hpp"

#include <boost/json/basic_parser_impl.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>

#include <unordered_map>
#include <utility>

namespace bitdotio {

namespace {

namespace json = boost::json;

constexpr std::size_t deepest_object = 200;
constexpr std::size_t longest_member_name = 64 * 1024;
constexpr std::string_view space = " \t\r\n";

/// Checks JSON and keeps nothing: made of values, an object could take twenty times its text.
struct check_only {
    using error_code = boost::system::error_code;
    static constexpr std::size_t max_object_size = std::size_t(-1);
    static constexpr std::size_t max_array_size = std::size_t(-1);
    static constexpr std::size_t max_key_size = longest_member_name;
    static constexpr std::size_t max_string_size = std::size_t(-1);

    bool on_document_begin(error_code&) { return true; }
    bool on_document_end(error_code&) { return true; }
    bool on_object_begin(error_code&) { return true; }
    bool on_object_end(std::size_t, error_code&) { return true; }
    bool on_array_begin(error_code&) { return true; }
    bool on_array_end(std::size_t, error_code&) { return true; }
    bool on_key_part(json::string_view, std::size_t, error_code&) { return true; }
    bool on_key(json::string_view, std::size_t, error_code&) { return true; }
    bool on_string_part(json::string_view, std::size_t, error_code&) { return true; }
    bool on_string(json::string_view, std::size_t, error_code&) { return true; }
    bool on_number_part(json::string_view, error_code&) { return true; }
    bool on_int64(std::int64_t, json::string_view, error_code&) { return true; }
    bool on_uint64(std::uint64_t, json::string_view, error_code&) { return true; }
    bool on_double(double, json::string_view, error_code&) { return true; }
    bool on_bool(bool, error_code&) { return true; }
    bool on_null(error_code&) { return true; }
    bool on_comment_part(json::string_view, error_code&) { return true; }
    bool on_comment(json::string_view, error_code&) { return true; }
};

/// Whether JSON, which cannot be read, has a word outside its texts.
bool has_word(std::string_view json, std::string_view word) {
    bool in_string = false;
    for (std::size_t i = 0; i < json.size(); ++i) {
        if (in_string && json[i] == '\\') {
            ++i;
        } else if (json[i] == '"') {
            in_string = !in_string;
        } else if (!in_string && json.substr(i).starts_with(word)) {
            return true;
        }
    }
    return false;
}

/// Reads a list of objects, one object, or objects one after the other; or a list of lists, whose
/// first one may be a header. Numbers and nested values are passed on as they are written.
class json_reader final : public table_reader {
public:
    json_reader(input_handle file, header_row header) : file_(std::move(file)) {
        unread_ = file_.read();
        if (unread_.starts_with("\xef\xbb\xbf")) unread_.remove_prefix(3);
        const int first = peek();
        if (first == '[') {
            unread_.remove_prefix(1);
            in_list_ = true;
            lists_ = peek() == '[';
        } else if (first != '{') {
            throw error(errc::bad_input, "the file is no JSON list of objects");
        }
        cells row;
        if (lists_ && header == header_row::first_row && next(row)) {
            for (const cell& each : row)
                names_.push_back(each.text);
        }
    }

    bool has_lists() const noexcept { return lists_; }

    bool next(cells& row) override {
        if (over_) return false;
        if (in_list_) {
            if (peek() == ']') {
                unread_.remove_prefix(1);
                return end();
            }
            if (count_ > 0) {
                if (peek() != ',') throw malformed("a comma or \"]\" is missing behind it");
                unread_.remove_prefix(1);
            }
        } else if (peek() < 0) {
            return end();
        }
        ++count_;
        if (peek() != (lists_ ? '[' : '{')) {
            throw malformed(lists_ ? "it is no list, as the first one is" : "it is no object");
        }
        read_object();
        check_object();
        for (cell& each : row)
            each.clear();
        if (lists_) {
            take_elements(row);
        } else {
            take_members(row);
        }
        return true;
    }

    const std::vector<std::string>& names() const override { return names_; }
    place_words words() const override { return {lists_ ? "list " : "object ", ""}; }
    std::uint64_t number() const override { return count_; }

private:
    error malformed(const std::string& why) const {
        return error(errc::bad_input, place() + " cannot be read: " + why);
    }

    bool end() {
        over_ = true;
        if (peek() >= 0) {
            throw error(errc::bad_input, "the file goes on behind the end of its list");
        }
        return false;
    }

    // The next character that is not a space; -1 at the end.
    int peek() {
        while (true) {
            unread_.remove_prefix(std::min(unread_.find_first_not_of(space), unread_.size()));
            if (!unread_.empty()) return static_cast<unsigned char>(unread_.front());
            unread_ = file_.read();
            if (unread_.empty()) return -1;
        }
    }

    // Takes the text of an object, found by its braces.
    void read_object() {
        object_.clear();
        if (object_.capacity() > 1024 * 1024) object_.shrink_to_fit();
        std::size_t depth = 0;
        bool in_string = false;
        bool escaped = false;
        while (true) {
            for (std::size_t i = 0; i < unread_.size(); ++i) {
                const char c = unread_[i];
                if (escaped) {
                    escaped = false;
                } else if (in_string) {
                    if (c == '\\') escaped = true;
                    if (c == '"') in_string = false;
                } else if (c == '"') {
                    in_string = true;
                } else if (c == '{' || c == '[') {
                    if (++depth > deepest_object) throw malformed("it is nested too deeply");
                } else if ((c == '}' || c == ']') && --depth == 0) {
                    object_.append(unread_, 0, i + 1);
                    unread_.remove_prefix(i + 1);
                    return;
                }
            }
            object_.append(unread_);
            if (object_.size() > longest_row) throw malformed("it is longer than 64 MiB");
            unread_ = file_.read();
            if (unread_.empty()) throw malformed("the file ends within it");
        }
    }

    // From here on the object is known to be well-formed.
    void check_object() {
        json::parse_options options;
        options.max_depth = deepest_object;
        json::basic_parser<check_only> parser(options);
        boost::system::error_code failure;
        const std::size_t read = parser.write_some(false, object_.data(), object_.size(), failure);
        if (failure == json::error::key_too_large) {
            throw malformed("a name in it is longer than 64 KiB");
        }
        for (const std::string_view word : {"NaN", "Infinity"}) {
            if (failure && has_word(object_, word)) {
                throw malformed("it has " + std::string(word) +
                                ", which JSON does not have: write null or a text");
            }
        }
        if (failure) throw malformed(failure.message());
        if (read != object_.size()) throw malformed("its braces do not match");
    }

    void take_members(cells& row) {
        const std::string_view text = object_;
        std::size_t at = 1;
        while (true) {
            at = text.find_first_not_of(" \t\r\n,", at);
            if (text[at] == '}') return;
            const std::size_t name_end = end_of_string(text, at);
            const std::size_t column = column_of(text.substr(at, name_end + 1 - at));
            at = text.find_first_not_of(" \t\r\n:", name_end + 1);
            const std::size_t end = end_of_value(text, at);
            if (row.size() <= column) row.resize(column + 1);
            take_value(row[column], text.substr(at, end - at));
            at = end;
        }
    }

    void take_elements(cells& row) {
        const std::string_view text = object_;
        std::size_t count = 0;
        std::size_t at = 1;
        while (true) {
            at = text.find_first_not_of(" \t\r\n,", at);
            if (text[at] == ']') break;
            if (count == most_columns) throw malformed("it has more than 1600 values");
            const std::size_t end = end_of_value(text, at);
            if (row.size() == count) row.emplace_back();
            take_value(row[count++], text.substr(at, end - at));
            at = end;
        }
        row.resize(count);
    }

    static std::size_t end_of_string(std::string_view text, std::size_t open) {
        std::size_t i = open + 1;
        for (; text[i] != '"'; ++i)
            i += text[i] == '\\';
        return i;
    }

    static std::size_t end_of_value(std::string_view text, std::size_t begin) {
        std::size_t depth = 0;
        for (std::size_t i = begin;; ++i) {
            const char c = text[i];
            if (c == '"') {
                i = end_of_string(text, i);
            } else if (c == '{' || c == '[') {
                ++depth;
            } else if (c == '}' || c == ']') {
                if (depth == 0) return i;
                --depth;
            } else if (depth == 0 && (c == ',' || space.find(c) != std::string_view::npos)) {
                return i;
            }
            if (depth == 0 && (c == '"' || c == '}' || c == ']')) return i + 1;
        }
    }

    // The column of a name given with its quotes.
    std::size_t column_of(std::string_view quoted) {
        std::string name = plain(quoted);
        const auto found = columns_.find(name);
        if (found != columns_.end()) return found->second;
        if (names_.size() == most_columns) {
            throw malformed("the objects have more than 1600 different names");
        }
        names_.push_back(name);
        return columns_.emplace(std::move(name), names_.size() - 1).first->second;
    }

    std::string plain(std::string_view quoted) const {
        std::string text;
        if (quoted.find('\\') == std::string_view::npos) {
            text = quoted.substr(1, quoted.size() - 2);
        } else {
            const json::value value = json::parse(quoted);
            text = std::string_view(value.as_string());
        }
        if (text.find('\0') != std::string::npos) {
            throw malformed("it has a character U+0000, which a database's text cannot have");
        }
        return text;
    }

    void take_value(cell& into, std::string_view value) {
        switch (value.front()) {
            case '"': into.set(cell_kind::text, plain(value)); break;
            case '{':
            case '[': into.set(cell_kind::json, value); break;
            case 't':
            case 'f': into.set(cell_kind::boolean, value); break;
            case 'n': into.clear(); break;
            default: into.set(cell_kind::number, value);
        }
    }

    file_input file_;
    std::string_view unread_;
    bool in_list_ = false;
    bool lists_ = false;
    bool over_ = false;
    std::uint64_t count_ = 0;
    std::string object_;
    std::vector<std::string> names_;
    std::unordered_map<std::string, std::size_t> columns_;
};

}  // namespace

std::vector<table_source> open_json(input_handle file, header_row header) {
    if (header == header_row::automatic) {
        json_reader fresh(file, header_row::none);
        const bool guessed = fresh.has_lists() && guess_header(fresh);
        header = guessed ? header_row::first_row : header_row::none;
    }
    table_source only;
    only.open = [file, header] { return std::make_unique<json_reader>(file, header); };
    return {only};
}

}  // namespace bitdotio
