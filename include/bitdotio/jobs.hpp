// Imports and exports: what the caller asks for, and how far they are.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>

namespace bitdotio {

/// How far a job is. `done` and `failed` are final.
enum class job_state { received, processing, done, failed };

/// Whether the first row of a file holds the names of the columns.
enum class header_row {
    automatic,  ///< it does if it looks like it
    first_row,
    none,
};

/// The formats of exports. `xls` files are XLSX, which every spreadsheet opens.
enum class export_format { csv, json, xls, parquet };

/// What an import and an export have in common.
struct job_status {
    std::string id;
    std::optional<std::chrono::sys_time<std::chrono::microseconds>> date_created;
    std::optional<std::chrono::sys_time<std::chrono::microseconds>> date_finished;
    job_state state = job_state::received;
    /// How often it was restarted, such as after a value that did not fit its column.
    std::int64_t retries = 0;
    /// The kind of failure, for programs; empty unless it failed. See docs/imports-and-exports.md.
    std::string error_type;
    std::string error_id;
    /// What went wrong, in words.
    std::string error_message;
    std::string status_url;

    bool is_over() const noexcept { return state == job_state::done || state == job_state::failed; }

    friend bool operator==(const job_status&, const job_status&) = default;
};

/// The loading of a file into a table.
struct import_job : job_status {
    friend bool operator==(const import_job&, const import_job&) = default;
};

/// The writing of a table or a query's rows into a file.
struct export_job : job_status {
    export_format format = export_format::csv;
    std::string file_name;
    /// Where the file is, for a while, for everyone who knows the address; empty until it is done.
    std::string download_url;

    friend bool operator==(const export_job&, const export_job&) = default;
};

/// Where an import goes, and how its file is read.
struct import_options {
    import_options() = default;
    explicit import_options(std::string table) : table_name(std::move(table)) {}

    /// Created if it does not exist, else appended to.
    std::string table_name;
    std::string schema_name = "public";
    header_row header = header_row::automatic;
};

/// What an export writes: a table, or the rows of a query, not both.
struct export_options {
    export_options() = default;

    std::string query;
    std::string table_name;
    std::string schema_name = "public";
    export_format format = export_format::csv;
    /// The file name of the download; empty for the service's choice.
    std::string file_name;
};

}  // namespace bitdotio
