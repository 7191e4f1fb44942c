// Results and rows: shape, names, and what is missing.
#include <bitdotio/result.hpp>

#include "libpq.hpp"

#include <charconv>

namespace bitdotio {

namespace {

std::string quoted(std::string_view text) {
    return "\"" + std::string(text) + "\"";
}

error no_such_column(const pg_result* result, const std::string& wanted) {
    std::string names;
    for (int i = 0; i < PQnfields(result); ++i) {
        names += (i ? ", " : "") + quoted(PQfname(result, i));
    }
    return error(errc::no_such_column,
                 "no column " + wanted + "; " +
                     (names.empty() ? "the result has no columns" : "the columns are " + names));
}

}  // namespace

bool field_view::is_null() const noexcept {
    return PQgetisnull(result_, static_cast<int>(row_), static_cast<int>(column_)) != 0;
}

std::string_view field_view::data() const noexcept {
    const int row = static_cast<int>(row_);
    const int column = static_cast<int>(column_);
    return {PQgetvalue(result_, row, column),
            static_cast<std::size_t>(PQgetlength(result_, row, column))};
}

bool field_view::is_binary() const noexcept {
    return PQfformat(result_, static_cast<int>(column_)) == 1;
}

oid field_view::type() const noexcept {
    return PQftype(result_, static_cast<int>(column_));
}

std::string_view field_view::name() const noexcept {
    return PQfname(result_, static_cast<int>(column_));
}

error field_view::mismatch(std::string_view wanted, std::string_view why) const {
    std::string text = "column " + quoted(name()) + " is " + type_name(type()) +
                       ", which does not read as " + std::string(wanted);
    if (!why.empty()) {
        text.append(": ").append(why);
    }
    return error(errc::wrong_type, std::move(text));
}

error field_view::null_error() const {
    return error(errc::unexpected_null, "column " + quoted(name()) + " (" + type_name(type()) +
                                            ") is NULL in row " + std::to_string(row_) +
                                            "; read it as a std::optional");
}

std::size_t row_view::size() const noexcept {
    return static_cast<std::size_t>(PQnfields(result_));
}

field_view row_view::operator[](std::size_t column) const {
    if (column >= size()) {
        throw no_such_column(result_, std::to_string(column));
    }
    return {result_, row_, column};
}

field_view row_view::operator[](std::string_view name) const {
    // PQfnumber would fold the case of what we pass; a name here is the column's, to the letter.
    for (int i = 0; i < PQnfields(result_); ++i) {
        if (name == PQfname(result_, i)) {
            return {result_, row_, static_cast<std::size_t>(i)};
        }
    }
    throw no_such_column(result_, quoted(name));
}

void row_view::require_columns(std::size_t expected) const {
    if (size() != expected) {
        throw error(errc::unexpected_shape, "a row has " + std::to_string(size()) +
                                                " columns, the C++ type " +
                                                std::to_string(expected));
    }
}

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

std::string_view result::column_name(std::size_t column) const {
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

std::string_view result::command_tag() const noexcept {
    return result_ ? PQcmdStatus(result_.get()) : "";
}

row_view result::operator[](std::size_t row) const {
    if (row >= size()) {
        throw error(errc::unexpected_shape,
                    "no row " + std::to_string(row) + "; the result has " + std::to_string(size()));
    }
    return {result_.get(), row};
}

result::iterator result::begin() const noexcept {
    return {result_.get(), 0};
}

result::iterator result::end() const noexcept {
    return {result_.get(), size()};
}

row_view result::iterator::operator*() const noexcept {
    return row_view(result_, row_);
}

void result::require_rows(std::size_t least, std::size_t most) const {
    if (size() < least || size() > most) {
        throw error(errc::unexpected_shape, "the statement returned " + std::to_string(size()) +
                                                " rows, expected " +
                                                (least == most ? "one" : "one or none"));
    }
}

}  // namespace bitdotio
