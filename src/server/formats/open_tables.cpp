// Finds out which format a file has.
#include "base/ascii.hpp"
#include "server/formats/file_input.hpp"
#include "server/formats/table_reader.hpp"

namespace bitdotio {

namespace {

bool ends_with(std::string_view name, std::string_view end) {
    return ascii::to_lower(name).ends_with(end);
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
    if (ends_with(name, ".csv")) return open_csv(file, header);
    if (begin.starts_with("\xef\xbb\xbf")) begin.remove_prefix(3);
    const std::size_t first = begin.find_first_not_of(" \t\r\n");
    const bool json =
        first != std::string_view::npos && (begin[first] == '[' || begin[first] == '{');
    if (json || ends_with(name, ".json")) return open_json(file);
    return open_csv(file, header);
}

}  // namespace bitdotio
