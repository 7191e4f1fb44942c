// XLS files become rows whatever wrote them, and damaged ones are refused.
#include "server/formats/table_reader.hpp"
#include "support/child.hpp"
#include "support/xls_file.hpp"

#include <bitdotio/error.hpp>

#include <doctest/doctest.h>

#include <cstdint>
#include <cstring>
#include <fstream>
#include <random>
#include <sstream>
#include <string>
#include <vector>

using namespace bitdotio;
using namespace std::string_literals;
namespace xls = test::xls;
using xls::record, xls::u8, xls::u16, xls::u32, xls::at, xls::bytes;

namespace {

struct scratch {
    test::temporary_directory directory;

    std::vector<table_source> open(const std::string& content,
                                   header_row header = header_row::none) const {
        const std::filesystem::path file = directory / "file";
        std::ofstream(file, std::ios::binary) << content;
        return open_tables(std::make_shared<const input_file>(file), "file", header);
    }
};

// All rows of all tables, a line each: NULL is "~", numbers are in <>, truth values in ().
std::string rows_of(const std::vector<table_source>& tables) {
    std::string text;
    for (const table_source& table : tables) {
        if (tables.size() > 1) text += "[" + table.name + "]\n";
        const auto reader = table.open();
        cells row;
        while (reader->next(row)) {
            text += std::to_string(reader->number()) + ":";
            for (const cell& each : row) {
                text += each.kind == cell_kind::null      ? " ~"
                        : each.kind == cell_kind::number  ? " <" + each.text + ">"
                        : each.kind == cell_kind::boolean ? " (" + each.text + ")"
                                                          : " " + each.text;
            }
            text += "\n";
        }
    }
    return text;
}

std::string read(const std::string& content) {
    const scratch place;
    return rows_of(place.open(content));
}

std::string read(const std::string& globals, const std::string& cells) {
    return read(xls::file(globals, {{"One", cells}}));
}

std::string refusal(const std::string& content) {
    try {
        return read(content);
    } catch (const error& failure) {
        CHECK(failure.code() == errc::bad_input);
        return failure.what();
    }
}

const std::string result_of_text = u8(0) + std::string(5, '\0') + u16(0xffff);

}  // namespace

TEST_CASE("XLS: numbers of every form, truth values and errors are what they are") {
    CHECK(read("", xls::number(0, 0, 0.1) + xls::number(0, 1, -1e300) +
                       record(0x027e, at(0, 2) + u32(7 << 2 | 2)) +
                       record(0x027e, at(0, 3) + u32(std::uint64_t(-110) << 2 | 3)) +
                       record(0x027e, at(0, 4) + u32(0x3ff80000)) +
                       record(0x00bd, u16(1) + u16(1) + u16(0) + u32(1 << 2 | 2) + u16(0) +
                                          u32(250 << 2 | 3) + u16(2)) +
                       record(0x0205, at(2, 0) + u8(1) + u8(0)) +
                       record(0x0205, at(2, 1) + u8(0) + u8(0)) +
                       record(0x0205, at(2, 2) + u8(0x2a) + u8(1)) + record(0x0201, at(2, 3)) +
                       xls::number(2, 4, 12345678901234567.0)) ==
          "1: <0.1> <-1e+300> <7> <-1.1> <1.5>\n"
          "2: ~ <1> <2.5>\n"
          "3: (true) (false) ~ ~ <12345678901234568>\n");
}

TEST_CASE("XLS: the result of a formula is read, whatever it is") {
    const auto special = [](unsigned kind, unsigned value) {
        return u8(kind) + u8(0) + u8(value) + std::string(3, '\0') + u16(0xffff);
    };
    CHECK(read("", xls::formula(0, 0, bytes(2.5)) + xls::formula(0, 1, special(1, 1)) +
                       xls::formula(0, 2, special(2, 0x07)) + xls::formula(0, 3, special(3, 0)) +
                       xls::formula(0, 4, result_of_text) +
                       record(0x0207, xls::narrow_text("text")) + xls::formula(0, 5, bytes(0.0)) +
                       // A shared formula stands between a formula and its text, which goes on.
                       xls::formula(1, 0, result_of_text) + record(0x04bc, std::string(20, 'x')) +
                       record(0x0207, u16(4) + u8(0) + "ab") +
                       record(0x003c, u8(1) + xls::wide(u"Жц"))) ==
          "1: <2.5> (true) ~ ~ text <0>\n"
          "2: abЖц\n");
    CHECK(refusal(xls::file(
              "", {{"One", xls::formula(0, 0, result_of_text) + xls::number(0, 1, 1)}})) ==
          "the XLS file is damaged: the text of a formula is missing");
}

