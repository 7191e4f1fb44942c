// Finds the type that a column needs for its values. No I/O.
#pragma once

#include "server/formats/cell.hpp"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace bitdotio {

/// The types of imported columns. Integers beyond 2^53 have their own type, because a double
/// cannot hold them; `numeric` is for decimals with more digits than a double holds.
enum class column_type : std::uint8_t {
    unknown,  ///< nothing but NULL so far; made as TEXT
    bigint,
    large_bigint,
    double_precision,
    numeric,
    boolean,
    date,
    plain_timestamp,
    zoned_timestamp,
    text,
    jsonb,
};

/// The narrowest type that holds the value without loss. Numbers with leading zeros or a leading
/// plus, and those out of the range of BIGINT and DOUBLE PRECISION, are TEXT.
column_type type_of(const cell& value);

/// The narrowest type that holds the values of both.
column_type wider(column_type left, column_type right) noexcept;

std::string_view sql_name(column_type type) noexcept;

/// Appends a value as a column of this type takes it, in the text format of COPY.
void append_copy_text(std::string& out, const cell& value, column_type type);

/// Makes names that differ: an empty name becomes column_N, a repeated name gets a number, a name
/// longer than PostgreSQL takes is cut.
std::vector<std::string> usable_names(const std::vector<std::string>& names, std::size_t columns);

/// Renames what a table cannot have, because each has a column of that name already: xmin becomes
/// xmin_1. The names must differ.
void rename_system_columns(std::vector<std::string>& names);

/// Cuts `name` to what PostgreSQL takes, at the end of a character.
std::string cut_name(std::string_view name, std::size_t longest = 63);

}  // namespace bitdotio
