// The interface of all formats' readers: tables of rows, read one by one.
#pragma once

#include <bitdotio/jobs.hpp>

#include "server/formats/cell.hpp"
#include "server/formats/import_limits.hpp"
#include "server/formats/input_file.hpp"

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace bitdotio {

/// Reads the rows of one table, in bounded memory. All of it blocks.
///
/// Errors: all functions throw errc::bad_input, naming the place in the file.
/// Thread safety: one thread at a time.
class table_reader {
public:
    table_reader() = default;
    virtual ~table_reader() = default;
    table_reader(const table_reader&) = delete;
    table_reader& operator=(const table_reader&) = delete;

    /// Reads the next row; false at the end. A row may have fewer cells than there are columns: the
    /// others are NULL.
    virtual bool next(cells& row) = 0;

    /// The names of the columns as far as they are known: JSON may find more later. Empty if the
    /// file has none.
    virtual const std::vector<std::string>& names() const = 0;

    /// The place of a row for people, "row 7 of table …": what stands before and after its number.
    struct place_words {
        std::string before;
        std::string after;
    };
    virtual place_words words() const = 0;
    /// The number of the row read last.
    virtual std::uint64_t number() const = 0;

    std::string place() const {
        const place_words around = words();
        return around.before + std::to_string(number()) + around.after;
    }
};

/// A table of a file, which can be read repeatedly.
struct table_source {
    std::string name;  ///< in the file; empty if it has only one without a name
    std::function<std::unique_ptr<table_reader>()> open;
};

/// The readers. Each blocks and throws errc::bad_input for a file that cannot be read.
///
/// Parameters: `delimiter` stands between the fields of CSV; 0 to find it out.
std::vector<table_source> open_csv(input_handle file, header_row header, char delimiter = 0);
std::vector<table_source> open_json(input_handle file, header_row header = header_row::automatic);
std::vector<table_source> open_xlsx(input_handle file, header_row header);
std::vector<table_source> open_xls(input_handle file, header_row header);
std::vector<table_source> open_sqlite(input_handle file);

/// The tables of a file in any format, known by its first bytes and, between CSV and JSON, by the
/// end of its name.
///
/// Errors: errc::bad_input if the format cannot be read, saying what it looks like, or the file is
///     empty.
std::vector<table_source> open_tables(input_handle file, const std::string& name,
                                      header_row header);

}  // namespace bitdotio
