// Reads XLSX: each sheet of a workbook is a table.
#include "server/formats/sheet_reader.hpp"
#include "server/formats/zip_xml.hpp"

#include <bitdotio/error.hpp>

#include <fcntl.h>
#include <unistd.h>
#include <algorithm>
#include <charconv>
#include <cstdio>
#include <deque>
#include <map>
#include <optional>

namespace bitdotio {

namespace {

constexpr std::size_t most_sheets = 256;
constexpr std::size_t longest_text = 1024 * 1024;
constexpr std::size_t most_strings = 50'000'000;

error malformed(const std::string& why) {
    return error(errc::bad_input, "the XLSX file is damaged: " + why);
}

template <class Attributes>
std::string_view attribute(const Attributes& values, std::string_view wanted) {
    for (const auto& [name, value] : values) {
        if (name == wanted) return value;
    }
    return {};
}

/// The texts that all sheets share, in an unnamed file: memory holds only where each begins.
class shared_strings {
public:
    explicit shared_strings(const std::filesystem::path& beside) {
        std::string name = (beside.parent_path() / "strings-XXXXXX").string();
        descriptor_ = ::mkostemp(name.data(), O_CLOEXEC);
        if (descriptor_ < 0) throw error(errc::system_failed, "a temporary file cannot be made");
        ::unlink(name.c_str());
        begins_.push_back(0);
    }
    ~shared_strings() { ::close(descriptor_); }
    shared_strings(const shared_strings&) = delete;
    shared_strings& operator=(const shared_strings&) = delete;

    void add(std::string_view text) {
        if (begins_.size() > most_strings) throw malformed("it has too many texts");
        waiting_.append(text);
        begins_.push_back(begins_.back() + text.size());
        if (waiting_.size() > 256 * 1024) flush();
    }

    void flush() {
        std::string_view rest = waiting_;
        while (!rest.empty()) {
            const ssize_t written = ::write(descriptor_, rest.data(), rest.size());
            if (written <= 0)
                throw error(errc::system_failed, "a temporary file cannot be written");
            rest.remove_prefix(static_cast<std::size_t>(written));
        }
        waiting_.clear();
    }

    void get(std::size_t index, std::string& text) const {
        if (index + 1 >= begins_.size())
            throw malformed("a cell refers to a text that is not there");
        text.resize(begins_[index + 1] - begins_[index]);
        const ssize_t got =
            ::pread(descriptor_, text.data(), text.size(), static_cast<off_t>(begins_[index]));
        if (got != static_cast<ssize_t>(text.size())) {
            throw error(errc::system_failed, "a temporary file cannot be read");
        }
    }

private:
    int descriptor_;
    std::string waiting_;
    std::vector<std::uint64_t> begins_;
};

class strings_part final : public zip_xml {
public:
    strings_part(const std::filesystem::path& file, shared_strings& into)
        : zip_xml(file, "xl/sharedStrings.xml"), into_(into) {}

private:
    void begin_element(std::string_view name, const attributes&) override {
        if (name == "rPh") ++phonetic_;
        in_text_ = name == "t" && phonetic_ == 0;
    }
    void end_element(std::string_view name) override {
        in_text_ = false;
        if (name == "rPh") --phonetic_;
        if (name == "si") {
            into_.add(text_);
            text_.clear();
        }
    }
    void characters(std::string_view text) override {
        if (!in_text_) return;
        text_.append(text);
        if (text_.size() > longest_text) throw malformed("a text is too long");
    }

    shared_strings& into_;
    std::string text_;
    int phonetic_ = 0;
    bool in_text_ = false;
};

/// Finds which cell styles show numbers as dates.
class styles_part final : public zip_xml {
public:
    explicit styles_part(const std::filesystem::path& file) : zip_xml(file, "xl/styles.xml") {}

    std::vector<bool> times;

private:
    void begin_element(std::string_view name, const attributes& values) override {
        if (name == "cellXfs") in_cells_ = true;
        if (name == "numFmt") {
            formats_[std::string(attribute(values, "numFmtId"))] =
                is_time_format(attribute(values, "formatCode"));
        } else if (name == "xf" && in_cells_) {
            times.push_back(is_time(std::string(attribute(values, "numFmtId"))));
        }
    }
    void end_element(std::string_view name) override {
        if (name == "cellXfs") in_cells_ = false;
    }
    void characters(std::string_view) override {}

    // Built-in formats have numbers but no codes. See: ECMA-376, Part 1, 18.8.30.
    bool is_time(const std::string& id) const {
        const auto own = formats_.find(id);
        if (own != formats_.end()) return own->second;
        int number = 0;
        std::from_chars(id.data(), id.data() + id.size(), number);
        return (number >= 14 && number <= 22) || (number >= 27 && number <= 36) ||
               (number >= 45 && number <= 47) || (number >= 50 && number <= 58);
    }

    std::map<std::string, bool> formats_;
    bool in_cells_ = false;
};

class workbook_part final : public zip_xml {
public:
    explicit workbook_part(const std::filesystem::path& file) : zip_xml(file, "xl/workbook.xml") {}

