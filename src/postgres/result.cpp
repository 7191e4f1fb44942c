// Results: shape, names, and what is missing.
#include <bitdotio/result.hpp>

#include "postgres/libpq.hpp"
#include "postgres/row_errors.hpp"

#include <charconv>

namespace bitdotio {

result::result(pg_result* owned) noexcept : result_(owned) {}

void result::clear::operator()(pg_result* value) const noexcept {
    PQclear(value);
}

std::size_t result::size() const noexcept {
    return static_cast<std::size_t>(PQntuples(result_.get()));
}

std::size_t result::column_count() const noexcept {
    return static_cast<std::size_t>(PQnfields(result_.get()));
}

std::string_view result::column_name(std::size_t column) const& {
    if (column >= column_count()) {
        throw no_such_column(result_.get(), std::to_string(column));
    }
    return PQfname(result_.get(), static_cast<int>(column));
}

oid result::column_type(std::size_t column) const {
    if (column >= column_count()) {
        throw no_such_column(result_.get(), std::to_string(column));
    }
    return PQftype(result_.get(), static_cast<int>(column));
}

std::uint64_t result::affected_rows() const noexcept {
    std::uint64_t count = 0;
    if (result_) {
        const std::string_view text = PQcmdTuples(result_.get());
        std::from_chars(text.data(), text.data() + text.size(), count);
    }
    return count;
}

std::string_view result::command_tag() const& noexcept {
    return result_ ? PQcmdStatus(result_.get()) : "";
}

std::string result::column_name(std::size_t column) && {
    return std::string(std::as_const(*this).column_name(column));
}

std::string result::command_tag() && {
    return std::string(std::as_const(*this).command_tag());
}

temporary_row result::operator[](std::size_t row) && {
    return temporary_row(std::as_const(*this)[row]);
}

row_view result::operator[](std::size_t row) const& {
    if (row >= size()) {
        throw error(errc::unexpected_shape,
                    "no row " + std::to_string(row) + "; the result has " + std::to_string(size()));
    }
    return {result_.get(), row, types_.get()};
}

result::iterator result::begin() const& noexcept {
    return {result_.get(), 0, types_.get()};
}

result::iterator result::end() const& noexcept {
    return {result_.get(), size(), types_.get()};
}

void result::require_columns(std::size_t expected) const {
    require_shape(column_count(), expected);
}

void result::require_rows(std::size_t least, std::size_t most) const {
    if (size() < least || size() > most) {
        throw error(errc::unexpected_shape, "the statement returned " + std::to_string(size()) +
                                                " rows, expected " +
                                                (least == most ? "one" : "one or none"));
    }
}

}  // namespace bitdotio
