// Files of every format become rows, or report where they cannot be read; columns get their types.
#include "server/formats/table_reader.hpp"
#include "server/formats/column_types.hpp"
#include "server/formats/row_writer.hpp"
#include "server/jobs/table_load.hpp"
#include "support/child.hpp"
#include "support/xls_file.hpp"

#include <bitdotio/error.hpp>

#include <doctest/doctest.h>
#include <minizip/zip.h>
#include <sqlite3.h>

#include <fstream>
#include <sstream>
#include <vector>

using namespace bitdotio;
using namespace std::string_literals;

namespace {

// Readers take files that are open.
input_handle opened(const std::filesystem::path& file) {
    return std::make_shared<const input_file>(file);
}

struct scratch {
    test::temporary_directory directory;

    std::filesystem::path write(const std::string& content, const char* name = "file") const {
        const std::filesystem::path file = directory / name;
        std::ofstream(file, std::ios::binary) << content;
        return file;
    }
};

// All rows of a table, a line each; NULL is "~", nested and literal values are marked.
std::string rows_of(const table_source& table) {
    const auto reader = table.open();
    std::string text;
    for (const std::string& name : reader->names())
        text += "<" + name + ">";
    if (!text.empty()) text += "\n";
    cells row;
    while (reader->next(row)) {
        for (std::size_t i = 0; i < row.size(); ++i) {
            text += (i > 0 ? "|" : "") + (row[i].kind == cell_kind::null ? "~" : row[i].text);
        }
        text += "\n";
    }
    return text;
}

std::string csv(const std::string& content, header_row header = header_row::automatic) {
    const scratch place;
    return rows_of(open_csv(opened(place.write(content)), header).at(0));
}

std::string json(const std::string& content) {
    const scratch place;
    return rows_of(open_json(opened(place.write(content))).at(0));
}

template <class Read>
std::string refusal(Read read, const std::string& content) {
    try {
        return "no error, but: " + read(content);
    } catch (const error& failure) {
        CHECK(failure.code() == errc::bad_input);
        return failure.what();
    }
}

std::string read_csv(const std::string& content) {
    return csv(content);
}

bool has(const std::string& text, const std::string& part) {
    CAPTURE(text);
    return text.find(part) != std::string::npos;
}

column_type type_of_text(const std::string& text) {
    cell value;
    value.set(cell_kind::untyped, text);
    return type_of(value);
}

// A packed archive of parts.
std::filesystem::path zip(const std::filesystem::path& file,
                          const std::vector<std::pair<std::string, std::string>>& parts) {
    zipFile archive = zipOpen64(file.c_str(), APPEND_STATUS_CREATE);
    for (const auto& [name, content] : parts) {
        zip_fileinfo about{};
        zipOpenNewFileInZip64(archive, name.c_str(), &about, nullptr, 0, nullptr, 0, nullptr,
                              Z_DEFLATED, 9, 0);
        zipWriteInFileInZip(archive, content.data(), static_cast<unsigned>(content.size()));
        zipCloseFileInZip(archive);
    }
    zipClose(archive, nullptr);
    return file;
}

const char* const workbook_xml =
    "<workbook xmlns='http://schemas.openxmlformats.org/spreadsheetml/2006/main' "
    "xmlns:r='http://schemas.openxmlformats.org/officeDocument/2006/relationships'>"
    "<sheets><sheet name='One' sheetId='1' r:id='a'/><sheet name='Two' sheetId='2' r:id='b'/>"
    "</sheets></workbook>";
const char* const relations_xml =
    "<Relationships><Relationship Id='a' Target='worksheets/one.xml'/>"
    "<Relationship Id='b' Target='/xl/worksheets/two.xml'/></Relationships>";

}  // namespace

TEST_CASE("CSV is read as RFC 4180 says, whatever ends its lines") {
    CHECK(csv("a,b\r\n1,2\r\n") == "<a><b>\n1|2\n");
    CHECK(csv("a,b\n1,2") == "<a><b>\n1|2\n");
    CHECK(csv("a,b\r1,2\r") == "<a><b>\n1|2\n");
    CHECK(csv("a,b\n\"x,\"\"y\"\"\nz\",2\n") == "<a><b>\nx,\"y\"\nz|2\n");
    CHECK(csv("\xef\xbb\xbf"
              "a\n1\n") == "<a>\n1\n");
    CHECK(csv("a,b\n1,2\n\n3,4\n\n") == "<a><b>\n1|2\n3|4\n");
    CHECK(csv("a,b\n,\"\"\n") == "<a><b>\n~|\n");
    CHECK(csv("a\n\n1\n") == "<a>\n~\n1\n");
    CHECK(csv("a,b\n5\" disk,it's\n") == "<a><b>\n5\" disk|it's\n");
}

TEST_CASE("a header is found by its looks, or as it was said") {
    CHECK(csv("name,age\nAlice,45\n") == "<name><age>\nAlice|45\n");
    CHECK(csv("Alice,45\nBob,84\n") == "Alice|45\nBob|84\n");
    CHECK(csv("a,a\n1,2\n") == "<a><a>\n1|2\n");
    CHECK(csv("a,a\nb,c\n") == "a|a\nb|c\n");
    CHECK(csv("1,2\n3,4\n", header_row::first_row) == "<1><2>\n3|4\n");
    CHECK(csv("a,b\nc,d\n", header_row::none) == "a|b\nc|d\n");
}

