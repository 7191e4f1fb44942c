// What type a column needs for the values it has. No I/O.
#pragma once

#include "server/formats/cell.hpp"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace bitdotio {

/// The types of imported columns. An integer beyond 2^53 is told from others because no double
/// can stand for it.
enum class column_type : std::uint8_t {
    unknown,  ///< nothing but NULL so far; made as TEXT
    bigint,
    large_bigint,
    double_precision,
    boolean,
    date,
    plain_timestamp,
    zoned_timestamp,
    text,
    jsonb,
};

/// The narrowest type that holds the value without losing any of it. Numbers with leading zeros,
/// and those out of the range of BIGINT and DOUBLE PRECISION, are TEXT.
column_type type_of(const cell& value);

/// The narrowest type that holds the values of both.
column_type wider(column_type left, column_type right) noexcept;

std::string_view sql_name(column_type type) noexcept;

/// A value as a column of this type takes it, appended in the text format of COPY.
void append_copy_text(std::string& out, const cell& value, column_type type);

/// Whether the first row of a file, of untyped cells, looks like the names of columns: it has no
/// empty cell, no value but texts, and none twice.
bool looks_like_header(const cells& row);

/// Names a table can have: what is empty is called column_N, what is there already gets a number,
/// what is longer than PostgreSQL takes is cut.
std::vector<std::string> usable_names(const std::vector<std::string>& names, std::size_t columns);

/// `name` cut to what PostgreSQL takes, at the end of a character.
std::string cut_name(std::string_view name, std::size_t longest = 63);

}  // namespace bitdotio