    std::vector<std::pair<std::string, std::string>> sheets;  ///< name and relation
    bool from_1904 = false;

private:
    void begin_element(std::string_view name, const attributes& values) override {
        if (name == "workbookPr") {
            const std::string_view flag = attribute(values, "date1904");
            from_1904 = flag == "1" || flag == "true";
        } else if (name == "sheet") {
            if (sheets.size() == most_sheets) throw malformed("it has more than 256 sheets");
            sheets.emplace_back(attribute(values, "name"), attribute(values, "id"));
        }
    }
    void end_element(std::string_view) override {}
    void characters(std::string_view) override {}
};

class relations_part final : public zip_xml {
public:
    explicit relations_part(const std::filesystem::path& file)
        : zip_xml(file, "xl/_rels/workbook.xml.rels") {}

    std::map<std::string, std::string> targets;

private:
    void begin_element(std::string_view name, const attributes& values) override {
        if (name != "Relationship" || targets.size() > 4 * most_sheets) return;
        std::string target(attribute(values, "Target"));
        target = target.starts_with('/') ? target.substr(1) : "xl/" + target;
        targets[std::string(attribute(values, "Id"))] = target;
    }
    void end_element(std::string_view) override {}
    void characters(std::string_view) override {}
};

struct book {
    std::filesystem::path file;
    bool from_1904 = false;
    std::vector<bool> times;
    std::optional<shared_strings> strings;
};

/// Reads the cells of a sheet row by row.
class sheet_part final : public zip_xml {
public:
    sheet_part(std::shared_ptr<const book> whole, const std::string& part)
        : zip_xml(whole->file, part), book_(std::move(whole)) {}

    std::deque<std::pair<std::uint64_t, cells>> rows;

private:
    void begin_element(std::string_view name, const attributes& values) override {
        if (name == "row") {
            begin_row(attribute(values, "r"));
        } else if (name == "c") {
            type_ = attribute(values, "t");
            style_ = number_of(attribute(values, "s")).value_or(0);
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
            rows.emplace_back(number_, std::move(row_));
            row_.clear();
        } else if (name == "c") {
            if (row_.size() <= column_) row_.resize(column_ + 1);
            take_value(row_[column_]);
            ++column_;
        } else if (name == "rPh") {
            --phonetic_;
        } else if (name == "v" || name == "t") {
            in_text_ = false;
        }
    }

    void characters(std::string_view text) override {
        if (!in_text_) return;
        text_.append(text);
        if (text_.size() > longest_text) throw malformed("a text is too long");
    }

    static std::optional<std::size_t> number_of(std::string_view text) {
        std::size_t value = 0;
        const auto read = std::from_chars(text.data(), text.data() + text.size(), value);
        if (read.ec != std::errc() || read.ptr != text.data() + text.size()) return std::nullopt;
        return value;
    }

    void begin_row(std::string_view number) {
        number_ = number_of(number).value_or(number_ + 1);
        if (number_ > 1'048'576) throw malformed("a sheet has more than 1,048,576 rows");
        column_ = 0;
        row_.clear();
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
        into.clear();
        if (type_ == "s") {
            const auto index = number_of(text_);
            if (!index) throw malformed("a cell refers to a text that is not there");
            if (!book_->strings) throw malformed("it has no texts");
            into.kind = cell_kind::text;
            book_->strings->get(*index, into.text);
        } else if (type_ == "str" || type_ == "inlineStr" || type_ == "d") {
            into.set(cell_kind::text, text_);
        } else if (type_ == "b") {
            into.set(cell_kind::boolean, text_ == "1" ? "true" : "false");
        } else if (type_ != "e" && !text_.empty()) {  // an error has no value
            double number = 0;
            const auto read = std::from_chars(text_.data(), text_.data() + text_.size(), number);
            const bool time =
                style_ < book_->times.size() && book_->times[style_] && read.ec == std::errc();
            if (!time || !set_sheet_time(into, number, book_->from_1904)) {
                into.set(cell_kind::number, text_);
            }
        }
        if (into.kind == cell_kind::text && into.text.empty()) into.clear();
    }

    const std::shared_ptr<const book> book_;
    std::uint64_t number_ = 0;
    std::size_t column_ = 0;
    std::size_t style_ = 0;
    std::string type_;
    std::string text_;
    int phonetic_ = 0;
    bool in_text_ = false;
    cells row_;
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
        while (part_.rows.empty()) {
            if (!part_.step()) return false;
        }
        number_ = part_.rows.front().first;
        row = std::move(part_.rows.front().second);
        part_.rows.pop_front();
        return true;
    }
    std::uint64_t row_number() const override { return number_; }

    sheet_part part_;
    std::uint64_t number_ = 0;
};

}  // namespace

std::vector<table_source> open_xlsx(std::filesystem::path file, header_row header) {
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
    whole->strings.emplace(file);
    strings_part strings(file, *whole->strings);
    strings.read_all();
    whole->strings->flush();

    std::vector<table_source> tables;
    for (const auto& [name, relation] : workbook.sheets) {
        const std::string part = relations.targets[relation];
        table_source table;
        table.name = name;
        table.open = [whole, name = name, part, header] {
            auto reader = std::make_unique<xlsx_reader>(whole, name, part, header);
            reader->look();
            return reader;
        };
        tables.push_back(std::move(table));
    }
    return with_content(std::move(tables));
}

}  // namespace bitdotio
