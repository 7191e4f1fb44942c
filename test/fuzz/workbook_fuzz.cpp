// Workbooks: the parts of an XLSX file, and the stream of an XLS file. They are packed here, so
// that what is around them is good.
//
// An input is a letter, which says the format and whether there is a header. XLSX (A to C) goes on
// with its parts and an octet of 1 between them, which XML cannot have: a sheet, texts, styles,
// workbook, relations. Those that are missing are plain ones. XLS (D to F) goes on with its stream.
#include "fuzz.hpp"
#include "scratch.hpp"
#include "table_walk.hpp"

#include "server/formats/sheet_reader.hpp"
#include "support/xls_file.hpp"

#include <minizip/zip.h>

#include <string>
#include <utility>

using namespace bitdotio;
using fuzz::reads;
using fuzz::require;

namespace {

constexpr std::string_view workbook_xml =
    "<workbook><workbookPr/><sheets><sheet name='One' id='a'/></sheets></workbook>";
constexpr std::string_view relations_xml =
    "<Relationships><Relationship Id='a' Target='worksheets/one.xml'/></Relationships>";

constexpr std::pair<const char*, std::string_view> parts[] = {
    {"xl/worksheets/one.xml", "<worksheet/>"},
    {"xl/sharedStrings.xml", ""},
    {"xl/styles.xml", ""},
    {"xl/workbook.xml", workbook_xml},
    {"xl/_rels/workbook.xml.rels", relations_xml},
};

void add(zipFile archive, const char* name, std::string_view content) {
    zip_fileinfo about{};
    zipOpenNewFileInZip64(archive, name, &about, nullptr, 0, nullptr, 0, nullptr, 0, 0, 0);
    zipWriteInFileInZip(archive, content.data(), static_cast<unsigned>(content.size()));
    zipCloseFileInZip(archive);
}

// A number of a cell is a time that COPY takes, or none.
void number(std::string_view text) {
    const double value = std::strtod(std::string(text.substr(0, 30)).c_str(), nullptr);
    for (const bool from_1904 : {false, true}) {
        cell made;
        if (!set_sheet_number(made, value, number_look::time, from_1904)) continue;
        require(made.kind == cell_kind::literal || type_of(made) == column_type::date ||
                    type_of(made) == column_type::plain_timestamp,
                "a date of a sheet is a date of the database");
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    fuzz::input in(data, size);
    const std::size_t letter = in.letter(6);
    const auto header = static_cast<header_row>(letter % 3);
    if (letter >= 3) {
        const std::string whole = test::xls::compound({{"Workbook", std::string(in.rest())}});
        const auto file = fuzz::scratch::one().write("book", whole);
        reads({errc::bad_input},
              [&] { fuzz::walk_tables(open_xls(fuzz::input_of{file}, header)); });
        return 0;
    }
    number(in.rest());
    look_of(in.rest());
    const auto file = fuzz::scratch::one().path("workbook");
    zipFile archive = zipOpen64(file.c_str(), APPEND_STATUS_CREATE);
    for (const auto& [name, plain] : parts) {
        const std::string_view given = in.until('\1');
        const std::string_view content = given.empty() ? plain : given;
        if (!content.empty()) add(archive, name, content);
    }
    zipClose(archive, nullptr);
    reads({errc::bad_input}, [&] { fuzz::walk_tables(open_xlsx(fuzz::input_of{file}, header)); });
    return 0;
}
