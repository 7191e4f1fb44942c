// Finds out whether the first row of a table is a header. docs/imports-and-exports.md has the rule.
#pragma once

#include "server/formats/cell.hpp"
#include "server/formats/table_reader.hpp"

#include <vector>

namespace bitdotio {

/// Whether the first row looks like the names of the columns.
///
/// Parameters: `below` are some of the rows after it.
bool is_header(const cells& first, const std::vector<cells>& below);

/// The same of a table's first row. It blocks.
///
/// Parameters: `fresh` is a reader of its own that takes no row for a header; up to 100 rows, about
///     256 KiB, are read from it. A row that cannot be read ends them: the reader of the import
///     reports it.
bool guess_header(table_reader& fresh);

}  // namespace bitdotio
