// The errors of rows: columns that are not there, shapes that differ.
#pragma once

#include <bitdotio/error.hpp>

#include "postgres/libpq.hpp"

#include <string>
#include <string_view>

namespace bitdotio {

inline std::string quoted(std::string_view text) {
    return "\"" + std::string(text) + "\"";
}

inline error no_such_column(const pg_result* result, const std::string& wanted) {
    std::string names;
    for (int i = 0; i < PQnfields(result); ++i) {
        names += (i ? ", " : "") + quoted(PQfname(result, i));
    }
    return error(errc::no_such_column,
                 "no column " + wanted + "; " +
                     (names.empty() ? "the result has no columns" : "the columns are " + names));
}

inline void require_shape(std::size_t columns, std::size_t expected) {
    if (columns != expected) {
        throw error(errc::unexpected_shape, "a row has " + std::to_string(columns) +
                                                " columns, the C++ type " +
                                                std::to_string(expected));
    }
}

}  // namespace bitdotio
