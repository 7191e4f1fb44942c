// Finds out which format a file has.
#include "base/ascii.hpp"
#include "server/formats/file_input.hpp"
#include "server/formats/table_reader.hpp"

#include <algorithm>

namespace bitdotio {

namespace {

bool ends_with(std::string_view name, std::string_view end) {
    return ascii::to_lower(name).ends_with(end);
}

[[noreturn]] void refuse(std::string_view what, std::string_view advice) {
    throw error(errc::bad_input, "the file looks like " + std::string(what) +
                                     ", not like a table; " + std::string(advice));
}

struct known_beginning {
    std::string_view bytes;
    std::string_view what;
    std::string_view advice;
};

constexpr std::string_view unpack = "unpack it first";
constexpr std::string_view other_format = "send CSV, JSON, XLSX, XLS or SQLite";
constexpr std::string_view as_utf8 = "save it as UTF-8";

constexpr known_beginning others[] = {
    {"\x1f\x8b", "gzip", unpack},
    {"\xfd"
     "7zXZ",
     "xz", unpack},
    {"\x28\xb5\x2f\xfd", "Zstandard", unpack},
    {"7z\xbc\xaf\x27\x1c", "7-Zip", unpack},
    {"Rar!\x1a", "RAR", unpack},
    {"BZh91AY&SY", "bzip2", unpack},
    {"PAR1\x15", "Parquet", other_format},
    {"%PDF-", "PDF", other_format},
    {"{\\rtf", "RTF", other_format},
    {"\x89PNG", "a PNG image", other_format},
    {"\xff\xd8\xff", "a JPEG image", other_format},
    {"PGDMP", "a dump of PostgreSQL", "restore it with pg_restore"},
    {"PGCOPY\n\xff", "binary COPY of PostgreSQL", other_format},
    {std::string_view("\xff\xfe\0\0", 4), "UTF-32", as_utf8},
    {std::string_view("\0\0\xfe\xff", 4), "UTF-32", as_utf8},
};

// Text of a markup language would otherwise be a table of one column.
void refuse_markup(std::string_view text) {
    const std::size_t first = text.find_first_not_of(" \t\r\n");
    if (first == std::string_view::npos || text[first] != '<') return;
    text.remove_prefix(first);
    const std::string begin = ascii::to_lower(text.substr(0, 1'024));
    for (const std::string_view each :
         {"<!doctype html", "<html", "<head", "<body", "<table", "<meta", "<script", "<div"}) {
        if (begin.starts_with(each)) refuse("HTML", "is it the page of an error or a login?");
    }
    if (begin.starts_with("<?xml") || begin.starts_with("<!--") || begin.starts_with("<!doctype")) {
        refuse("XML", other_format);
    }
    const std::string_view line = std::string_view(begin).substr(0, begin.find_first_of("\r\n"));
    if (line.size() > 2 && line.find_first_of(",;\t|") == std::string_view::npos &&
        line.ends_with('>') &&
        (ascii::to_lower(line[1]) >= 'a' && ascii::to_lower(line[1]) <= 'z')) {
        refuse("XML or HTML", other_format);
    }
}

// What is no text would otherwise be refused for the encoding of some line.
void refuse_others(std::string_view begin) {
    for (const known_beginning& each : others) {
        if (begin.starts_with(each.bytes)) refuse(each.what, each.advice);
    }
    begin = begin.substr(0, 4'096);
    const auto zeros = static_cast<std::size_t>(std::count(begin.begin(), begin.end(), '\0'));
    if (zeros > 0 && zeros * 3 > begin.size() && zeros * 3 < begin.size() * 2) {
        refuse("UTF-16 without a byte order mark", as_utf8);
    }
    if (zeros > 8) refuse("a binary file", other_format);
    refuse_markup(begin);
}

}  // namespace

std::vector<table_source> open_tables(input_handle file, const std::string& name,
                                      header_row header) {
    file_input input(file);
    std::string_view begin = input.read();
    if (begin.empty()) throw error(errc::bad_input, "the file is empty");
    if (begin.starts_with(std::string_view("SQLite format 3\0", 16))) return open_sqlite(file);
    if (begin.starts_with("PK\x03\x04")) return open_xlsx(file, header);
    if (begin.starts_with("\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1")) return open_xls(file, header);
    if (begin.starts_with("\xef\xbb\xbf")) begin.remove_prefix(3);
    refuse_others(begin);
    if (ends_with(name, ".csv")) return open_csv(file, header);
    if (ends_with(name, ".tsv")) return open_csv(file, header, '\t');
    const std::size_t first = begin.find_first_not_of(" \t\r\n");
    const bool json =
        first != std::string_view::npos && (begin[first] == '[' || begin[first] == '{');
    if (json || ends_with(name, ".json")) return open_json(file, header);
    return open_csv(file, header);
}

}  // namespace bitdotio
