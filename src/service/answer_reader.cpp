// Takes the parser's events; a value that is nested is put together again.
#include "service/answer_reader.hpp"
#include "service/json_fields.hpp"
#include "service/json_text.hpp"

#include <boost/json.hpp>
#include <boost/json/basic_parser_impl.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

namespace bitdotio::api {

namespace json = boost::json;

namespace {

// Each function returns whether the answer still has the expected shape.
class answer_handler {
public:
    static constexpr std::size_t max_object_size = static_cast<std::size_t>(-1);
    static constexpr std::size_t max_array_size = static_cast<std::size_t>(-1);
    static constexpr std::size_t max_key_size = static_cast<std::size_t>(-1);
    static constexpr std::size_t max_string_size = static_cast<std::size_t>(-1);

    query_result result;

    /// All three parts have come.
    bool is_complete() const noexcept { return at_ == place::after_data; }

    bool on_document_begin(json::error_code&) { return true; }
    bool on_document_end(json::error_code&) { return true; }

    bool on_object_begin(json::error_code&) {
        switch (at_) {
            case place::outside: at_ = place::before_query; return true;
            case place::metadata_wanted: at_ = place::in_metadata; return true;
            case place::in_data:
                named_ = true;
                begin_row();
                return true;
            case place::in_row:
            case place::nested: begin_nested(); return true;
            default: return false;
        }
    }

    bool on_object_end(std::size_t size, json::error_code&) {
        switch (at_) {
            case place::in_metadata: at_ = place::after_metadata; return true;
            case place::after_data: return true;  // the whole answer's
            case place::in_row: return named_ && end_row();
            case place::nested: nested_.push_object(size); return end_nested();
            default: return false;
        }
    }

    bool on_array_begin(json::error_code&) {
        switch (at_) {
            case place::data_wanted: at_ = place::in_data; return true;
            case place::in_data:
                named_ = false;
                begin_row();
                return true;
            case place::in_row:
            case place::nested: begin_nested(); return true;
            default: return false;
        }
    }

    bool on_array_end(std::size_t size, json::error_code&) {
        switch (at_) {
            case place::in_data: at_ = place::after_data; return true;
            case place::in_row: return !named_ && end_row();
            case place::nested: nested_.push_array(size); return end_nested();
            default: return false;
        }
    }

    bool on_key_part(json::string_view part, std::size_t, json::error_code&) {
        if (at_ == place::nested) {
            nested_.push_chars(part);
        } else {
            text_.append(part.data(), part.size());
        }
        return true;
    }

    bool on_key(json::string_view last, std::size_t, json::error_code&) {
        if (at_ == place::nested) {
            nested_.push_key(last);
            return true;
        }
        const std::string_view key = whole(last);
        bool good = true;
        switch (at_) {
            case place::before_query:
                at_ = place::query_wanted;
                good = key == "query_string";
                break;
            case place::after_query:
                at_ = place::metadata_wanted;
                good = key == "metadata";
                break;
            case place::in_metadata: good = add_column(key); break;
            case place::after_metadata:
                at_ = place::data_wanted;
                good = key == "data";
                break;
            case place::in_row: good = find_column(key); break;
            default: good = false;
        }
        text_.clear();
        return good;
    }

    bool on_string_part(json::string_view part, std::size_t, json::error_code&) {
        if (at_ == place::nested) {
            nested_.push_chars(part);
        } else {
            text_.append(part.data(), part.size());
        }
        return true;
    }

    bool on_string(json::string_view last, std::size_t, json::error_code&) {
        switch (at_) {
            case place::nested: nested_.push_string(last); return true;
            case place::in_row: {
                const std::string_view text = whole(last);
                const bool good = put(std::in_place_type<std::string>, text);
                text_.clear();
                return good;
            }
            case place::query_wanted:
                result.query_string = whole(last);
                at_ = place::after_query;
                break;
            case place::in_metadata: result.columns.back().type = whole(last); break;
            default: return false;
        }
        text_.clear();
        return true;
    }

    bool on_number_part(json::string_view, json::error_code&) { return true; }

    bool on_int64(std::int64_t value, json::string_view, json::error_code&) {
        if (at_ == place::nested) return pushed([&] { nested_.push_int64(value); });
        return floats() ? put(static_cast<double>(value)) : put(value);
    }

    bool on_uint64(std::uint64_t value, json::string_view, json::error_code&) {
        if (at_ == place::nested) return pushed([&] { nested_.push_uint64(value); });
        return put(static_cast<double>(value));
    }

