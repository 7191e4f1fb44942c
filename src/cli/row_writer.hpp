// Rows of an answer, written in one of the formats.
#pragma once

#include "cli/terminal.hpp"

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace bitdotio::cli {

enum class row_format { json, objects, table, csv, tsv, jsonl, values };

/// What "--format" takes, as help and completions name it.
inline constexpr std::string_view row_formats = "json|objects|table|csv|tsv|jsonl|values";

/// Parameters: `option` is how the message names where the name comes from.
/// Errors: errc::bad_input naming the formats there are.
row_format row_format_named(const std::string& name, const std::string& option);

struct answer_column {
    std::string name;
    std::string type;  ///< the SQL name

    /// Numbers stand at the right.
    bool is_number() const noexcept;
};

/// The text of a value, as PostgreSQL writes it; nothing for NULL.
using cell = std::optional<std::string>;

/// Writes the rows of one statement. They are written as they come: memory holds the first of a
/// table, whose widths tell those of its columns, and one row of the others.
class row_writer {
public:
    row_writer() = default;
    virtual ~row_writer() = default;
    row_writer(const row_writer&) = delete;
    row_writer& operator=(const row_writer&) = delete;

    virtual void begin(std::vector<answer_column> columns) = 0;
    virtual void row(const std::vector<cell>& cells) = 0;
    virtual void end() = 0;
};

/// For all formats but json and objects, which are JSON of the API's own form.
///
/// Parameters: `columns` is the width of the screen, 0 for no bound; `color` for the head of a
///     table. `to` must outlive it.
std::unique_ptr<row_writer> make_row_writer(row_format format, paged_output& to,
                                            std::size_t columns, bool color);
/// The same for a table alone.
std::unique_ptr<row_writer> make_table_writer(paged_output& to, std::size_t columns, bool color);

/// Prints rows that are all there as a table on a terminal.
void print_table(const arguments& words, const std::vector<answer_column>& columns,
                 const std::vector<std::vector<cell>>& rows);

}  // namespace bitdotio::cli
