// Writes CSV, TSV, lines of JSON and bare values.
#include "cli/row_writer.hpp"

#include <bitdotio/error.hpp>

#include <utility>

namespace bitdotio::cli {

namespace {

constexpr std::pair<std::string_view, row_format> named_formats[] = {
    {"json", row_format::json},    {"objects", row_format::objects}, {"table", row_format::table},
    {"csv", row_format::csv},      {"tsv", row_format::tsv},         {"jsonl", row_format::jsonl},
    {"values", row_format::values}};

// A line for each row, with something between its values.
class line_writer : public row_writer {
public:
    void begin(std::vector<answer_column> columns) override {
        std::vector<cell> names;
        for (answer_column& one : columns)
            names.emplace_back(std::move(one.name));
        row(names);
    }
    void row(const std::vector<cell>& cells) final {
        std::string line;
        for (std::size_t i = 0; i < cells.size(); ++i) {
            if (i > 0) line += between_;
            if (cells[i]) {
                add(line, *cells[i]);
            } else {
                line += null_;
            }
        }
        to_.write_data(line += '\n');
    }
    void end() final {}

protected:
    line_writer(paged_output& to, char between, std::string_view null)
        : to_(to), between_(between), null_(null) {}

private:
    virtual void add(std::string& line, const std::string& text) const = 0;

    paged_output& to_;
    const char between_;
    const std::string_view null_;
};

// RFC 4180, as COPY writes it: NULL is nothing, an empty text is "".
class csv_writer final : public line_writer {
public:
    explicit csv_writer(paged_output& to) : line_writer(to, ',', "") {}

private:
    void add(std::string& line, const std::string& text) const override {
        if (!text.empty() && text.find_first_of(",\"\r\n") == std::string::npos) {
            line += text;
            return;
        }
        line += '"';
        for (const char c : text) {
            line.append(c == '"' ? 2 : 1, c);
        }
        line += '"';
    }
};

// As COPY writes text: escapes with a backslash, NULL is \N.
class tsv_writer final : public line_writer {
public:
    explicit tsv_writer(paged_output& to) : line_writer(to, '\t', "\\N") {}

private:
    void add(std::string& line, const std::string& text) const override {
        for (const char c : text) {
            switch (c) {
                case '\\': line += "\\\\"; break;
                case '\t': line += "\\t"; break;
                case '\n': line += "\\n"; break;
                case '\r': line += "\\r"; break;
                default: line += c;
            }
        }
    }
};

// The values alone, for scripts: no head, a tab between them, NULL is nothing, nothing is escaped.
class values_writer final : public line_writer {
public:
    explicit values_writer(paged_output& to) : line_writer(to, '\t', "") {}

    void begin(std::vector<answer_column>) override {}

private:
    void add(std::string& line, const std::string& text) const override { line += text; }
};

}  // namespace

row_format row_format_named(const std::string& name, const std::string& option) {
    for (const auto& [text, format] : named_formats) {
        if (text == name) return format;
    }
    throw error(
        errc::bad_input,
        option + " must be json, objects, table, csv, tsv, jsonl or values, not \"" + name + "\"");
}

bool answer_column::is_number() const noexcept {
    for (const std::string_view number :
         {"smallint", "integer", "bigint", "numeric", "real", "double precision", "oid", "money"}) {
        if (type == number) return true;
    }
    return false;
}

std::unique_ptr<row_writer> make_row_writer(row_format format, paged_output& to,
                                            std::size_t columns, bool color) {
    switch (format) {
        case row_format::csv: return std::make_unique<csv_writer>(to);
        case row_format::tsv: return std::make_unique<tsv_writer>(to);
        case row_format::values: return std::make_unique<values_writer>(to);
        default: return make_table_writer(to, columns, color);
    }
}

}  // namespace bitdotio::cli