TEST_CASE("XLS: texts are read in both widths, and over the ends of records") {
    const std::string strings =
        record(0x00fc, u32(9) + u32(6) + xls::narrow_text("caf\xe9") +  // one byte is Latin-1
                           u16(2) + u8(1) + xls::wide(u"Жц") +
                           // With formats of letters, and how it is spoken.
                           u16(2) + u8(8 | 4) + u16(1) + u32(5) + "ab" + "\1\2") +
        // What follows the letters goes on without flags, letters go on with flags.
        record(0x003c, "\3\4spoke" + u16(4) + u8(0) + "na") +
        record(0x003c, u8(1) + xls::wide(u"ї")) + record(0x003c, u8(0) + "e") +
        record(0x003c, u16(2) + u8(1) + u16(0xd834)) + record(0x003c, u8(1) + u16(0xdd1e)) +
        record(0x003c, u16(0) + u8(0));
    std::string cells;
    for (unsigned i = 0; i < 6; ++i)
        cells += xls::shared_label(0, i, i);
    CHECK(read(strings, cells + xls::label(1, 0, "caf\xe9") +
                            record(0x00d6, at(1, 1) + u16(1) + u8(1) + xls::wide(u"Ж") + u16(0))) ==
          "1: café Жц ab naїe 𝄞\n"
          "2: café Ж\n");
    const auto one = [&](const std::string& text) {
        return refusal(xls::file(record(0x00fc, u32(1) + u32(1) + text),
                                 {{"One", xls::shared_label(6, 0, 0)}}));
    };
    CHECK(one(u16(1) + u8(1) + u16(0xd834)) ==
          "row 7 of sheet \"One\" has half of a character, or a zero");
    CHECK(one(u16(1) + u8(0) + "\0"s) ==
          "row 7 of sheet \"One\" has half of a character, or a zero");
    CHECK(one(u16(9) + u8(0) + "short") == "the XLS file is damaged: a text ends too early");
    CHECK(one(u16(40'000) + u8(0) + std::string(8'000, 'x')) ==
          "the XLS file is damaged: a text ends too early");
    CHECK(refusal(xls::file("", {{"One", xls::shared_label(0, 0, 4'000'000'000)}})) ==
          "the XLS file is damaged: a cell refers to a text that is not there");
}

TEST_CASE("XLS: numbers become dates, times and durations as their formats say") {
    const auto format = [](unsigned number, const std::string& code) {
        return record(0x041e, u16(number) + xls::narrow_text(code));
    };
    const auto style = [](unsigned number) {
        return record(0x00e0, u16(0) + u16(number) + std::string(16, '\0'));
    };
    const std::string globals =
        style(0) + style(14) + style(21) + style(46) + style(164) + style(165) + style(47) +
        format(164, "yyyy\\-mm\\-dd hh:mm:ss.000") + format(165, "#,##0.00 \"days\"");
    enum : unsigned { plain, date, clock, elapsed, exact, own, minutes };
    const std::string cells =
        xls::number(0, 0, 45418, date) + xls::number(0, 1, 45418.25, date) +
        xls::number(0, 2, 45418.297326388887 + 0.5 / 86400, exact) + xls::number(0, 3, 0.5, clock) +
        xls::number(0, 4, 1.26, elapsed) + xls::number(0, 5, 1.5, own) +
        xls::number(0, 6, 2.5 / 86400, minutes) + xls::number(0, 7, -1, date) +
        record(0x027e, at(1, 0, date) + u32(60 << 2 | 2)) + xls::formula(1, 1, bytes(0.25), clock) +
        xls::number(1, 2, 3, 99);
    CHECK(read(globals, cells) ==
          "1: 2024-05-06 2024-05-06 06:00:00 2024-05-06 07:08:09.500 12:00:00 30:14:24 <1.5> "
          "00:00:02.500 <-1>\n"
          "2: 1900-03-01 06:00:00 <3>\n");
    CHECK(read(globals + record(0x0022, u16(1)), xls::number(0, 0, 0, date) +
                                                     xls::number(0, 1, 0.5, clock) +
                                                     xls::number(0, 2, 100.5, date)) ==
          "1: 1904-01-01 12:00:00 1904-04-10 12:00:00\n");
}

TEST_CASE("XLS: rows in any order, charts within sheets, and hidden sheets are read") {
    const std::string chart = record(0x0809, u16(0x0600) + u16(0x20) + u32(0) + u32(0) + u32(0)) +
                              xls::number(0, 0, 99) + record(0x000a, "");
    CHECK(read(xls::file("", {{"One", xls::number(7, 1, 4) + xls::number(0, 0, 1) + chart +
                                          xls::number(7, 0, 3) + xls::number(0, 0, 2)},
                              {"Chart", xls::number(0, 0, 1), 2},
                              {"Empty", record(0x0201, at(0, 0))},
                              {"Hidden", xls::number(0, 0, 5), 0, 1}})) ==
          "[One]\n1: <2>\n8: <3> <4>\n[Hidden]\n1: <5>\n");
}

TEST_CASE("XLS: files of every layout are read") {
    const std::string globals = record(0x00fc, u32(1) + u32(1) + xls::narrow_text("shared"));
    const auto book = [&](std::size_t size) {
        std::string unknown;
        while (unknown.size() < size)
            unknown += record(0x1234, std::string(8'000, 'x'));
        return xls::workbook(globals + unknown, {{"One", xls::shared_label(0, 0, 0)}});
    };
    for (const unsigned shift : {9u, 12u}) {
        CAPTURE(shift);
        // In the mini stream; in sectors; with a table of sectors whose list goes on.
        for (const std::size_t size : {0, 100'000, 9'000'000}) {
            CAPTURE(size);
            CHECK(read(xls::compound({{"Workbook", book(size)}}, shift)) == "1: shared\n");
        }
        CHECK(read(xls::compound({{"\5SummaryInformation", std::string(200, 'x')},
                                  {"Book", "an older one"},
                                  {"WORKBOOK", book(0)},
                                  {"Other", std::string(5'000, 'x')}},
                                 shift)) == "1: shared\n");
    }
}

TEST_CASE("XLS: a file of Excel 95 is read, and what it cannot tell is said") {
    const auto old = [](const std::string& globals, const std::string& text) {
        const std::string cells =
            record(0x0204, at(0, 0) + u16(static_cast<unsigned>(text.size())) + text) +
            xls::number(0, 1, 1.5, 0);
        return xls::compound({{"Book", xls::workbook(globals, {{"One", cells}}, 0x0500)}});
    };
    const std::string page = record(0x0042, u16(1252));
    CHECK(read(old(page, "caf\xe9 \x80")) == "1: café € <1.5>\n");
    CHECK(read(old(record(0x0042, u16(1251)), "cafe")) == "1: cafe <1.5>\n");
    CHECK(refusal(old(record(0x0042, u16(1251)), "\xc6")) ==
          "the XLS file is of Excel 95 and has letters of code page 1251: save it as XLSX");
    CHECK(read(old(page + record(0x041e, u16(164) + u8(4) + "h:mm") +
                       record(0x00e0, u16(0) + u16(164) + std::string(12, '\0')),
                   "x")) == "1: x 1900-01-01 12:00:00\n");
    CHECK(refusal(xls::compound({{"Book", record(0x0409, u16(0) + u16(0x10))}})) ==
          "the XLS file is of Excel 4 or older, which is not read: save it as XLSX");
}

TEST_CASE("XLS: what is no workbook, or encrypted, is called so") {
    const auto only = [](const std::string& name, const std::string& content) {
        return refusal(xls::compound({{name, content}}));
    };
    CHECK(refusal(xls::file(record(0x002f, u16(1) + std::string(52, 'x')), {{"One", ""}})) ==
          "the XLS file is encrypted: save it without a password");
    CHECK(only("EncryptedPackage", "x") == "the file is encrypted: save it without a password");
    CHECK(only("WordDocument", "x") == "the file is a Word document, not a workbook");
    CHECK(only("Other", "x") == "the file begins like an XLS file, and has no workbook");
    CHECK(refusal(xls::file("", {})) == "the XLS file has no sheets");
    CHECK(refusal(xls::file("", {{"One", ""}})) == "all sheets of the file are empty");
}

TEST_CASE("XLS: chains of sectors that are circles or lead nowhere are refused") {
    const std::string good = xls::compound(
        {{"Workbook", xls::workbook("", {{"One", xls::label(0, 0, std::string(8'000, 'x'))}})}});
    const std::string circle = "the XLS file is damaged: a chain of sectors is a circle";
    const std::string nowhere = "the XLS file is damaged: a chain of sectors leads nowhere";
    CHECK(read(good).size() > 8'000);
    const std::size_t table = 512 + (good.size() - 1'024) / 512 * 512;  // the last sector
    const auto with = [&](std::size_t place, const std::string& changed) {
        return refusal(std::string(good).replace(place, changed.size(), changed));
    };
    CHECK(with(table, u32(0)) == circle);
    CHECK(with(table + 4 * 5, u32(2)) == circle);
    CHECK(with(table, u32(70'000)) == nowhere);
    CHECK(with(table, u32(0xfffffffe)) == nowhere);
    std::uint32_t first = 0;
    std::memcpy(&first, good.data() + 48, sizeof first);
    CHECK(with(table + 4 * std::size_t{first}, u32(first)) == circle);
    CHECK(with(48, u32(70'000)) == nowhere);
    // Entries of the directory that refer to themselves, and sizes beyond the file.
    const std::size_t entry = 512 + std::size_t{first} * 512 + 128;
    CHECK(with(entry + 68, u32(1)) == "the XLS file is damaged: its directory is a circle");
    CHECK(with(entry + 72, u32(70'000)) ==
          "the XLS file is damaged: its directory refers beyond its end");
    CHECK(with(entry + 120, u32(0x7fffffff)) ==
          "the XLS file is damaged: a stream is larger than the file");
    CHECK(with(30, u16(60)) ==
          "the XLS file is damaged: its sectors have a size that is not allowed");
    // Lists of the table's sectors that go on for ever.
    std::string lists = good;
    lists.replace(76, 4, u32(0xffffffff)).replace(68, 4, u32(0));
    lists.replace(512, 512, std::string(508, '\xff') + u32(0));
    CHECK(refusal(lists) == circle);
}

TEST_CASE("XLS: a sheet that names a place of another, or none, is refused") {
    const std::string good =
        xls::workbook("", {{"One", xls::number(0, 0, 1)}, {"Two", xls::number(0, 0, 2)}});
    const std::size_t first = 20 + 4;
    const std::size_t second = first + 15;
    const auto with = [&](std::size_t place, const std::string& changed) {
        return refusal(xls::compound(
            {{"Workbook", std::string(good).replace(place, changed.size(), changed)}}));
    };
    CHECK(with(second, good.substr(first, 4)) ==
          "the XLS file is damaged: two sheets are in one place");
    CHECK(with(first, u32(4)) == "the XLS file is damaged: a sheet is not where it should be");
    CHECK(with(first, u32(0x7fffffff)) == "the XLS file is damaged: it ends before a sheet does");
    CHECK(refusal(xls::file("", {{"One", xls::number(0, 256, 1)}})) ==
          "the XLS file is damaged: a sheet has more than 256 columns");
}

TEST_CASE("XLS: a sheet that begins within another is refused, so that none is read twice") {
    const std::string cells = xls::number(0, 0, 1);
    const std::string within =
        xls::record(0x0809, u16(0x0600) + u16(0x20) + u32(0) + u32(0) + u32(0)) +
        xls::number(5, 5, 5) + xls::record(0x000a, "");
    std::string book = xls::workbook("", {{"One", cells + within}, {"Two", xls::number(0, 0, 2)}});
    const std::size_t second = 20 + 4 + 15;
    book.replace(second, 4, u32(static_cast<std::uint32_t>(book.find(within))));
    CHECK(refusal(xls::compound({{"Workbook", book}})) ==
          "the XLS file is damaged: a sheet begins within another");
}

TEST_CASE("XLS: a text that many cells of a row share counts each time") {
    std::string cells;
    const std::string text(32'767, 'x');
    for (unsigned i = 0; i < 2'100; ++i)
        cells += xls::shared_label(0, i % 256, 0);
    const std::string strings =
        record(0x00fc, u32(1) + u32(1) + u16(32'767) + u8(0) + text.substr(0, 8'000)) +
        record(0x003c, u8(0) + text.substr(0, 8'000)) +
        record(0x003c, u8(0) + text.substr(0, 8'000)) +
        record(0x003c, u8(0) + text.substr(0, 8'000)) + record(0x003c, u8(0) + text.substr(0, 767));
    CHECK(refusal(xls::file(strings, {{"One", cells}})) ==
          "row 1 of sheet \"One\" has more than 64 MiB");
}

TEST_CASE("XLS: damaged files are refused or read, and nothing else") {
    for (const char* name :
         {"/damaged-1.xls", "/damaged-2.xls", "/damaged-3.xls", "/damaged-4.xls"}) {
        CAPTURE(name);
        std::stringstream content;
        content << std::ifstream(TEST_DATA + std::string(name), std::ios::binary).rdbuf();
        CHECK(refusal(content.str()).starts_with("the XLS file is damaged: "));
    }
    std::stringstream whole;
    whole << std::ifstream(TEST_DATA "/people.xls", std::ios::binary).rdbuf();
    const std::string people = whole.str();
    for (std::size_t size = 8; size < people.size(); size += 97) {
        CAPTURE(size);
        CHECK(refusal(people.substr(0, size)) != "");
    }
    std::mt19937 chance(7);
    for (int i = 0; i < 500; ++i) {
        std::string changed = people;
        for (int k = 0; k < 4; ++k)
            changed[8 + chance() % (changed.size() - 8)] = static_cast<char>(chance());
        CHECK(refusal(changed) != "");
    }
}