    bool on_double(double value, json::string_view, json::error_code&) {
        if (at_ == place::nested) return pushed([&] { nested_.push_double(value); });
        return put(value);
    }

    bool on_bool(bool value, json::error_code&) {
        if (at_ == place::nested) return pushed([&] { nested_.push_bool(value); });
        return put(value);
    }

    bool on_null(json::error_code&) {
        if (at_ == place::nested) return pushed([&] { nested_.push_null(); });
        return put(std::monostate());
    }

    bool on_comment_part(json::string_view, json::error_code&) { return false; }
    bool on_comment(json::string_view, json::error_code&) { return false; }

private:
    enum class place {
        outside,
        before_query,
        query_wanted,
        after_query,
        metadata_wanted,
        in_metadata,
        after_metadata,
        data_wanted,
        in_data,
        in_row,
        nested,
        after_data,
    };

    // The text whose last part this is; valid until text_ changes.
    std::string_view whole(json::string_view last) {
        if (text_.empty()) return {last.data(), last.size()};
        text_.append(last.data(), last.size());
        return text_;
    }

    bool add_column(std::string_view name) {
        query_result::column& added = result.columns.emplace_back();
        added.name = name;
        floating_.push_back(2);  // its type comes next
        return by_name_.emplace(added.name, result.columns.size() - 1).second;
    }

    bool find_column(std::string_view name) {
        if (next_ < result.columns.size() && result.columns[next_].name == name) return true;
        const auto found = by_name_.find(std::string(name));
        if (found == by_name_.end()) return false;
        next_ = found->second;
        return true;
    }

    // Whether the present column's numbers are floating-point ones.
    bool floats() {
        if (at_ != place::in_row || next_ >= result.columns.size()) return false;
        char& known = floating_[next_];
        if (known == 2) {
            const std::string& type = result.columns[next_].type;
            known = type == "real" || type == "double precision" ? 1 : 0;
        }
        return known == 1;
    }

    void begin_row() {
        at_ = place::in_row;
        next_ = 0;
        row_.reserve(result.columns.size());
    }

    bool end_row() {
        if (row_.size() != result.columns.size()) return false;
        result.rows.push_back(std::move(row_));
        row_ = {};
        at_ = place::in_data;
        return true;
    }

    // Values come in the order of the columns; with keys as well, from our server.
    template <class... Parts>
    bool put(Parts&&... of_value) {
        if (at_ != place::in_row || next_ != row_.size()) return false;
        row_.emplace_back(std::forward<Parts>(of_value)...);
        ++next_;
        return true;
    }

    template <class Push>
    bool pushed(const Push& push) {
        push();
        return true;
    }

    void begin_nested() {
        if (at_ != place::nested) nested_.reset();
        at_ = place::nested;
        ++depth_;
    }

    bool end_nested() {
        if (--depth_ > 0) return true;
        at_ = place::in_row;
        const json::value together = nested_.release();
        return put(json::serialize(together));
    }

    place at_ = place::outside;
    std::string text_;  // the parts so far of a key or a string
    std::unordered_map<std::string, std::size_t> by_name_;
    std::vector<char> floating_;  // of each column; 2 if not known yet
    std::vector<query_value> row_;
    std::size_t next_ = 0;  // the column of the next value
    bool named_ = false;    // rows are objects
    json::value_stack nested_;
    std::size_t depth_ = 0;
};

}  // namespace

std::optional<query_result> read_query_answer(std::string_view body) {
    json::parse_options strict;
    strict.max_depth = deepest_body;
    json::basic_parser<answer_handler> parser(strict);
    json::error_code failure;
    const std::size_t read = parser.write_some(false, body.data(), body.size(), failure);
    if (failure || !parser.done() || !parser.handler().is_complete()) return std::nullopt;
    constexpr std::string_view space = " \t\r\n";
    if (body.find_first_not_of(space, read) != std::string_view::npos) return std::nullopt;
    query_result result = std::move(parser.handler().result);
    // The data is what comes last: it ends at the bracket before the answer's.
    const std::size_t begin = begin_of(body, "data");
    const std::size_t end = body.rfind(']');
    if (begin >= end) return std::nullopt;  // its name was written with escapes
    result.data_json = body.substr(begin, end + 1 - begin);
    return result;
}

}  // namespace bitdotio::api
