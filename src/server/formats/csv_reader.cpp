// Reads CSV: comma or another delimiter, double quote, UTF-8 or UTF-16 with its mark.
#include "server/formats/column_types.hpp"
#include "server/formats/delimiter.hpp"
#include "server/formats/file_input.hpp"
#include "server/formats/header_guess.hpp"
#include "server/formats/table_reader.hpp"
#include "server/formats/utf8.hpp"

#include <utility>

namespace bitdotio {

namespace {

/// See: RFC 4180. Also accepted: any end of line, a byte order mark, quotes within plain fields.
class csv_reader final : public table_reader {
public:
    csv_reader(input_handle file, char delimiter, header_row header)
        : file_(std::move(file)), delimiter_(delimiter) {
        refill();
        if (unread_.starts_with("\xef\xbb\xbf")) unread_.remove_prefix(3);
        if (names_delimiter(unread_)) read_record(first_);
        if (!read_record(first_)) return;
        columns_ = first_.size();
        if (header == header_row::first_row) {
            for (const cell& each : first_)
                names_.push_back(each.text);
        } else {
            first_waits_ = true;
        }
    }

    bool next(cells& row) override {
        if (std::exchange(first_waits_, false)) {
            row.swap(first_);
            return true;
        }
        // An empty line is a row only if it can be one of a single NULL.
        do {
            if (!read_record(row)) return false;
        } while (columns_ > 1 && row.size() == 1 && row[0].kind == cell_kind::null);
        if (row.size() != columns_) {
            throw error(errc::bad_input, place() + " has " + std::to_string(row.size()) +
                                             " fields and the first one has " +
                                             std::to_string(columns_));
        }
        return true;
    }

    const std::vector<std::string>& names() const override { return names_; }
    place_words words() const override { return {"line ", ""}; }
    std::uint64_t number() const override { return line_; }

private:
    bool refill() {
        unread_ = file_.read();
        return !unread_.empty();
    }

    // The next character; -1 at the end.
    int peek() {
        if (unread_.empty() && !refill()) return -1;
        return static_cast<unsigned char>(unread_.front());
    }

    bool read_record(cells& row) {
        line_ = next_line_;
        if (peek() < 0) return false;
        std::size_t count = 0;
        size_ = 0;
        bool more = true;
        while (more) {
            if (count == most_columns) {
                throw error(errc::bad_input,
                            place() + " has more than " + std::to_string(most_columns) + " fields");
            }
            if (row.size() == count) row.emplace_back();
            more = read_field(row[count]);
            size_ += row[count++].text.size();
        }
        row.resize(count);
        return true;
    }

    // Reads a field and what ends it; true if that is a delimiter.
    bool read_field(cell& field) {
        field.clear();
        if (peek() == '"') {
            unread_.remove_prefix(1);
            field.kind = cell_kind::untyped;
            read_quoted(field.text);
            const int after = peek();
            if (after >= 0 && after != delimiter_ && after != '\n' && after != '\r') {
                throw error(errc::bad_input, "line " + std::to_string(next_line_) +
                                                 " goes on behind a closing quote: a quote "
                                                 "within quotes is written twice");
            }
        } else {
            read_until(field.text, false);
            if (!field.text.empty()) field.kind = cell_kind::untyped;
        }
        if (!is_text(field.text)) {
            throw error(errc::bad_input, place() + " is not UTF-8" +
                                             (field.text.find('\0') != std::string::npos
                                                  ? ": it has a zero byte"
                                                  : "; save the file in that encoding"));
        }
        const int end = peek();
        if (end < 0) return false;
        unread_.remove_prefix(1);
        if (end == delimiter_) return true;
        ++next_line_;
        if (end == '\r' && peek() == '\n') unread_.remove_prefix(1);
        return false;
    }

    void read_quoted(std::string& text) {
        const std::uint64_t began = next_line_;
        while (true) {
            const std::size_t before = text.size();
            read_until(text, true);
            for (std::size_t i = before; i < text.size(); ++i)
                next_line_ += text[i] == '\n';
            if (peek() < 0) {
                throw error(errc::bad_input, "line " + std::to_string(began) +
                                                 " opens a quote that is never closed");
            }
            unread_.remove_prefix(1);
            if (peek() != '"') return;
            unread_.remove_prefix(1);
            text.push_back('"');
        }
    }

    // Appends everything up to a quote, else to what ends a plain field, or the end.
    void read_until(std::string& text, bool quoted) {
        while (peek() >= 0) {
            std::size_t end = 0;
            if (quoted) {
                end = std::min(unread_.find('"'), unread_.size());
            } else {
                while (end < unread_.size() && unread_[end] != delimiter_ && unread_[end] != '\n' &&
                       unread_[end] != '\r') {
                    ++end;
                }
            }
            text.append(unread_, 0, end);
            unread_.remove_prefix(end);
            if (size_ + text.size() > longest_row) {
                throw error(errc::bad_input, place() +
                                                 " begins a row of more than 64 MiB; is a closing "
                                                 "quote missing?");
            }
            if (!unread_.empty()) return;
        }
    }

    file_input file_;
    const char delimiter_;
    std::string_view unread_;
    std::uint64_t line_ = 1;
    std::uint64_t next_line_ = 1;
    cells first_;
    bool first_waits_ = false;
    std::size_t columns_ = 0;
    std::size_t size_ = 0;  ///< of the row's fields that have been read
    std::vector<std::string> names_;
};

}  // namespace

std::vector<table_source> open_csv(input_handle file, header_row header, char delimiter) {
    if (delimiter == 0) {
        file_input input(file);
        const std::string_view begin = input.read();
        const std::string_view looked_at = begin.substr(0, 64 * 1024);
        delimiter = guess_delimiter(looked_at, input.at_end() && looked_at.size() == begin.size());
    }
    if (header == header_row::automatic) {
        csv_reader fresh(file, delimiter, header_row::none);
        header = guess_header(fresh) ? header_row::first_row : header_row::none;
    }
    table_source only;
    only.open = [file, header, delimiter] {
        return std::make_unique<csv_reader>(file, delimiter, header);
    };
    return {only};
}

}  // namespace bitdotio
