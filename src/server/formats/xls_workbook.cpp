// Reads the globals of a workbook, which stand before its sheets.
#include "server/formats/xls_workbook.hpp"
#include "server/formats/import_limits.hpp"
#include "server/formats/utf8.hpp"

#include <utility>

namespace bitdotio {

namespace {

constexpr std::size_t most_xls_styles = 65'536;

}  // namespace

// See: [MS-XLS] 2.1.7.20.3, the globals substream.
xls_workbook::xls_workbook(std::string whole) : stream(std::move(whole)) {
    xls_records records(stream, 0);
    take_begin(records.next());
    number_formats formats("XLS");
    std::vector<std::uint16_t> styles;
    for (xls_record one = records.next(); one.kind != xls_kind::end; one = records.next()) {
        switch (one.kind) {
            case xls_kind::file_pass:
                throw error(errc::bad_input,
                            "the XLS file is encrypted: save it without a password");
            case xls_kind::code_page:
                code_page = number_at<std::uint16_t>(one.data, 0);
                if (code_page == 0x8001) code_page = 1252;
                break;
            case xls_kind::date_mode: from_1904 = number_at<std::uint16_t>(one.data, 0) == 1; break;
            case xls_kind::number_format: {
                const auto number = number_at<std::uint16_t>(one.data, 0);
                xls_data data(records, one.data.substr(2));
                const std::size_t length = has_old_texts ? data.octet() : data.short_number();
                formats.add(number, text(data, length));
                break;
            }
            case xls_kind::cell_style:
                if (styles.size() == most_xls_styles) {
                    throw malformed_xls("it has more than 65,536 styles");
                }
                styles.push_back(number_at<std::uint16_t>(one.data, 2));
                break;
            case xls_kind::shared_strings: take_strings(records, one); break;
            case xls_kind::bound_sheet: take_sheet(records, one); break;
            default: break;
        }
    }
    for (const std::uint16_t number : styles)
        looks.push_back(formats.look(number));
}

// See: [MS-XLS] 2.4.21, BOF.
void xls_workbook::take_begin(const xls_record& from) {
    if (from.kind == xls_kind::begin_of_biff2 || from.kind == xls_kind::begin_of_biff3 ||
        from.kind == xls_kind::begin_of_biff4) {
        throw error(errc::bad_input,
                    "the XLS file is of Excel 4 or older, which is not read: save it as XLSX");
    }
    if (from.kind != xls_kind::begin) throw malformed_xls("its workbook has no beginning");
    const auto version = number_at<std::uint16_t>(from.data, 0);
    if (version != 0x0600 && version != 0x0500) {
        throw malformed_xls("its workbook has a version that is not known");
    }
    has_old_texts = version == 0x0500;
}

// Charts and macros are no tables; hidden sheets are. See: [MS-XLS] 2.4.28, BoundSheet8.
void xls_workbook::take_sheet(xls_records& records, const xls_record& from) {
    xls_sheet found;
    found.place = number_at<std::uint32_t>(from.data, 0);
    if (number_at<std::uint8_t>(from.data, 5) != 0) return;
    if (sheets.size() == most_sheets) {
        throw error(errc::bad_input, "the XLS file has more than 256 sheets");
    }
    xls_data data(records, from.data.substr(6));
    const std::size_t length = data.octet();
    found.name = text(data, length);
    if (!is_text(found.name)) throw malformed_xls("the name of a sheet is no text");
    for (const xls_sheet& each : sheets) {
        if (each.place == found.place) throw malformed_xls("two sheets are in one place");
    }
    sheets.push_back(std::move(found));
}

void xls_workbook::check_apart(std::size_t begin, std::size_t end) const {
    for (const xls_sheet& each : sheets) {
        if (each.place > begin && each.place < end) {
            throw malformed_xls("a sheet begins within another");
        }
    }
}

// The count is what some writers guess: the texts end where their records do. See:
// [MS-XLS] 2.4.265.
void xls_workbook::take_strings(xls_records& records, const xls_record& from) {
    xls_data data(records, from.data);
    data.skip(4);
    for (std::uint32_t left = data.number(); left > 0 && !data.at_end(); --left) {
        const std::size_t length = data.short_number();
        strings.add(data.text(length));
    }
}

}  // namespace bitdotio
