// Reads XLS: each sheet of a workbook is a table.
#include "server/formats/compound_file.hpp"
#include "server/formats/import_limits.hpp"
#include "server/formats/sheet_reader.hpp"
#include "server/formats/utf8.hpp"
#include "server/formats/xls_workbook.hpp"

#include <bitdotio/error.hpp>

#include <algorithm>
#include <bit>
#include <charconv>
#include <cmath>
#include <utility>

namespace bitdotio {

namespace {

// The format's own limits, 65,536 rows of 256 columns, seldom lead to more. All of it is in memory.
constexpr std::uintmax_t largest_file = 128 * 1024 * 1024;
constexpr std::size_t most_xls_columns = 256;

// A number of 30 bits: an integer, or the upper part of a double; perhaps a hundred times what it
// means. See: [MS-XLS] 2.5.217, RkNumber.
double number_of_rk(std::uint32_t rk) {
    const double value = (rk & 2) != 0
                             ? static_cast<double>(static_cast<std::int32_t>(rk) >> 2)
                             : std::bit_cast<double>(std::uint64_t{rk & 0xfffffffc} << 32);
    return (rk & 1) != 0 ? value / 100 : value;
}

class xls_reader final : public sheet_reader {
public:
    xls_reader(std::shared_ptr<const xls_workbook> whole, const xls_sheet& sheet, header_row header)
        : sheet_reader(sheet.name, header), book_(std::move(whole)) {
        find_cells(sheet.place);
    }

private:
    struct found_cell {
        std::uint32_t place;  // of its record
        std::uint16_t row;
    };

    bool next_row(cells& row) override {
        row.clear();
        if (at_ == cells_.size()) return false;
        row_ = cells_[at_].row;
        size_ = 0;
        for (; at_ < cells_.size() && cells_[at_].row == row_; ++at_)
            take(cells_[at_].place, row);
        return true;
    }

    std::uint64_t number() const override { return std::uint64_t{row_} + 1; }

    // Not every writer keeps the order of rows, so the cells are looked for first. Charts within
    // the sheet have a beginning and an end of their own.
    void find_cells(std::size_t place) {
        xls_records records(book_->stream, place);
        if (records.next().kind != xls_kind::begin) {
            throw malformed_xls("a sheet is not where it should be");
        }
        for (std::size_t depth = 1; depth > 0;) {
            const xls_record one = records.next();
            switch (one.kind) {
                case xls_kind::begin: ++depth; break;
                case xls_kind::end:
                    if (--depth == 0) book_->check_apart(place, one.place);
                    break;
                case xls_kind::formula:
                case xls_kind::mul_rk:
                case xls_kind::rich_string:
                case xls_kind::label_of_shared:
                case xls_kind::number:
                case xls_kind::label:
                case xls_kind::bool_or_error:
                case xls_kind::rk:
                    if (depth > 1) break;
                    cells_.push_back({static_cast<std::uint32_t>(one.place),
                                      number_at<std::uint16_t>(one.data, 0)});
                    break;
                default: break;
            }
        }
        const auto by_row = [](const found_cell& a, const found_cell& b) { return a.row < b.row; };
        if (!std::is_sorted(cells_.begin(), cells_.end(), by_row)) {
            std::stable_sort(cells_.begin(), cells_.end(), by_row);
        }
    }

    // See: [MS-XLS] 2.5.13, Cell, with which all of these records begin.
    void take(std::size_t place, cells& row) {
        xls_records records(book_->stream, place);
        const xls_record one = records.next();
        const std::size_t column = number_at<std::uint16_t>(one.data, 2);
        if (one.kind == xls_kind::mul_rk) {
            take_many(one.data, column, row);
            return;
        }
        const auto style = number_at<std::uint16_t>(one.data, 4);
        cell& into = at(row, column);
        switch (one.kind) {
            case xls_kind::number: take_number(into, number_at<double>(one.data, 6), style); break;
            case xls_kind::rk:
                take_number(into, number_of_rk(number_at<std::uint32_t>(one.data, 6)), style);
                break;
            case xls_kind::bool_or_error:
                if (number_at<std::uint8_t>(one.data, 7) == 0) {
                    take_boolean(into, number_at<std::uint8_t>(one.data, 6));
                }
                break;
            case xls_kind::label_of_shared:
                take_text(into, book_->strings.get(number_at<std::uint32_t>(one.data, 6)));
                break;
            case xls_kind::formula: take_result(into, one.data, style, records); break;
            default: {  // label, rich_string
                xls_data data(records, one.data.substr(std::min<std::size_t>(6, one.data.size())));
                const std::size_t length = data.short_number();
                take_text(into, book_->text(data, length));
            }
        }
    }

