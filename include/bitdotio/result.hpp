// The answer of a statement: its rows, and what it did.
#pragma once

#include <bitdotio/row.hpp>

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

struct pg_result;

namespace bitdotio {

/// The answer of a statement. Cheap to move; views into it live as long as it does.
///
/// It is a random-access range of row_view, for `for` and for std::ranges. Reading copies only what
/// it returns: the rows stay as libpq received them.
///
/// Thread safety: a value that is not copied; reading is safe from several threads.
class result {
public:
    result() noexcept = default;
    /// Takes over what libpq returned.
    explicit result(pg_result* owned) noexcept;

    std::size_t size() const noexcept;
    bool empty() const noexcept { return size() == 0; }
    std::size_t column_count() const noexcept;
    /// Errors: errc::no_such_column.
    std::string_view column_name(std::size_t column) const&;
    std::string column_name(std::size_t column) &&;
    oid column_type(std::size_t column) const;

    /// How many rows INSERT, UPDATE, DELETE, MERGE, SELECT, COPY… touched; 0 for other commands.
    std::uint64_t affected_rows() const noexcept;
    /// The server's word for what it did, such as "INSERT 0 1".
    std::string_view command_tag() const& noexcept;
    std::string command_tag() &&;

    /// Errors: errc::unexpected_shape if there is no such row.
    row_view operator[](std::size_t row) const&;
    /// Of a result that is a temporary, to be read at once.
    temporary_row operator[](std::size_t row) &&;

    class iterator;
    iterator begin() const& noexcept;
    iterator end() const& noexcept;
    // Name the result on the line before.
    iterator begin() && = delete;
    iterator end() && = delete;

    /// All rows as `T`, see row_view::as. The shape is checked once, also if there is no row.
    template <class T>
    std::vector<T> rows_as() const&;
    /// The only row as `T`. Errors: errc::unexpected_shape if there is none or more than one.
    template <class T>
    T one() const&;
    /// The only row as `T`, or nothing if there is none.
    template <class T>
    std::optional<T> maybe_one() const&;

    /// The same of a result that is a temporary, as in `(co_await c.query(sql)).one<int>()`. What
    /// would refer to it, such as a std::string_view, does not compile.
    template <class T>
    std::vector<T> rows_as() && {
        outlives<T>();
        return std::as_const(*this).template rows_as<T>();
    }
    template <class T>
    T one() && {
        outlives<T>();
        return std::as_const(*this).template one<T>();
    }
    template <class T>
    std::optional<T> maybe_one() && {
        outlives<T>();
        return std::as_const(*this).template maybe_one<T>();
    }

private:
    friend class type_book;  // of the session

    template <class T>
    static constexpr void outlives() {
        static_assert(!wire::refers_to_result<T>(),
                      "a view would dangle, because the result is a temporary: name the result on "
                      "the line before, or read a std::string");
    }

    struct clear {
        void operator()(pg_result* value) const noexcept;
    };

    void require_columns(std::size_t expected) const;
    void require_rows(std::size_t least, std::size_t most) const;

    std::unique_ptr<pg_result, clear> result_;
    std::shared_ptr<const wire::known_types> types_;
};

/// Walks the rows, in any order.
///
/// Thread safety: a value.
/// Lifetime: it and what it gives refer to the result.
class result::iterator {
public:
    using value_type = row_view;
    using reference = row_view;
    using difference_type = std::ptrdiff_t;
    using iterator_concept = std::random_access_iterator_tag;
    using iterator_category = std::input_iterator_tag;  // before C++20, references had to be real

    iterator() noexcept = default;
    iterator(const pg_result* result, std::size_t row, const wire::known_types* types) noexcept
        : result_(result), types_(types), row_(static_cast<difference_type>(row)) {}

    row_view operator*() const noexcept {
        return row_view(result_, static_cast<std::size_t>(row_), types_);
    }
    row_view operator[](difference_type offset) const noexcept { return *(*this + offset); }

    iterator& operator++() noexcept { return *this += 1; }
    iterator& operator--() noexcept { return *this += -1; }
    iterator operator++(int) noexcept { return std::exchange(*this, *this + 1); }
    iterator operator--(int) noexcept { return std::exchange(*this, *this - 1); }
    iterator& operator+=(difference_type offset) noexcept {
        row_ += offset;
        return *this;
    }
    iterator& operator-=(difference_type offset) noexcept { return *this += -offset; }
    friend iterator operator+(iterator at, difference_type offset) noexcept { return at += offset; }
    friend iterator operator+(difference_type offset, iterator at) noexcept { return at += offset; }
    friend iterator operator-(iterator at, difference_type offset) noexcept { return at -= offset; }
    friend difference_type operator-(const iterator& left, const iterator& right) noexcept {
        return left.row_ - right.row_;
    }
    friend bool operator==(const iterator&, const iterator&) = default;
    friend auto operator<=>(const iterator& left, const iterator& right) noexcept {
        return left.row_ <=> right.row_;
    }

private:
    const pg_result* result_ = nullptr;
    const wire::known_types* types_ = nullptr;
    difference_type row_ = 0;
};

template <class T>
std::vector<T> result::rows_as() const& {
    std::vector<T> rows;
    rows.reserve(size());
    constexpr std::size_t count = wire::field_count<T>();
    require_columns(count);
    std::array<wire::column, count> columns;
    std::array<wire::cell, count> cells;
    wire::describe(result_.get(), types_.get(), columns.data(), count);
    const wire::row_shape shape{columns.data(), count, types_.get()};
    for (std::size_t row = 0, all = size(); row < all; ++row) {
        wire::load_cells(result_.get(), row, cells.data(), count);
        rows.push_back(wire::read_row<T>(shape, cells.data(), row));
    }
    return rows;
}

template <class T>
T result::one() const& {
    require_rows(1, 1);
    return row_view(result_.get(), 0, types_.get()).as<T>();
}

template <class T>
std::optional<T> result::maybe_one() const& {
    require_rows(0, 1);
    if (empty()) {
        return std::nullopt;
    }
    return row_view(result_.get(), 0, types_.get()).as<T>();
}

}  // namespace bitdotio
