// Reads XLSX: each sheet of a workbook is a table.
#include "server/formats/import_limits.hpp"
#include "server/formats/sheet_reader.hpp"
#include "server/formats/zip_xml.hpp"

#include <bitdotio/error.hpp>

#include <algorithm>
#include <charconv>
#include <deque>
#include <map>
#include <optional>

namespace bitdotio {

namespace {

constexpr std::size_t most_strings = 10'000'000;
constexpr std::size_t most_string_bytes = 256 * 1024 * 1024;
constexpr std::size_t most_formats = 65'536;
constexpr std::size_t longest_target = 1'024;

error malformed(const std::string& why) {
    return error(errc::bad_input, "the XLSX file is damaged: " + why);
}

std::optional<std::size_t> number_in(std::string_view text) {
    std::size_t value = 0;
    const auto read = std::from_chars(text.data(), text.data() + text.size(), value);
    if (read.ec != std::errc() || read.ptr != text.data() + text.size()) return std::nullopt;
    return value;
}

template <class Attributes>
std::string_view attribute(const Attributes& values, std::string_view wanted) {
    for (const auto& [name, value] : values) {
        if (name == wanted) return value;
    }
    return {};
}

error too_long() {
    return malformed("a text has more than 32,767 characters");
}

// Appends to a text of a cell. Its characters are counted once it is whole.
void append_text(std::string& text, std::string_view more) {
    text.append(more);
    if (text.size() > 4 * longest_sheet_text) throw too_long();
}

/// The texts that all sheets share. They are kept in blocks, so that growing never takes twice the
/// memory.
class shared_strings {
public:
    void add(std::string_view text) {
        if (places_.size() == most_strings) {
            throw malformed("it has more than 10,000,000 shared texts");
        }
        size_ += text.size();
        if (size_ > most_string_bytes) throw malformed("its shared texts have more than 256 MiB");
        if (blocks_.empty() || blocks_.back().size() + text.size() > block_size) {
            blocks_.emplace_back().reserve(block_size);
        }
        place_in_block place;
        place.block = static_cast<std::uint32_t>(blocks_.size() - 1);
        place.begin = static_cast<std::uint32_t>(blocks_.back().size());
        blocks_.back().append(text);
        places_.push_back(place);
    }

    std::string_view get(std::size_t index) const {
        if (index >= places_.size()) throw malformed("a cell refers to a text that is not there");
        const auto [block, begin] = places_[index];
        const std::string_view whole = blocks_[block];
        const bool last = index + 1 == places_.size() || places_[index + 1].block != block;
        return whole.substr(begin, (last ? whole.size() : places_[index + 1].begin) - begin);
    }

private:
    static constexpr std::size_t block_size = 1024 * 1024;
    struct place_in_block {
        std::uint32_t block = 0;
        std::uint32_t begin = 0;
    };

