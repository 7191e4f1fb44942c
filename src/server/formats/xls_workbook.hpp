// What the sheets of an XLS file share: texts, formats, and where each sheet begins.
#pragma once

#include "server/formats/shared_strings.hpp"
#include "server/formats/sheet_reader.hpp"
#include "server/formats/xls_records.hpp"

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace bitdotio {

struct xls_sheet {
    std::string name;
    std::size_t place = 0;  ///< in the stream
};

/// A workbook of Excel 97 and later (BIFF8), or of Excel 5 and 95 (BIFF5).
struct xls_workbook {
    /// Reads the part before the sheets.
    ///
    /// Errors: errc::bad_input saying what is damaged, or that the file is encrypted or older.
    explicit xls_workbook(std::string whole);

    /// The look of a cell's number.
    number_look look(std::size_t style) const {
        return style < looks.size() ? looks[style] : number_look::plain;
    }

    /// A text of the kind that cells have, after its length.
    std::string text(xls_data& from, std::size_t characters) const {
        return has_old_texts ? from.old_text(characters, code_page) : from.text(characters);
    }

    const std::string stream;
    bool has_old_texts = false;  ///< bytes of a code page
    unsigned code_page = 1252;
    bool from_1904 = false;
    std::vector<number_look> looks;  ///< by cell style
    shared_strings strings{"XLS"};
    std::vector<xls_sheet> sheets;

    /// Refuses a sheet from `begin` to `end` within which another one begins: then none of them is
    /// read more than once, however many there are.
    ///
    /// Errors: errc::bad_input.
    void check_apart(std::size_t begin, std::size_t end) const;

private:
    void take_begin(const xls_record& from);
    void take_sheet(xls_records& records, const xls_record& from);
    void take_strings(xls_records& records, const xls_record& from);
};

}  // namespace bitdotio