TEST_CASE("what is no CSV is refused, and the line is named") {
    CHECK(has(refusal(read_csv, "a,b\n1,2\n1,2,3\n"), "line 3 has 3 fields"));
    CHECK(has(refusal(read_csv, "a,b\n\"x\ny\",2\n1\n"), "line 4 has 1 fields"));
    CHECK(has(refusal(read_csv, "a\n\"open\n"), "line 2 opens a quote"));
    CHECK(has(refusal(read_csv, "a\n\"x\"y\n"), "line 2 goes on behind a closing quote"));
    CHECK(has(refusal(read_csv, "a\nfine\nM\xfcller\n"), "line 3 is not UTF-8"));
    CHECK(has(refusal(read_csv, "a\n\xed\xa0\x80\n"), "line 2 is not UTF-8"));
    CHECK(has(refusal(read_csv, "a\nx\0y\n"s), "zero byte"));
}

TEST_CASE("CSV is read over the ends of buffers") {
    std::string content = "n,t\n";
    std::string wanted = "<n><t>\n";
    for (int i = 0; i < 40'000; ++i) {
        const std::string number = std::to_string(i);
        content += number + ",\"x\"\"" + number + "\"\r\n";
        wanted += number + "|x\"" + number + "\n";
    }
    CHECK(csv(content) == wanted);
}

TEST_CASE("JSON is a list of objects; a missing key is NULL, one object is one row") {
    CHECK(json(R"([{"a": 1, "b": "x"}, {"b": "\u00e4\"", "c": [1, {"d": 1.10}]}])") ==
          "1|x\n~|ä\"|[1, {\"d\": 1.10}]\n");
    CHECK(json(R"({"a": true, "b": null})") == "true|~\n");
    CHECK(json("[]") == "");
    CHECK(json(R"([{}])") == "\n");
    CHECK(json(R"([{"a": 12345678901234567890.10}])") == "12345678901234567890.10\n");
    CHECK(json("{\"a\": 1}\n{\"a\": 2}\n") == "1\n2\n");
    CHECK(json(R"([{"a": "}]\\"}])") == "}]\\\n");
}

TEST_CASE("what is no list of objects is refused, and the object is named") {
    CHECK(has(refusal(json, "[1]"), "object 1"));
    CHECK(has(refusal(json, "[{\"a\": 1} {\"a\": 2}]"), "object 1"));
    CHECK(has(refusal(json, "[{\"a\": 1}, {\"a\": tru}]"), "object 2"));
    CHECK(has(refusal(json, "[{\"a\": 1}"), "object 1"));
    CHECK(has(refusal(json, "[{\"a\": 1"), "ends within it"));
    CHECK(has(refusal(json, "[{\"a\": 1}] x"), "goes on"));
    CHECK(has(refusal(json, "[{\"a\": \"\\u0000\"}]"), "U+0000"));
    CHECK(has(refusal(json, "[{\"a\": \"\xff\"}]"), "object 1"));
    CHECK(has(refusal(json, "[{\"a\": " + std::string(300, '[') + std::string(300, ']') + "}]"),
              "nested too deeply"));
}

TEST_CASE("JSON is read over the ends of buffers") {
    std::string content = "[";
    std::string wanted;
    for (int i = 0; i < 30'000; ++i) {
        const std::string number = std::to_string(i);
        content +=
            (i > 0 ? ",\n" : "") + R"({"n": )"s + number + R"(, "t": "\"x\\)" + number + "\"}";
        wanted += number + "|\"x\\" + number + "\n";
    }
    CHECK(json(content + "]") == wanted);
}

TEST_CASE("a column's type is the narrowest that loses nothing") {
    using enum column_type;
    const std::pair<const char*, column_type> values[] = {
        {"0", bigint},
        {"-12", bigint},
        {"+5", column_type::text},
        {"+41446681800", column_type::text},
        {"+1.5", column_type::text},
        {"9007199254740993", large_bigint},
        {"9223372036854775807", large_bigint},
        {"9223372036854775808", column_type::text},
        {"007", column_type::text},
        {"1.5", double_precision},
        {".5", double_precision},
        {"-1e300", double_precision},
        {"1e400", column_type::text},
        {"NaN", double_precision},
        {"12345678901234567.89", numeric},
        {"-0.12345678901234567890", numeric},
        {"1.2345678901234567890e5", numeric},
        {"0.30000000000000004", double_precision},
        {"1.7976931348623157e+308", double_precision},
        {"2.2250738585072014e-308", double_precision},
        {"100000000000000000.0", double_precision},
        {"1.10000000000000000000", double_precision},
        {"0.1000000000000000055511151231257827", numeric},
        {"1.", double_precision},
        {".", column_type::text},
        {"1e", column_type::text},
        {"12a", column_type::text},
        {"-", column_type::text},
        {"true", boolean},
        {"F", boolean},
        {"yes", column_type::text},
        {"2024-02-29", date},
        {"2023-02-29", column_type::text},
        {"2024-13-01", column_type::text},
        {"2024-05-06T07:08:09.123456", plain_timestamp},
        {"2024-05-06 07:08", plain_timestamp},
        {"2024-05-06 25:08", column_type::text},
        {"2024-05-06T07:08:09Z", zoned_timestamp},
        {"2024-05-06 07:08:09+02:00", zoned_timestamp},
        {"2024-05-06 07:08:09+0", column_type::text},
        {"", column_type::text},
        {"hello", column_type::text},
    };
    for (const auto& [text, type] : values) {
        CAPTURE(text);
        CHECK(type_of_text(text) == type);
    }
}

TEST_CASE("two types meet in one that holds both, or in text") {
    using enum column_type;
    CHECK(wider(bigint, double_precision) == double_precision);
    CHECK(wider(large_bigint, double_precision) == numeric);
    CHECK(wider(numeric, double_precision) == numeric);
    CHECK(wider(bigint, numeric) == numeric);
    CHECK(wider(numeric, column_type::text) == column_type::text);
    CHECK(wider(bigint, large_bigint) == large_bigint);
    CHECK(wider(date, plain_timestamp) == plain_timestamp);
    CHECK(wider(date, zoned_timestamp) == column_type::text);
    CHECK(wider(boolean, bigint) == column_type::text);
    CHECK(wider(unknown, boolean) == boolean);
    CHECK(wider(column_type::text, jsonb) == jsonb);
}