    // Numbers side by side. See: [MS-XLS] 2.4.175, MulRk.
    void take_many(std::string_view data, std::size_t column, cells& row) {
        constexpr std::size_t size = 6;
        for (std::size_t i = 4; i + size + 2 <= data.size(); i += size, ++column) {
            take_number(at(row, column), number_of_rk(number_at<std::uint32_t>(data, i + 2)),
                        number_at<std::uint16_t>(data, i));
        }
    }

    // What the formula came to when the file was written. See: [MS-XLS] 2.5.133, FormulaValue.
    void take_result(cell& into, std::string_view data, std::size_t style, xls_records& after) {
        if (number_at<std::uint16_t>(data, 12) != 0xffff) {
            take_number(into, number_at<double>(data, 6), style);
            return;
        }
        const auto kind = number_at<std::uint8_t>(data, 6);
        if (kind == 1) take_boolean(into, number_at<std::uint8_t>(data, 8));
        if (kind != 0) return;  // an error has no value, nor has an empty text
        xls_record one = after.next();
        while (one.kind == xls_kind::array || one.kind == xls_kind::data_table ||
               one.kind == xls_kind::shared_formula || one.kind == xls_kind::continued) {
            one = after.next();
        }
        if (one.kind != xls_kind::string) throw malformed_xls("the text of a formula is missing");
        xls_data text(after, one.data);
        const std::size_t length = text.short_number();
        take_text(into, book_->text(text, length));
    }

    cell& at(cells& row, std::size_t column) const {
        if (column >= most_xls_columns) {
            throw malformed_xls("a sheet has more than 256 columns");
        }
        if (row.size() <= column) row.resize(column + 1);
        row[column].clear();
        return row[column];
    }

    void take_boolean(cell& into, unsigned value) const {
        into.set(cell_kind::boolean, value != 0 ? "true" : "false");
    }

    void take_number(cell& into, double number, std::size_t style) const {
        if (!std::isfinite(number)) return;  // no spreadsheet has them
        if (set_sheet_number(into, number, book_->look(style), book_->from_1904)) return;
        char text[32];
        const auto end = std::to_chars(text, text + sizeof text, number).ptr;
        into.set(cell_kind::number, std::string_view(text, end));
    }

    void take_text(cell& into, std::string_view text) {
        // Also what is taken for the same place again: it was read.
        size_ += text.size();
        if (size_ > longest_row) throw error(errc::bad_input, place() + " has more than 64 MiB");
        if (text.empty()) return;
        if (is_too_long_for_sheet(text)) {
            throw error(errc::bad_input, place() + " has a text of more than 32,767 characters");
        }
        if (!is_text(text)) {
            throw error(errc::bad_input, place() + " has half of a character, or a zero");
        }
        into.set(cell_kind::text, text);
    }

    const std::shared_ptr<const xls_workbook> book_;
    std::vector<found_cell> cells_;
    std::size_t at_ = 0;
    std::uint16_t row_ = 0;
    std::size_t size_ = 0;  ///< of the row's texts that have been read
};

// Reads the stream of the workbook, or says what the file is instead.
std::string workbook_stream(const input_handle& file) {
    const compound_file whole(file);
    for (const char* name : {"Workbook", "Book"}) {
        if (whole.has(name)) return whole.read(name);
    }
    if (whole.has("EncryptedPackage")) {
        throw error(errc::bad_input, "the file is encrypted: save it without a password");
    }
    if (whole.has("WordDocument")) {
        throw error(errc::bad_input, "the file is a Word document, not a workbook");
    }
    throw error(errc::bad_input, "the file begins like an XLS file, and has no workbook");
}

}  // namespace

std::vector<table_source> open_xls(input_handle file, header_row header) {
    if (file->size() > largest_file) {
        throw error(errc::bad_input, "the XLS file is larger than 128 MiB: save it as XLSX");
    }
    const auto whole = std::make_shared<const xls_workbook>(workbook_stream(file));
    if (whole->sheets.empty()) throw error(errc::bad_input, "the XLS file has no sheets");
    std::vector<table_source> tables;
    for (const xls_sheet& sheet : whole->sheets) {
        table_source table;
        table.name = sheet.name;
        table.open = [whole, &sheet, header] {
            return open_sheet(header, [&](header_row how) {
                return std::make_unique<xls_reader>(whole, sheet, how);
            });
        };
        tables.push_back(std::move(table));
    }
    return with_content(std::move(tables));
}

}  // namespace bitdotio
