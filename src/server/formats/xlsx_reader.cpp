// Reads XLSX: each sheet of a workbook is a table.
#include "server/formats/import_limits.hpp"
#include "server/formats/shared_strings.hpp"
#include "server/formats/sheet_reader.hpp"
#include "server/formats/xlsx_relations.hpp"
#include "server/formats/xlsx_texts.hpp"
#include "server/formats/zip_xml.hpp"

#include <bitdotio/error.hpp>

#include <algorithm>
#include <charconv>
#include <optional>

namespace bitdotio {

namespace {

constexpr std::size_t most_styles = 65'536;

std::optional<std::size_t> number_in(std::string_view text) {
    std::size_t value = 0;
    const auto read = std::from_chars(text.data(), text.data() + text.size(), value);
    if (read.ec != std::errc() || read.ptr != text.data() + text.size()) return std::nullopt;
    return value;
}

error too_long() {
    return malformed_xlsx("a text has more than 32,767 characters");
}

// Appends to a text of a cell. Its characters are counted once it is whole.
void append_text(std::string& text, std::string_view more) {
    text.append(more);
    if (text.size() > 4 * longest_sheet_text) throw too_long();
}

class strings_part final : public zip_xml {
public:
    strings_part(input_handle file, const std::string& part, shared_strings& into)
        : zip_xml(std::move(file), part), into_(into) {}

private:
    void begin_element(std::string_view name, const attributes&) override {
        if (name == "rPh") ++phonetic_;
        in_text_ = name == "t" && phonetic_ == 0;
    }
    void end_element(std::string_view name) override {
        in_text_ = false;
        if (name == "rPh") --phonetic_;
        if (name == "si") {
            const std::string text = decode_xlsx_text(std::move(text_));
            if (is_too_long_for_sheet(text)) throw too_long();
            into_.add(text);
            text_.clear();
        }
    }
    void characters(std::string_view text) override {
        if (in_text_) append_text(text_, text);
    }

    shared_strings& into_;
    std::string text_;
    int phonetic_ = 0;
    bool in_text_ = false;
};

/// Finds which cell styles show numbers as dates or durations.
class styles_part final : public zip_xml {
public:
    styles_part(input_handle file, const std::string& part) : zip_xml(std::move(file), part) {}

    std::vector<number_look> looks;

private:
    void begin_element(std::string_view name, const attributes& values) override {
        if (name == "cellXfs") in_cells_ = true;
        if (name == "numFmt") {
            const auto id = number_in(attribute(values, "numFmtId"));
            if (id) formats_.add(*id, attribute(values, "formatCode"));
        } else if (name == "xf" && in_cells_) {
            if (looks.size() == most_styles) throw malformed_xlsx("it has more than 65,536 styles");
            looks.push_back(formats_.look(number_in(attribute(values, "numFmtId")).value_or(0)));
        }
    }
    void end_element(std::string_view name) override {
        if (name == "cellXfs") in_cells_ = false;
    }
    void characters(std::string_view) override {}

    number_formats formats_{"XLSX"};
    bool in_cells_ = false;
};

class workbook_part final : public zip_xml {
public:
    workbook_part(input_handle file, const std::string& part) : zip_xml(std::move(file), part) {}

    std::vector<std::pair<std::string, std::string>> sheets;  ///< name and relation
    bool from_1904 = false;

private:
    void begin_element(std::string_view name, const attributes& values) override {
        if (name == "workbookPr") {
            const std::string_view flag = attribute(values, "date1904");
            from_1904 = flag == "1" || flag == "true";
        } else if (name == "sheet") {
            if (sheets.size() == most_sheets) throw malformed_xlsx("it has more than 256 sheets");
            sheets.emplace_back(cut_name(attribute(values, "name"), longest_name),
                                attribute(values, "id"));
        }
    }
    void end_element(std::string_view) override {}
    void characters(std::string_view) override {}
};

struct book {
    input_handle file;
    bool from_1904 = false;
    std::vector<number_look> looks;
    shared_strings strings{"XLSX"};
};

/// Reads the cells of a sheet; a step ends after each row.
class sheet_part final : public zip_xml {
public:
    sheet_part(std::shared_ptr<const book> whole, const std::string& part)
        : zip_xml(whole->file, part), book_(std::move(whole)) {}

    bool has_row = false;
    std::uint64_t number = 0;
    cells row;

private:
    void begin_element(std::string_view name, const attributes& values) override {
        if (name == "row") {
            begin_row(attribute(values, "r"));
        } else if (name == "c") {
            type_ = attribute(values, "t");
            style_ = number_in(attribute(values, "s")).value_or(0);
            column_ = column_of(attribute(values, "r"));
            text_.clear();
        } else if (name == "rPh") {
            ++phonetic_;
        } else if (name == "v" || (name == "t" && phonetic_ == 0)) {
            in_text_ = true;
        }
    }

    void end_element(std::string_view name) override {
        if (name == "row") {
            has_row = true;
            pause();
        } else if (name == "c") {
            take_cell();
            ++column_;
        } else if (name == "rPh") {
            --phonetic_;
        } else if (name == "v" || name == "t") {
            in_text_ = false;
        }
    }

    void characters(std::string_view text) override {
        if (in_text_) append_text(text_, text);
    }

