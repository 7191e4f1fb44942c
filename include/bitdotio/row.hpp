// One row of an answer: as fields, a tuple, a struct or its only value.
#pragma once

#include <bitdotio/field.hpp>
#include <bitdotio/shape.hpp>

#include <cstddef>
#include <string_view>

struct pg_result;

namespace bitdotio {

/// One row. It refers to its result, which must outlive it.
///
/// Thread safety: reading is safe from any thread while nobody destroys the result.
class row_view {
public:
    std::size_t size() const noexcept;

    /// Errors: errc::no_such_column, naming the columns there are.
    field_view operator[](std::size_t column) const;
    field_view operator[](std::string_view name) const;

    /// The row as a tuple, an aggregate struct (fields in the order of the columns), or, if it has
    /// one column, that column's value.
    ///
    /// Errors: errc::unexpected_shape if the numbers of fields and columns differ; those of
    ///     field_view::as.
    template <class T>
    T as() const {
        require_columns(wire::field_count<T>());
        return unchecked_as<T>();
    }

private:
    friend class result;  // and its iterator
    row_view(const pg_result* result, std::size_t row) noexcept : result_(result), row_(row) {}

    field_view field(std::size_t column) const noexcept;
    void require_columns(std::size_t expected) const;

    template <class T>
    T unchecked_as() const {
        return wire::from_fields<T>([this](std::size_t column) { return field(column); });
    }

    const pg_result* result_;
    std::size_t row_;
};

}  // namespace bitdotio
