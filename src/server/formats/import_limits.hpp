// What an imported file may have at most; docs/imports-and-exports.md lists it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace bitdotio {

/// The most columns a table can have in PostgreSQL.
inline constexpr std::size_t most_columns = 1'600;
/// The most tables or sheets of one file.
inline constexpr std::size_t most_tables = 1'000;
inline constexpr std::size_t most_sheets = 256;
/// The texts of a row, in bytes.
inline constexpr std::size_t longest_row = 64 * 1024 * 1024;
/// The text of a spreadsheet's cell, in characters, which is what spreadsheets allow.
inline constexpr std::size_t longest_sheet_text = 32'767;
/// The name of a table or column as readers hand it on, in bytes: PostgreSQL's are shorter.
inline constexpr std::size_t longest_name = 255;

/// All texts of a table together: a file that unpacks to more than a thousand times its size is
/// made to do harm.
constexpr std::uint64_t most_text(std::uint64_t file_size) noexcept {
    return longest_row + 1'000 * file_size;
}

/// All values of a SQLite table together, NULLs included: what is stored takes a byte at least, and
/// only columns that were added later give NULLs that are not.
constexpr std::uint64_t most_sqlite_values(std::uint64_t file_size) noexcept {
    return 1'000'000 + 16 * file_size;
}
/// All texts of a SQLite table together, in bytes: the default of a column that was added later is
/// a text in each row, and in the file once.
constexpr std::uint64_t most_sqlite_text(std::uint64_t file_size) noexcept {
    return 1'000'000 + 16 * file_size;
}
/// The fewest bytes that a row takes in a SQLite file.
inline constexpr std::uint64_t smallest_sqlite_row = 6;

/// Whether a text in UTF-8 has more characters than a spreadsheet's cell can have.
inline bool is_too_long_for_sheet(std::string_view text) noexcept {
    if (text.size() <= longest_sheet_text) return false;
    std::size_t characters = 0;
    for (const char c : text)
        characters += (static_cast<unsigned char>(c) & 0xc0) != 0x80;
    return characters > longest_sheet_text;
}

}  // namespace bitdotio