    void take_cell() {
        if (column_ >= most_columns) {  // a colour without a value may be there
            cell beyond;
            take_value(beyond);
            if (beyond.kind == cell_kind::null) return;
            throw error(errc::bad_input, "a sheet has more than 1600 columns");
        }
        if (row.size() <= column_) row.resize(column_ + 1);
        take_value(row[column_]);
        // Also what is taken for the same place again: it was read.
        size_ += row[column_].text.size();
        if (size_ > longest_row) {
            throw error(errc::bad_input,
                        "row " + std::to_string(number) + " of a sheet has more than 64 MiB");
        }
    }

    void begin_row(std::string_view stated) {
        number = number_in(stated).value_or(number + 1);
        if (number > 1'048'576) throw malformed_xlsx("a sheet has more than 1,048,576 rows");
        column_ = 0;
        size_ = 0;
        row.clear();
    }

    // "BC7" is in column 54; a cell without a place follows the previous one.
    std::size_t column_of(std::string_view place) const {
        std::size_t column = 0;
        std::size_t letters = 0;
        for (; letters < place.size() && place[letters] >= 'A' && place[letters] <= 'Z';
             ++letters) {
            if (letters == 3) throw malformed_xlsx("a cell has no place");
            column = column * 26 + static_cast<std::size_t>(place[letters] - 'A') + 1;
        }
        return letters == 0 ? column_ : column - 1;
    }

    void take_value(cell& into) {
        into.clear();
        if (type_ == "s") {
            const auto index = number_in(text_);
            if (!index) throw malformed_xlsx("a cell refers to a text that is not there");
            into.set(cell_kind::text, book_->strings.get(*index));
        } else if (type_ == "str" || type_ == "inlineStr" || type_ == "d") {
            into.set(cell_kind::text, decode_xlsx_text(std::move(text_)));
            text_.clear();
        } else if (type_ == "b") {
            into.set(cell_kind::boolean, text_ == "1" || text_ == "true" ? "true" : "false");
        } else if (type_ != "e" && !text_.empty()) {  // an error has no value
            take_number(into);
        }
        if (is_too_long_for_sheet(into.text)) throw too_long();
        if (into.kind == cell_kind::text && into.text.empty()) into.clear();
    }

    void take_number(cell& into) {
        const char* const end = text_.data() + text_.size();
        double value = 0;
        const auto read = std::from_chars(text_.data(), end, value);
        const bool whole = read.ec == std::errc() && read.ptr == end;
        const auto look = style_ < book_->looks.size() ? book_->looks[style_] : number_look::plain;
        if (whole && set_sheet_number(into, value, look, book_->from_1904)) return;
        // Spreadsheets keep doubles, and some write more digits than a double has.
        constexpr std::size_t always = 15;
        if (whole && text_.size() > always && text_.find_first_of(".eE") != std::string::npos) {
            char shortest[32];
            const auto last = std::to_chars(shortest, shortest + sizeof shortest, value).ptr;
            into.set(cell_kind::number, std::string_view(shortest, last));
        } else {
            into.set(cell_kind::number, text_);
        }
    }

    const std::shared_ptr<const book> book_;
    std::size_t size_ = 0;
    std::size_t column_ = 0;
    std::size_t style_ = 0;
    std::string type_;
    std::string text_;
    int phonetic_ = 0;
    bool in_text_ = false;
};

class xlsx_reader final : public sheet_reader {
public:
    xlsx_reader(std::shared_ptr<const book> whole, std::string name, const std::string& part,
                header_row header)
        : sheet_reader(std::move(name), header), part_(std::move(whole), part) {
        if (!part_.exists()) throw malformed_xlsx("the part " + part + " is missing");
    }

private:
    bool next_row(cells& row) override {
        while (!part_.has_row) {
            if (!part_.step()) return false;
        }
        part_.has_row = false;
        row.swap(part_.row);
        return true;
    }
    std::uint64_t number() const override { return part_.number; }

    sheet_part part_;
};

}  // namespace

std::vector<table_source> open_xlsx(input_handle file, header_row header) {
    xlsx_relations root(file, "");
    root.read_all();
    const std::string book_name = root.of_type("officeDocument", "xl/workbook.xml");
    workbook_part workbook(file, book_name);
    if (!workbook.exists()) {
        throw error(errc::bad_input, "the file is an archive, but no XLSX file");
    }
    workbook.read_all();
    xlsx_relations relations(file, book_name);
    relations.read_all();
    styles_part styles(file, relations.of_type("styles", "xl/styles.xml"));
    styles.read_all();
    const auto whole = std::make_shared<book>();
    whole->file = file;
    whole->from_1904 = workbook.from_1904;
    whole->looks = std::move(styles.looks);
    strings_part strings(file, relations.of_type("sharedStrings", "xl/sharedStrings.xml"),
                         whole->strings);
    strings.read_all();

    std::vector<table_source> tables;
    for (const auto& [name, relation] : workbook.sheets) {
        const std::string part = relations.target(relation);
        table_source table;
        table.name = name;
        table.open = [whole, name = name, part, header] {
            return open_sheet(header, [&](header_row how) {
                return std::make_unique<xlsx_reader>(whole, name, part, how);
            });
        };
        tables.push_back(std::move(table));
    }
    return with_content(std::move(tables));
}

}  // namespace bitdotio
