// One row of an answer: as fields, a tuple, a struct or its only value.
#pragma once

#include <bitdotio/clock_time.hpp>
#include <bitdotio/field.hpp>
#include <bitdotio/row_plan.hpp>
#include <bitdotio/shape.hpp>

#include <array>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>

struct pg_result;

namespace bitdotio {

namespace wire {

// The first `count` columns of a result, which must have them, and the values of a row in these.
void describe(const pg_result* from, const known_types* types, column* to,
              std::size_t count) noexcept;
void load_cells(const pg_result* from, std::size_t row, cell* to, std::size_t count) noexcept;

}  // namespace wire

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
        constexpr std::size_t count = wire::field_count<T>();
        require_columns(count);
        if (columns_) {
            const wire::row_shape shape{columns_, count, types_};
            return wire::read_row<T>(shape, cells_, row_);
        }
        std::array<wire::column, count> columns;
        std::array<wire::cell, count> cells;
        wire::describe(result_, types_, columns.data(), count);
        wire::load_cells(result_, row_, cells.data(), count);
        const wire::row_shape shape{columns.data(), count, types_};
        return wire::read_row<T>(shape, cells.data(), row_);
    }

private:
    friend class result;  // and its iterator
    friend class row_chunk;
    row_view(const pg_result* result, std::size_t row, const wire::known_types* types) noexcept
        : result_(result), types_(types), row_(row) {}
    // A row that is kept elsewhere; the result has its columns.
    row_view(const pg_result* result, std::size_t row, const wire::row_shape& shape,
             const wire::cell* cells) noexcept
        : result_(result), types_(shape.types), row_(row), columns_(shape.columns), cells_(cells) {}

    field_view field(std::size_t column) const noexcept;
    void require_columns(std::size_t expected) const;

    const pg_result* result_;
    const wire::known_types* types_;
    std::size_t row_;
    const wire::column* columns_ = nullptr;
    const wire::cell* cells_ = nullptr;
};

/// A field of a result that is gone at the end of the full expression, as in
/// `(co_await c.query(sql))[0]["name"].as<std::string>()`. It is read there, into what does not
/// refer to the result.
///
/// Thread safety: none.
class temporary_field {
public:
    explicit temporary_field(field_view field) noexcept : field_(field) {}
    temporary_field(const temporary_field&) = delete;
    temporary_field& operator=(const temporary_field&) = delete;

    bool is_null() const noexcept { return field_.is_null(); }
    bool is_binary() const noexcept { return field_.is_binary(); }
    oid type() const noexcept { return field_.type(); }
    std::string data() && { return std::string(field_.data()); }
    std::string name() && { return std::string(field_.name()); }

    /// As field_view::as.
    template <class T>
    T as() && {
        static_assert(!wire::refers_to_result<T>(),
                      "a view would dangle, because the result is a temporary: name the result on "
                      "the line before, or read a std::string");
        return field_.as<T>();
    }
    // Name the result on the line before.
    template <class T>
    T as() const& = delete;

private:
    const field_view field_;
};

/// A row of a result that is gone at the end of the full expression; see temporary_field.
///
/// Thread safety: none.
class temporary_row {
public:
    explicit temporary_row(row_view row) noexcept : row_(row) {}
    temporary_row(const temporary_row&) = delete;
    temporary_row& operator=(const temporary_row&) = delete;

    std::size_t size() const noexcept { return row_.size(); }
    /// Errors: as row_view's.
    temporary_field operator[](std::size_t column) && { return temporary_field(row_[column]); }
    temporary_field operator[](std::string_view name) && { return temporary_field(row_[name]); }
    // Name the result on the line before.
    temporary_field operator[](std::size_t column) const& = delete;
    temporary_field operator[](std::string_view name) const& = delete;

    /// As row_view::as.
    template <class T>
    T as() && {
        static_assert(!wire::refers_to_result<T>(),
                      "a view would dangle, because the result is a temporary: name the result on "
                      "the line before, or read a std::string");
        return row_.as<T>();
    }
    // Name the result on the line before.
    template <class T>
    T as() const& = delete;

private:
    const row_view row_;
};

}  // namespace bitdotio
