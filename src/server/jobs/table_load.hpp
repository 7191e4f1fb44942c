// Turns the rows of a file's table into columns and bytes for COPY.
#pragma once

#include "server/formats/column_types.hpp"
#include "server/formats/table_reader.hpp"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace bitdotio {

/// A column of the target table.
struct load_column {
    std::string name;
    column_type type = column_type::unknown;
};

/// One table of a file. All of it blocks, and throws errc::bad_input for what cannot be read.
///
/// Its columns' types are guessed from the first rows. If a later value does not fit, the rest is
/// read through once, and then it can begin again with types that fit all.
///
/// Thread safety: one thread at a time.
class table_load {
public:
    explicit table_load(table_source source);

    /// The name in the file; empty if it has none.
    const std::string& name() const noexcept { return source_.name; }

    /// Guesses the columns from the first 1,000 rows, or 16 MiB.
    void sample();
    const std::vector<load_column>& columns() const noexcept { return columns_; }
    /// Whether the file names its columns.
    bool has_names() const noexcept { return named_; }

    /// Takes a table's columns as they are: PostgreSQL then decides what fits.
    ///
    /// Parameters: `columns` one for each of `columns()`, in that order.
    void take_existing(std::vector<load_column> columns);
    /// Goes back to the guessed columns.
    void forget_existing();

    /// Begins at the first row.
    void rewind();

    enum class progress { more, end, misfit };
    /// Appends the next rows, about 256 KiB of COPY's text format. A misfit leaves rows unread.
    progress fill(std::string& out);
    /// After a misfit, takes the next rows into account; false at the end.
    bool widen();

private:
    bool fits(const cells& row);
    void adopt_names();

    table_source source_;
    std::unique_ptr<table_reader> reader_;
    std::vector<std::string> names_;  ///< as the reader gives them
    std::vector<load_column> columns_;
    std::optional<std::vector<load_column>> existing_;
    bool named_ = false;
    cells row_;
};

}  // namespace bitdotio
