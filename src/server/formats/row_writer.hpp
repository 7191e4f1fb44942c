// The interface of all formats' writers: rows, with values as PostgreSQL writes them.
#pragma once

#include <bitdotio/oids.hpp>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace bitdotio {

struct export_column {
    std::string name;
    oid type = 0;
};

/// A row; values are in PostgreSQL's text form, with DateStyle ISO and TimeZone UTC.
using export_row = std::vector<std::optional<std::string_view>>;

/// Writes a file row by row, in bounded memory. All of it blocks.
///
/// Errors: all functions throw job_failure ("unrepresentable") for values the format cannot hold,
///     naming row and column; errc::system_failed if the file cannot be written.
/// Thread safety: one thread at a time.
class row_writer {
public:
    row_writer() = default;
    virtual ~row_writer() = default;
    row_writer(const row_writer&) = delete;
    row_writer& operator=(const row_writer&) = delete;

    virtual void write(const export_row& row) = 0;
    /// Ends the rows; the file is complete afterwards.
    virtual void finish() = 0;
};

/// The writers. Column names must differ.
std::unique_ptr<row_writer> make_json_writer(const std::filesystem::path& file,
                                             std::vector<export_column> columns);
std::unique_ptr<row_writer> make_xlsx_writer(const std::filesystem::path& file,
                                             std::vector<export_column> columns);
std::unique_ptr<row_writer> make_parquet_writer(const std::filesystem::path& file,
                                                std::vector<export_column> columns);

/// Splits COPY's text format into rows: `piece` has whole rows, and is changed.
void write_copy_rows(std::string& piece, std::size_t columns, row_writer& writer);

}  // namespace bitdotio