    std::deque<std::string> blocks_;
    std::deque<place_in_block> places_;
    std::size_t size_ = 0;
};

class strings_part final : public zip_xml {
public:
    strings_part(input_handle file, shared_strings& into)
        : zip_xml(std::move(file), "xl/sharedStrings.xml"), into_(into) {}

private:
    void begin_element(std::string_view name, const attributes&) override {
        if (name == "rPh") ++phonetic_;
        in_text_ = name == "t" && phonetic_ == 0;
    }
    void end_element(std::string_view name) override {
        in_text_ = false;
        if (name == "rPh") --phonetic_;
        if (name == "si") {
            if (is_too_long_for_sheet(text_)) throw too_long();
            into_.add(text_);
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

/// Finds which cell styles show numbers as dates.
class styles_part final : public zip_xml {
public:
    explicit styles_part(input_handle file) : zip_xml(std::move(file), "xl/styles.xml") {}

    std::vector<bool> times;

private:
    void begin_element(std::string_view name, const attributes& values) override {
        if (name == "cellXfs") in_cells_ = true;
        if (name == "numFmt") {
            if (formats_.size() == most_formats) throw malformed("it has more than 65,536 formats");
            const auto id = number_in(attribute(values, "numFmtId"));
            if (id) formats_[*id] = is_time_format(attribute(values, "formatCode"));
        } else if (name == "xf" && in_cells_) {
            if (times.size() == most_formats) throw malformed("it has more than 65,536 styles");
            times.push_back(is_time(number_in(attribute(values, "numFmtId")).value_or(0)));
        }
    }
    void end_element(std::string_view name) override {
        if (name == "cellXfs") in_cells_ = false;
    }
    void characters(std::string_view) override {}

    // Built-in formats have numbers but no codes. See: ECMA-376, Part 1, 18.8.30.
    bool is_time(std::size_t number) const {
        const auto own = formats_.find(number);
        if (own != formats_.end()) return own->second;
        return (number >= 14 && number <= 22) || (number >= 27 && number <= 36) ||
               (number >= 45 && number <= 47) || (number >= 50 && number <= 58);
    }

    std::map<std::size_t, bool> formats_;
    bool in_cells_ = false;
};

class workbook_part final : public zip_xml {
public:
    explicit workbook_part(input_handle file) : zip_xml(std::move(file), "xl/workbook.xml") {}

    std::vector<std::pair<std::string, std::string>> sheets;  ///< name and relation
    bool from_1904 = false;

private:
    void begin_element(std::string_view name, const attributes& values) override {
        if (name == "workbookPr") {
            const std::string_view flag = attribute(values, "date1904");
            from_1904 = flag == "1" || flag == "true";
        } else if (name == "sheet") {
            if (sheets.size() == most_sheets) throw malformed("it has more than 256 sheets");
            sheets.emplace_back(cut_name(attribute(values, "name"), longest_name),
                                attribute(values, "id"));
        }
    }
    void end_element(std::string_view) override {}
    void characters(std::string_view) override {}
};

class relations_part final : public zip_xml {
public:
    explicit relations_part(input_handle file)
        : zip_xml(std::move(file), "xl/_rels/workbook.xml.rels") {}

    std::map<std::string, std::string> targets;

private:
    void begin_element(std::string_view name, const attributes& values) override {
        if (name != "Relationship" || targets.size() > 4 * most_sheets) return;
        std::string target(attribute(values, "Target"));
        if (target.size() > longest_target || attribute(values, "Id").size() > longest_target) {
            throw malformed("it refers to a part by a name of more than 1,024 bytes");
        }
        target = target.starts_with('/') ? target.substr(1) : "xl/" + target;
        targets[std::string(attribute(values, "Id"))] = target;
    }
    void end_element(std::string_view) override {}
    void characters(std::string_view) override {}
};

struct book {
    input_handle file;
    bool from_1904 = false;
    std::vector<bool> times;
    shared_strings strings;
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
            if (row.size() <= column_) row.resize(column_ + 1);
            take_value(row[column_]);
            // Also what is taken for the same place again: it was read.
            size_ += row[column_].text.size();
            if (size_ > longest_row) {
                throw error(errc::bad_input,
                            "row " + std::to_string(number) + " of a sheet has more than 64 MiB");
            }
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

    void begin_row(std::string_view stated) {
        number = number_in(stated).value_or(number + 1);
        if (number > 1'048'576) throw malformed("a sheet has more than 1,048,576 rows");
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
            if (letters == 3) throw malformed("a cell has no place");
            column = column * 26 + static_cast<std::size_t>(place[letters] - 'A') + 1;
        }
        const std::size_t found = letters == 0 ? column_ : column - 1;
        if (found >= most_columns) {
            throw error(errc::bad_input, "a sheet has more than 1600 columns");
        }
        return found;
    }

    void take_value(cell& into) {
        if (is_too_long_for_sheet(text_)) throw too_long();
        into.clear();
        if (type_ == "s") {
            const auto index = number_in(text_);
            if (!index) throw malformed("a cell refers to a text that is not there");
            into.set(cell_kind::text, book_->strings.get(*index));
        } else if (type_ == "str" || type_ == "inlineStr" || type_ == "d") {
            into.set(cell_kind::text, text_);
        } else if (type_ == "b") {
            into.set(cell_kind::boolean, text_ == "1" ? "true" : "false");
        } else if (type_ != "e" && !text_.empty()) {  // an error has no value
            double value = 0;
            const auto read = std::from_chars(text_.data(), text_.data() + text_.size(), value);
            const bool time =
                style_ < book_->times.size() && book_->times[style_] && read.ec == std::errc();
            if (!time || !set_sheet_time(into, value, book_->from_1904)) {
                into.set(cell_kind::number, text_);
            }
        }
        if (into.kind == cell_kind::text && into.text.empty()) into.clear();
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
        if (!part_.exists()) throw malformed("the part " + part + " is missing");
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
    workbook_part workbook(file);
    if (!workbook.exists()) {
        throw error(errc::bad_input, "the file is an archive, but no XLSX file");
    }
    workbook.read_all();
    relations_part relations(file);
    relations.read_all();
    styles_part styles(file);
    styles.read_all();
    const auto whole = std::make_shared<book>();
    whole->file = file;
    whole->from_1904 = workbook.from_1904;
    whole->times = std::move(styles.times);
    strings_part strings(file, whole->strings);
    strings.read_all();

    std::vector<table_source> tables;
    for (const auto& [name, relation] : workbook.sheets) {
        const std::string part = relations.targets[relation];
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
