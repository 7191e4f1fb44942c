// The common part of spreadsheet readers: empty rows, headers, dates as numbers.
#pragma once

#include <bitdotio/error.hpp>

#include "server/formats/column_types.hpp"
#include "server/formats/header_guess.hpp"
#include "server/formats/table_reader.hpp"

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bitdotio {

/// A sheet as a table: rows without a value are skipped; the first other row may be a header, but
/// only if it is said: see `open_sheet`.
class sheet_reader : public table_reader {
public:
    sheet_reader(std::string sheet, header_row header)
        : sheet_(std::move(sheet)), header_(header) {}

    bool next(cells& row) override { return next_with_value(row); }

    const std::vector<std::string>& names() const override { return names_; }
    place_words words() const override {
        return {"row ", " of sheet \"" + cut_name(sheet_, longest_name) + "\""};
    }

    /// Reads the header, if there is one, so that `names` has it; call it after construction.
    void look() { waiting_ = begin(first_); }

protected:
    /// Reads the next row of the sheet, with or without values; false at the end.
    virtual bool next_row(cells& row) = 0;

private:
    // Returns false if the first row is not a row of the table.
    bool begin(cells& row) {
        if (!next_with_value(row)) return false;
        if (header_ != header_row::first_row) return true;
        for (const cell& each : row)
            names_.push_back(each.text);
        return false;
    }

    bool next_with_value(cells& row) {
        if (std::exchange(waiting_, false)) {
            row.swap(first_);
            return true;
        }
        while (next_row(row)) {
            // Cells within cells come to more than the places that they can name.
            if (row.size() > most_columns) {
                throw error(errc::bad_input, "a sheet has more than 1600 columns");
            }
            while (!row.empty() && row.back().kind == cell_kind::null)
                row.pop_back();
            if (!row.empty()) return true;
        }
        return false;
    }

    const std::string sheet_;
    const header_row header_;
    bool waiting_ = false;
    cells first_;
    std::vector<std::string> names_;
};

/// Opens a sheet, whose header is guessed if it is not said.
///
/// Parameters: `make` makes a new reader of the sheet, as a std::unique_ptr, for a `header_row`.
template <class Make>
std::unique_ptr<table_reader> open_sheet(header_row header, Make make) {
    if (header == header_row::automatic) {
        const auto fresh = make(header_row::none);
        header = guess_header(*fresh) ? header_row::first_row : header_row::none;
    }
    auto reader = make(header);
    reader->look();
    return reader;
}

/// The sheets that have a value or a header: an empty sheet, of which new workbooks have some, is
/// not a table.
///
/// Errors: errc::bad_input if all are empty.
std::vector<table_source> with_content(std::vector<table_source> sheets);

/// What a number format shows.
enum class number_look : std::uint8_t {
    plain,
    time,      ///< a date, with or without a time of day
    clock,     ///< a time of day alone
    duration,  ///< a number of hours, minutes or seconds
};
number_look look_of(std::string_view format_code);

/// The number formats of a workbook: its own, and those that every spreadsheet has.
///
/// Errors: errc::bad_input naming the format of the file.
class number_formats {
public:
    explicit number_formats(const char* format) : format_(format) {}

    void add(std::size_t number, std::string_view code);
    number_look look(std::size_t number) const;

private:
    const char* const format_;
    std::map<std::size_t, number_look> own_;
};

/// Converts a spreadsheet's number to the text that its format stands for: a date, a timestamp, a
/// time of day or a duration. False if it is shown as a number, or can be nothing else.
///
/// Parameters: `from_1904` if days are counted from that year, as old Macintoshes did.
bool set_sheet_number(cell& into, double number, number_look look, bool from_1904);

}  // namespace bitdotio
