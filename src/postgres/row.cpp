// One row: its fields, and the errors of shapes.
#include <bitdotio/row.hpp>

#include "postgres/libpq.hpp"
#include "postgres/row_errors.hpp"

namespace bitdotio {

std::size_t row_view::size() const noexcept {
    return static_cast<std::size_t>(PQnfields(result_));
}

field_view row_view::operator[](std::size_t column) const {
    if (column >= size()) {
        throw no_such_column(result_, std::to_string(column));
    }
    return field(column);
}

field_view row_view::operator[](std::string_view name) const {
    // PQfnumber would fold the case of what we pass; a name here is the column's, to the letter.
    for (int i = 0; i < PQnfields(result_); ++i) {
        if (name == PQfname(result_, i)) {
            return field(static_cast<std::size_t>(i));
        }
    }
    throw no_such_column(result_, quoted(name));
}

field_view row_view::field(std::size_t index) const noexcept {
    const int row = static_cast<int>(row_);
    const int column = static_cast<int>(index);
    std::optional<std::string_view> value;
    if (PQgetisnull(result_, row, column) == 0) {
        value.emplace(PQgetvalue(result_, row, column),
                      static_cast<std::size_t>(PQgetlength(result_, row, column)));
    }
    return {PQfname(result_, column),        index, row_,  PQftype(result_, column),
            PQfformat(result_, column) == 1, value, types_};
}

void row_view::require_columns(std::size_t expected) const {
    require_shape(size(), expected);
}

}  // namespace bitdotio
