// One row: its fields, and the errors of shapes.
#include <bitdotio/row.hpp>

#include "postgres/libpq.hpp"
#include "postgres/row_errors.hpp"
#include "values/known_types.hpp"

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
    if (columns_) {
        const wire::column& of = columns_[index];
        return {of.name, index, row_, of.type, of.binary, cells_[index].value(), types_};
    }
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

namespace wire {

void describe(const pg_result* from, const known_types* types, column* to,
              std::size_t count) noexcept {
    for (std::size_t i = 0; i < count; ++i) {
        const int index = static_cast<int>(i);
        const oid type = PQftype(from, index);
        const bool binary = PQfformat(from, index) == 1;
        form how = form_of(type, binary);
        if (how == form::other && types) {
            const known_type* const what = types->find(type);
            how = what && what->is_text ? form::text : form::other;
        }
        to[i] = {PQfname(from, index), type, binary, how};
    }
}

void load_cells(const pg_result* from, std::size_t row, cell* to, std::size_t count) noexcept {
    const int line = static_cast<int>(row);
    for (std::size_t i = 0; i < count; ++i) {
        const int index = static_cast<int>(i);
        const int size = PQgetlength(from, line, index);
        const bool null = size == 0 && PQgetisnull(from, line, index) != 0;
        to[i] = {PQgetvalue(from, line, index), null ? -1 : size};
    }
}

}  // namespace wire

void row_view::require_columns(std::size_t expected) const {
    require_shape(size(), expected);
}

}  // namespace bitdotio