TEST_CASE("names of columns are made such that a table can have them") {
    CHECK(usable_names({"a", "", "a", "a_2"}, 5) ==
          std::vector<std::string>{"a", "column_2", "a_2", "a_2_2", "column_5"});
    const std::string longer = std::string(62, 'x') + "ä";
    CHECK(usable_names({longer, longer}, 2) ==
          std::vector<std::string>{std::string(62, 'x'), std::string(61, 'x') + "_2"});
}

TEST_CASE("a value that does not fit is found late, and all columns fit afterwards") {
    std::string content = "n,t\n";
    for (int i = 0; i < 1'500; ++i)
        content += std::to_string(i) + ",2024-01-01\n";
    content += "1.5,\nx,2024-01-01 10:00\n";
    const scratch place;
    table_load load(open_csv(opened(place.write(content)), header_row::automatic).at(0));
    load.sample();
    CHECK(load.columns()[0].type == column_type::bigint);
    load.rewind();
    std::string out;
    CHECK(load.fill(out) == table_load::progress::misfit);
    CHECK_FALSE(load.widen());
    CHECK(load.columns()[0].type == column_type::text);
    CHECK(load.columns()[1].type == column_type::plain_timestamp);
    load.rewind();
    out.clear();
    CHECK(load.fill(out) == table_load::progress::end);
    CHECK(out.ends_with("1.5\t\\N\nx\t2024-01-01 10:00\n"));
}

TEST_CASE("COPY's text format is written so that it is read back the same") {
    cell value;
    value.set(cell_kind::text, "a\tb\nc\rd\\e");
    std::string out;
    append_copy_text(out, value, column_type::text);
    CHECK(out == "a\\tb\\nc\\rd\\\\e");
    out.clear();
    append_copy_text(out, value, column_type::jsonb);
    CHECK(out == R"("a\\tb\\nc\\rd\\\\e")");
    out.clear();
    append_copy_text(out, cell(), column_type::text);
    CHECK(out == "\\N");

    struct listed final : row_writer {
        std::string text;
        void write(const export_row& row) override {
            for (const auto& each : row)
                text += "[" + std::string(each.value_or("NULL")) + "]";
            text += "\n";
        }
        void finish() override {}
    } writer;
    std::string piece = "a\\tb\\\\N\t\\N\t\n\\N\t\t\\\\\\n\n";
    write_copy_rows(piece, 3, writer);
    CHECK(writer.text == "[a\tb\\N][NULL][]\n[NULL][][\\\n]\n");
}

TEST_CASE("an XLSX file is read as it was written, dates and times too") {
    const scratch place;
    const std::filesystem::path file = place.directory / "book.xlsx";
    const auto writer = make_xlsx_writer(file, {{"n", oids::int8},
                                                {"big", oids::int8},
                                                {"f", oids::float8},
                                                {"b", oids::boolean},
                                                {"d", oids::date},
                                                {"ts", oids::timestamp},
                                                {"t", oids::text}});
    writer->write({"1", "9007199254740993", "0.1", "t", "2024-02-29", "2024-05-06 07:08:09.25",
                   "a <b> & \"c\" ä"});
    writer->write(
        {"-2", std::nullopt, "1e+20", "f", "1850-01-01", "1900-03-01 00:00:00.000001", " x\n"});
    writer->finish();
    CHECK(rows_of(open_xlsx(opened(file), header_row::automatic).at(0)) ==
          "<n><big><f><b><d><ts><t>\n"
          "1|9007199254740993|0.1|true|2024-02-29|2024-05-06 07:08:09.250|a <b> & \"c\" ä\n"
          "-2|~|1E+20|false|1850-01-01|1900-03-01 00:00:00.000001| x\n\n");
}

TEST_CASE("the sheets of an XLSX file share texts, skip cells and rows, and are tables each") {
    const scratch place;
    const auto file = zip(
        place.directory / "book.xlsx",
        {{"xl/workbook.xml", workbook_xml},
         {"xl/_rels/workbook.xml.rels", relations_xml},
         {"xl/sharedStrings.xml",
          "<sst><si><t>name</t></si><si><r><t>Al</t></r><r><t>ice</t></r><rPh><t>no</t></rPh></si>"
          "<si><t>age</t></si></sst>"},
         {"xl/styles.xml",
          "<styleSheet><numFmts><numFmt numFmtId='170' formatCode='d.m.yyyy'/></numFmts>"
          "<cellXfs><xf numFmtId='0'/><xf numFmtId='170'/></cellXfs></styleSheet>"},
         {"xl/worksheets/one.xml",
          "<worksheet><sheetData><row r='2'><c r='A2' t='s'><v>0</v></c><c r='C2' t='s'><v>2</v>"
          "</c></row><row r='4'><c r='A4' t='s'><v>1</v></c><c r='B4' s='1'><v>45000</v></c>"
          "<c r='C4'><v>45</v></c><c r='D4' t='e'><v>#N/A</v></c></row></sheetData></worksheet>"},
         {"xl/worksheets/two.xml", "<worksheet><sheetData/></worksheet>"}});
    const auto tables = open_xlsx(opened(file), header_row::first_row);
    REQUIRE(tables.size() == 1);
    CHECK(tables[0].name == "One");
    CHECK(rows_of(tables[0]) == "<name><><age>\nAlice|2023-03-15|45\n");
}

TEST_CASE("an archive that unpacks to a thousand times its size is refused") {
    const scratch place;
    const std::string bomb = "<worksheet><sheetData><row><c t='inlineStr'><is>" +
                             std::string(120 * 1024 * 1024, ' ') + "</is></c></row>";
    const auto file =
        zip(place.directory / "bomb.xlsx", {{"xl/workbook.xml", workbook_xml},
                                            {"xl/_rels/workbook.xml.rels", relations_xml},
                                            {"xl/worksheets/one.xml", bomb}});
    CHECK_THROWS_WITH_AS(open_xlsx(opened(file), header_row::automatic),
                         "the XLSX file is damaged: its part xl/worksheets/one.xml unpacks to "
                         "more than is allowed",
                         error);
    const auto laughs = zip(place.directory / "laughs.xlsx",
                            {{"xl/workbook.xml", "<!DOCTYPE x [<!ENTITY a 'ha'>]><x>&a;</x>"}});
    CHECK_THROWS_WITH_AS(open_xlsx(opened(laughs), header_row::automatic),
                         "the XLSX file is damaged: its part xl/workbook.xml has a document type, "
                         "which is not allowed",
                         error);
    CHECK_THROWS_AS(open_xlsx(opened(place.write("PK\x03\x04 no archive")), header_row::automatic),
                    error);
}

TEST_CASE("cells within cells do not make a sheet wider than a table can be") {
    const scratch place;
    const auto file =
        zip(place.directory / "nested.xlsx",
            {{"xl/workbook.xml", workbook_xml},
             {"xl/_rels/workbook.xml.rels", relations_xml},
             {"xl/worksheets/one.xml",
              "<worksheet><row><c r='A1'><c r='BIN1'><v>1</v></c></c></row></worksheet>"},
             {"xl/worksheets/two.xml", "<worksheet/>"}});
    CHECK_THROWS_WITH_AS(open_xlsx(opened(file), header_row::none),
                         "a sheet has more than 1600 columns", error);
}

TEST_CASE("an XLS file is read, empty sheets are passed over") {
    const auto tables =
        open_tables(opened(TEST_DATA "/people.xls"), "people", header_row::automatic);
    REQUIRE(tables.size() == 1);
    CHECK(tables[0].name == "People");
    CHECK(rows_of(tables[0]) ==
          "<name><age><height><born><seen><here>\n"
          "Alice|45|1.75|1979-03-14|2024-05-06 07:08:09|true\n"
          "Böb|84|~|1940-12-31\n");
    const scratch place;
    const std::string begin("\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1 and no more");
    CHECK_THROWS_AS(open_tables(opened(place.write(begin)), "x", header_row::automatic), error);
}

TEST_CASE("the tables of a SQLite file are read, its views are not") {
    const scratch place;
    const std::filesystem::path file = place.directory / "some%20.db";
    sqlite3* made = nullptr;
    REQUIRE(sqlite3_open(file.c_str(), &made) == SQLITE_OK);
    REQUIRE(sqlite3_exec(made,
                         "PRAGMA journal_mode = WAL; CREATE TABLE \"t \"\"1\"(i INTEGER, r REAL, "
                         "t TEXT, b BLOB); INSERT INTO \"t \"\"1\" VALUES "
                         "(9007199254740993, 2.0, 'ä', x'00ff'), (NULL, 1e999, '007', 5);"
                         "CREATE VIEW v AS SELECT 1; CREATE TABLE z(x); INSERT INTO z VALUES (1)",
                         nullptr, nullptr, nullptr) == SQLITE_OK);
    sqlite3_close(made);
    const auto tables = open_tables(opened(file), "x", header_row::automatic);
    REQUIRE(tables.size() == 2);
    CHECK(tables[0].name == "t \"1");
    CHECK(rows_of(tables[0]) == "<i><r><t><b>\n9007199254740993|2.0|ä|\\x00ff\n~|Infinity|007|5\n");
    CHECK(rows_of(tables[1]) == "<x>\n1\n");

    std::ifstream whole(file, std::ios::binary);
    std::stringstream content;
    content << whole.rdbuf();
    const auto damaged = place.write(content.str().substr(0, 5'000), "damaged");
    CHECK_THROWS_AS(rows_of(open_tables(opened(damaged), "x", header_row::automatic).at(0)), error);
}

TEST_CASE("the format is told by the first bytes, and by the name between CSV and JSON") {
    const scratch place;
    const auto read = [&](const std::string& content, const char* name) {
        return rows_of(open_tables(opened(place.write(content)), name, header_row::none).at(0));
    };
    CHECK(read("[{\"a\": 1}]", "people") == "1\n");
    CHECK(read(" \n{\"a\": 1}", "people") == "1\n");
    CHECK(read("[x],y\n", "data.CSV") == "[x]|y\n");
    CHECK(read("a,b\n", "people") == "a|b\n");
    CHECK_THROWS_WITH_AS(read("", "x.csv"), "the file is empty", error);
    CHECK_THROWS_AS(read("a,b\n", "x.json"), error);
}

TEST_CASE("a row of CSV has 64 MiB at most, however many fields share them") {
    const std::string half(33 * 1024 * 1024, 'x');
    CHECK(has(refusal(read_csv, "a,b\n" + half + "," + half + "\n"),
              "line 2 begins a row of more than 64 MiB"));
}

TEST_CASE("what large values have taken is given back with the next row") {
    const scratch place;
    const std::string large(1024 * 1024, 'x');
    const auto reader = open_csv(opened(place.write("a,b\n" + large + ",\n," + large + "\n,\n")),
                                 header_row::first_row)
                            .at(0)
                            .open();
    cells row;
    while (reader->next(row)) {
    }
    REQUIRE(row.size() == 2);
    CHECK(row[0].text.capacity() < 64 * 1024);
    CHECK(row[1].text.capacity() < 64 * 1024);
}

TEST_CASE("a name in JSON is of bounded length, and braces that do not match are an error") {
    const auto read = [](const std::string& content) { return json(content); };
    CHECK(has(refusal(read, "[{\"" + std::string(70'000, 'x') + "\": 1}]"),
              "object 1 cannot be read: a name in it is longer than 64 KiB"));
    CHECK(has(refusal(read, R"([{"a": [1}])"), "object 1 cannot be read"));
    CHECK(has(refusal(read, R"([{"a": 1]])"), "object 1 cannot be read"));
}

namespace {

// The refusal of a workbook whose first sheet, and whose styles, are these.
std::string refused_sheet(const std::string& sheet, const std::string& styles = "<x/>",
                          const std::string& strings = "<sst/>") {
    const scratch place;
    const auto file =
        zip(place.directory / "book.xlsx", {{"xl/workbook.xml", workbook_xml},
                                            {"xl/_rels/workbook.xml.rels", relations_xml},
                                            {"xl/sharedStrings.xml", strings},
                                            {"xl/styles.xml", styles},
                                            {"xl/worksheets/one.xml", sheet},
                                            {"xl/worksheets/two.xml", "<x/>"}});
    try {
        return rows_of(open_xlsx(opened(file), header_row::none).at(0));
    } catch (const error& failure) {
        CHECK(failure.code() == errc::bad_input);
        return failure.what();
    }
}

std::string repeated(const std::string& text, int times) {
    std::string all;
    for (int i = 0; i < times; ++i)
        all += text;
    return all;
}

}  // namespace

TEST_CASE("an XLSX file is refused for what no spreadsheet has") {
    // Each piece of a tag would make the parser begin the tag anew.
    CHECK(has(refused_sheet("<worksheet x='" + std::string(1'000'000, 'y') + "'/>"),
              "piece of markup of more than 256 KiB"));
    CHECK(has(refused_sheet("<worksheet><!--" + std::string(1'000'000, 'y') + "--></worksheet>"),
              "piece of markup of more than 256 KiB"));
    const std::string text(32'768, 'x');
    CHECK(has(refused_sheet("<x><row><c t='str'><v>" + text + "</v></c></row></x>"),
              "more than 32,767 characters"));
    CHECK(has(refused_sheet("<x/>", "<x/>", "<sst><si><t>" + text + "</t></si></sst>"),
              "more than 32,767 characters"));
    CHECK(has(refused_sheet("<x/>", "<x><cellXfs>" + repeated("<xf/>", 65'537) + "</cellXfs></x>"),
              "more than 65,536 styles"));
    // Three bytes a character: they are what is counted, not bytes.
    const std::string wide = repeated("\xe2\x82\xac", 32'767);
    CHECK(refused_sheet("<x><row><c t='str'><v>" + wide + "</v></c></row></x>") == wide + "\n");
}

TEST_CASE("a text that all cells of a row share counts for each of them") {
    const std::string strings =
        "<sst><si><t>" + repeated("\xe2\x82\xac", 32'767) + "</t></si></sst>";
    const std::string cell = "<c t='s'><v>0</v></c>";
    CHECK(has(refused_sheet("<x><row>" + repeated(cell, 700) + "</row></x>", "<x/>", strings),
              "row 1 of a sheet has more than 64 MiB"));
    // Each row is handed on before the next is read.
    const std::string rows = "<x>" + repeated("<row>" + cell + "</row>", 300) + "</x>";
    CHECK(refused_sheet(rows, "<x/>", strings).size() == 300 * (3 * 32'767 + 1));
}

TEST_CASE("generated columns of a SQLite file are not computed, they are left out") {
    const auto tables = open_tables(opened(TEST_DATA "/wide-row.sqlite"), "x", header_row::none);
    REQUIRE(tables.size() == 1);
    const auto reader = tables[0].open();
    CHECK(reader->names() == std::vector<std::string>{"a"});
    cells row;
    CHECK(reader->next(row));
    CHECK(row.size() == 1);
}

TEST_CASE("a SQLite file has no more rows and values than its size allows") {
    const auto made_by = [](const std::filesystem::path& file, const std::string& sql) {
        sqlite3* made = nullptr;
        REQUIRE(sqlite3_open(file.c_str(), &made) == SQLITE_OK);
        REQUIRE(sqlite3_exec(made, sql.c_str(), nullptr, nullptr, nullptr) == SQLITE_OK);
        sqlite3_close(made);
    };
    const auto read_all = [](const std::filesystem::path& file) {
        const auto reader = open_sqlite(opened(file)).at(0).open();
        cells row;
        while (reader->next(row)) {
        }
        return reader->number();
    };
    const auto rows = [](int count) {
        return "PRAGMA page_size = 1024; CREATE TABLE t(c);"
               "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT " +
               std::to_string(count) + ") INSERT INTO t SELECT NULL FROM n;";
    };
    const scratch place;
    // Columns that were added later take nothing in a row.
    std::string columns = "CREATE TABLE t(c";
    for (int i = 1; i < 1'600; ++i)
        columns += ", c" + std::to_string(i);
    const std::string added =
        "PRAGMA writable_schema = ON; UPDATE sqlite_schema SET sql = '" + columns + ")'";
    const auto narrow = place.directory / "narrow";
    made_by(narrow, rows(600) + added);
    CHECK(read_all(narrow) == 600);
    const auto wide = place.directory / "wide";
    made_by(wide, rows(2'000) + added);
    CHECK(has(refusal([&](const auto& file) { return std::to_string(read_all(file)); }, wide),
              "of table \"t\" is one too many: the table has more than 1,000,000 values and 16"));

    // Nor do their defaults, which are texts in each row.
    const auto defaults = [&](int count) {
        return rows(20'000) + "ALTER TABLE t ADD COLUMN d TEXT DEFAULT '" +
               std::string(static_cast<std::size_t>(count), 'd') + "'";
    };
    const auto same = place.directory / "same";
    made_by(same, defaults(100));
    CHECK(read_all(same) == 20'000);
    const auto longer = place.directory / "longer";
    made_by(longer, defaults(500));
    CHECK(has(refusal([&](const auto& file) { return std::to_string(read_all(file)); }, longer),
              "one too many: the texts of the table have more than 1,000,000 bytes and 16"));

    // Pages of a tree that all refer to the same page below them.
    const auto tree = place.directory / "tree";
    made_by(tree, rows(20'000));
    CHECK(read_all(tree) == 20'000);
    std::stringstream content;
    content << std::ifstream(tree, std::ios::binary).rdbuf();
    std::string changed = content.str();
    const auto number = [&](std::size_t at, int bytes) {
        std::size_t value = 0;
        for (int i = 0; i < bytes; ++i)
            value = value << 8 | static_cast<unsigned char>(changed[at++]);
        return value;
    };
    // Gives a page 160 children, all of which are its first one, whose number is returned.
    const auto make_same = [&](std::size_t page) {
        const std::size_t begin = (page - 1) * 1'024;
        REQUIRE(changed[begin] == 5);  // it has children
        const std::string child = changed.substr(begin + number(begin + 12, 2), 4);
        changed.replace(begin + 3, 4, "\0\xa0\3\xf8"s).replace(begin + 8, 4, child);
        for (std::size_t i = 0; i < 160; ++i)
            changed.replace(begin + 12 + 2 * i, 2, "\3\xf8");
        changed.replace(begin + 0x3f8, 5, child + "\1");
        return number(begin + 8, 4);
    };
    make_same(make_same(2));
    const auto repeated = place.write(changed, "repeated");
    CHECK(has(refusal([&](const auto& file) { return std::to_string(read_all(file)); }, repeated),
              "cannot be in this file, which is too small: it is damaged"));
}

TEST_CASE("the data of a virtual table in a SQLite file is none of its tables") {
    const scratch place;
    const std::filesystem::path file = place.directory / "search.db";
    sqlite3* made = nullptr;
    REQUIRE(sqlite3_open(file.c_str(), &made) == SQLITE_OK);
    REQUIRE(sqlite3_exec(made,
                         "CREATE VIRTUAL TABLE f USING fts4(x); CREATE TABLE f_notes(y); "
                         "INSERT INTO f_notes VALUES ('z'); CREATE VIEW v AS SELECT * FROM f",
                         nullptr, nullptr, nullptr) == SQLITE_OK);
    sqlite3_close(made);
    const auto tables = open_tables(opened(file), "x", header_row::none);
    REQUIRE(tables.size() == 1);
    CHECK(rows_of(tables[0]) == "<y>\nz\n");
}

TEST_CASE("a header is found although its names are not all texts, or not all different") {
    // An index without a name, as pandas and R write it.
    CHECK(csv(",name,age\n0,Alice,45\n1,Bob,84\n") == "<><name><age>\n0|Alice|45\n1|Bob|84\n");
    CHECK(csv("\"\",\"x\"\n\"r1\",\"a\"\n") == "<><x>\nr1|a\n");
    CHECK(csv(",0,1\n0,a,b\n1,c,d\n") == "<><0><1>\n0|a|b\n1|c|d\n");
    CHECK(csv("country,2019,2020\nFrance,1.5,2\n") == "<country><2019><2020>\nFrance|1.5|2\n");
    CHECK(csv("id,1,2\n7,3,4\n") == "<id><1><2>\n7|3|4\n");
    CHECK(csv("place,2020-01-22\nRome,5\n") == "<place><2020-01-22>\nRome|5\n");
    CHECK(csv("id,x,x\n1,2,3\n") == "<id><x><x>\n1|2|3\n");
    CHECK(csv("a,b,\n1,2,\n") == "<a><b><>\n1|2|~\n");
    CHECK(csv("name,city,\nAl,Rome,\n") == "<name><city><>\nAl|Rome|~\n");
    CHECK(csv("id,,x\n1,2,3\n") == "<id><><x>\n1|2|3\n");
    CHECK(csv("t,f\nt,f\n") == "<t><f>\nt|f\n");
}

TEST_CASE("a first row that is like the others is no header") {
    CHECK(csv("1,2\n3,4\n") == "1|2\n3|4\n");
    CHECK(csv("Alice,2001\nBob,1984\n") == "Alice|2001\nBob|1984\n");
    CHECK(csv("NA,5\n1,6\n") == "NA|5\n1|6\n");
    CHECK(csv("Alice,,5\nBob,x,6\n") == "Alice|~|5\nBob|x|6\n");
    CHECK(csv("2024-05-06,1\n2024-05-07,2\n") == "2024-05-06|1\n2024-05-07|2\n");
    CHECK(csv("1.5,x\n2,y\n") == "1.5|x\n2|y\n");
}

TEST_CASE("what stands between the fields is found out, and a comma if in doubt") {
    CHECK(csv("name;price\nA;1,5\nB;2,5\n") == "<name><price>\nA|1,5\nB|2,5\n");
    CHECK(csv("name\tage\nDoe, J\t5\n") == "<name><age>\nDoe, J|5\n");
    CHECK(csv("a|b\n1|2\n") == "<a><b>\n1|2\n");
    CHECK(csv("a;b\n\"x;\"\"y\n\";2\n") == "<a><b>\nx;\"y\n|2\n");
    CHECK(csv("\xef\xbb\xbf\"a\";b\r\n1;2\r\n") == "<a><b>\n1|2\n");
    CHECK(csv("a,b\n\"x;y\",1\n\"x;y\",2\n") == "<a><b>\nx;y|1\nx;y|2\n");
    CHECK(csv("sep=;\r\na;b;c\r\n1;2;3\r\n") == "<a><b><c>\n1|2|3\n");
    CHECK(csv("tags\na;b\nc;d\n") == "<tags>\na;b\nc;d\n");
    CHECK(csv("a,b;c\n1,2;3\n") == "<a><b;c>\n1|2;3\n");
    CHECK(has(refusal(read_csv, "a;b\n1;2\n1;2;3\n"), "line 3 has 3 fields"));
    const scratch place;
    const auto tabs = place.write("a\n1\n");
    CHECK(rows_of(open_tables(opened(tabs), "x.TSV", header_row::automatic).at(0)) == "<a>\n1\n");
}

TEST_CASE("what is no table is refused, saying what it looks like") {
    const scratch place;
    const auto read = [&](const std::string& content) {
        return rows_of(
            open_tables(opened(place.write(content)), "x.csv", header_row::automatic).at(0));
    };
    const std::pair<std::string, const char*> files[] = {
        {"<!DOCTYPE html>\n<html><body>Sign in</body></html>\n", "HTML"},
        {"\xef\xbb\xbf \n<HTML>\n", "HTML"},
        {"<?xml version='1.0'?>\n<rows/>\n", "XML"},
        {"<rows>\n<row/>\n</rows>\n", "XML"},
        {"\x1f\x8b\x08 and more", "gzip"},
        {"a\0,\0b\0\n\0"s, "UTF-16 without a byte order mark"},
        {"\xff\xfe\0\0a\0\0\0"s, "UTF-32"},
        {"\0\0\xfe\xff\0\0\0a"s, "UTF-32"},
        {"%PDF-1.7\n", "PDF"},
        {"PAR1\x15\x04", "Parquet"},
        {"\x7f"
         "ELF" +
             std::string(12, '\0') + "some,text,that,is,none\n\n\n",
         "binary"},
    };
    for (const auto& [content, words] : files)
        CHECK(has(refusal(read, content),
                  "the file looks like "s + (words == "binary"s ? "a " : "") + words));
    CHECK(read("<5,x\n") == "<<5><x>\n");
}

TEST_CASE("a text in UTF-16 that begins with its mark is read as one in UTF-8 is") {
    const auto encoded = [](const std::u16string& text, bool little) {
        std::string made = little ? "\xff\xfe" : "\xfe\xff";
        for (const char16_t each : text) {
            const char high = static_cast<char>(each >> 8);
            const char low = static_cast<char>(each & 0xff);
            made.push_back(little ? low : high);
            made.push_back(little ? high : low);
        }
        return made;
    };
    const auto read = [](const std::string& content) {
        const scratch place;
        return rows_of(open_tables(opened(place.write(content)), "x", header_row::automatic).at(0));
    };
    std::u16string large = u"n\u00e4me;b\n";
    std::string wanted = "<n\u00e4me><b>\n";
    for (int i = 0; i < 40'000; ++i) {  // longer than what is read at once
        large += u"\U0001d11e\u0436x;1\n";
        wanted += "\U0001d11e\u0436x|1\n";
    }
    for (const bool little : {false, true}) {
        CAPTURE(little);
        CHECK(read(encoded(u"a,b\n1,\u00e4\U0001d11e\n", little)) ==
              "<a><b>\n1|\u00e4\U0001d11e\n");
        CHECK(read(encoded(u"a\tb\n1,5\t2\n", little)) == "<a><b>\n1,5|2\n");
        CHECK(read(encoded(u"[{\"a\": \"\u0436\"}]", little)) == "\u0436\n");
        CHECK(read(encoded(large, little)) == wanted);
        CHECK(read(encoded(u"\U0001d11e" + large, little)).size() == wanted.size() + 4);
        CHECK(
            refusal(read, encoded(u"a,b\n1,\xd834x\n", little)).starts_with("line 2 is not UTF-8"));
        CHECK(refusal(read, encoded(u"a,b\n1,\xd834", little)).starts_with("line 2 is not UTF-8"));
        CHECK(refusal(read, encoded(u"a,b\n1,2\n", little) + "x") ==
              "the file ends within a character of UTF-16");
        CHECK(refusal(read, encoded(u"", little)) == "the file is empty");
        CHECK(has(refusal(read, encoded(u"<?xml version='1.0'?>\n", little)), "XML"));
    }
}

TEST_CASE("JSON may be a list of lists, whose first one may be a header") {
    CHECK(json(R"([["a", "b"], [1, [2, "]"]], [null, "x"]])") == "<a><b>\n1|[2, \"]\"]\n~|x\n");
    CHECK(json("[[1, 2], [3]]") == "1|2\n3\n");
    CHECK(json("[[]]") == "\n");
    CHECK(has(refusal(json, "[[1], {\"a\": 1}]"), "list 2 cannot be read: it is no list"));
    CHECK(has(refusal(json, "[[1], [2}]"), "list 2 cannot be read"));
    CHECK(has(refusal(json, "[{\"a\": \"NaN\"}, {\"a\": NaN}]"),
              "object 2 cannot be read: it has NaN"));
    CHECK(has(refusal(json, "[{\"a\": -Infinity}]"), "it has Infinity"));
}

TEST_CASE("a column is not called as one that every table has") {
    std::vector<std::string> names{"xmin", "xmin_1", "a", "ctid", "oid"};
    rename_system_columns(names);
    CHECK(names == std::vector<std::string>{"xmin_2", "xmin_1", "a", "ctid_1", "oid"});
    const scratch place;
    table_load load(open_csv(opened(place.write("xmin,b\n1,2\n")), header_row::automatic).at(0));
    load.sample();
    CHECK(load.columns()[0].name == "xmin_1");
    CHECK(load.columns()[1].name == "b");
}

TEST_CASE("decimals of many digits keep them, beside others") {
    const scratch place;
    table_load load(open_csv(opened(place.write(
                                 "a,b,c\n1.5,1,9007199254740993\n12345678901234567.89,2.5,0.5\n")),
                             header_row::automatic)
                        .at(0));
    load.sample();
    CHECK(sql_name(load.columns()[0].type) == "NUMERIC");
    CHECK(sql_name(load.columns()[1].type) == "DOUBLE PRECISION");
    CHECK(sql_name(load.columns()[2].type) == "NUMERIC");
}

TEST_CASE(
    "an XLSX sheet's durations, escapes, truth values and doubles are read as it means them") {
    const std::string styles =
        "<styleSheet><numFmts><numFmt numFmtId='170' formatCode='[h]:mm'/>"
        "<numFmt numFmtId='171' formatCode='[magenta]0.00'/></numFmts><cellXfs>"
        "<xf numFmtId='0'/><xf numFmtId='170'/><xf numFmtId='46'/><xf numFmtId='171'/>"
        "<xf numFmtId='47'/></cellXfs></styleSheet>";
    CHECK(refused_sheet("<x><row><c s='4'><v>0.2604456018518519</v></c></row></x>", styles) ==
          "06:15:02.500\n");
    CHECK(refused_sheet("<x><row><c s='1'><v>1.25</v></c><c s='2'><v>0.5</v></c>"
                        "<c s='1'><v>-1.5</v></c><c s='3'><v>1.5</v></c></row></x>",
                        styles) == "30:00:00|12:00:00|-36:00:00|1.5\n");
    CHECK(refused_sheet("<x><row><c t='b'><v>true</v></c><c t='b'><v>0</v></c>"
                        "<c><v>0.10000000000000001</v></c></row></x>") == "true|false|0.1\n");
    CHECK(refused_sheet("<x><row><c t='str'><v>a_x000D_b_x005F_x000D_c</v></c>"
                        "<c t='inlineStr'><is><t>_xD83D__xDE00__xD83D__x0000_</t></is></c>"
                        "<c t='s'><v>0</v></c></row></x>",
                        "<x/>", "<sst><si><t>x_x000a_y</t></si></sst>") ==
          "a\rb_x000D_c|\xf0\x9f\x98\x80_xD83D__x0000_|x\ny\n");
    // Some programs colour whole rows.
    CHECK(refused_sheet("<x><row><c r='A1'><v>1</v></c><c r='XFD1' s='1'/></row></x>", styles) ==
          "1\n");
    CHECK(has(refused_sheet("<x><row><c r='XFD1'><v>1</v></c></row></x>"),
              "a sheet has more than 1600 columns"));
}

TEST_CASE("the parts of an XLSX file are found by their relations, whatever their names") {
    const std::string types =
        "http://schemas.openxmlformats.org/officeDocument/2006/relationships/";
    const scratch place;
    const auto file = zip(
        place.directory / "book.xlsx",
        {{"_rels/.rels", "<Relationships><Relationship Id='x' Type='" + types +
                             "officeDocument' Target='/book/main.xml'/></Relationships>"},
         {"book/main.xml", workbook_xml},
         {"book/_rels/main.xml.rels",
          "<Relationships><Relationship Id='a' Target='./sheets/../tabs/one.xml'/>"
          "<Relationship Id='b' Target='/tabs/two.xml'/><Relationship Id='c' Type='" +
              types + "sharedStrings' Target='../texts.xml'/><Relationship Id='d' Type='" + types +
              "styles' Target='looks.xml'/></Relationships>"},
         {"book/tabs/one.xml",
          "<worksheet><row><c t='s'><v>0</v></c><c s='1'><v>45000</v></c></row>"
          "</worksheet>"},
         {"tabs/two.xml", "<worksheet/>"},
         {"texts.xml", "<sst><si><t>shared</t></si></sst>"},
         {"book/looks.xml", "<x><cellXfs><xf numFmtId='0'/><xf numFmtId='14'/></cellXfs></x>"}});
    const auto tables = open_xlsx(opened(file), header_row::none);
    REQUIRE(tables.size() == 1);
    CHECK(rows_of(tables[0]) == "shared|2023-03-15\n");
}

TEST_CASE("an XLSX file has the characters that XML cannot hold, and texts like their escapes") {
    const scratch place;
    const std::filesystem::path file = place.directory / "book.xlsx";
    const std::string text =
        "a\rb\x01 _x000D_ _x000D\r_x000D_x000D_ \xef\xbf\xbe \xef\xbf\xbf \xef\xbf\xbd";
    const auto writer = make_xlsx_writer(file, {{"_x0041_", oids::text}});
    writer->write({text});
    writer->finish();
    CHECK(rows_of(open_xlsx(opened(file), header_row::first_row).at(0)) ==
          "<_x0041_>\n" + text + "\n");
}

TEST_CASE("an encrypted workbook is called so") {
    const scratch place;
    const std::string content = test::xls::compound({{"EncryptedPackage", "any"}});
    CHECK_THROWS_WITH_AS(open_tables(opened(place.write(content)), "x.xlsx", header_row::automatic),
                         "the file is encrypted: save it without a password", error);
}
