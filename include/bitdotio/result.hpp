// What a statement answered: rows as fields, tuples and structs.
#pragma once

#include <bitdotio/error.hpp>
#include <bitdotio/types.hpp>

#include <boost/pfr/core.hpp>

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

struct pg_result;

namespace bitdotio {

class field_view;

/// How a field is read into a C++ type: the customisation point for types of your own.
///
/// A specialisation has `static T read(const field_view& field)`, called for values that are not
/// NULL only; it reads `field.data()` according to `field.type()` and `field.is_binary()`, or
/// throws `field.mismatch("T")`.
template <class T>
struct from_sql;

/// One field of one row. It refers to its result, which must outlive it.
///
/// Thread safety: reading is safe from any thread while nobody destroys the result.
class field_view {
public:
    bool is_null() const noexcept;
    /// The value as the server sent it; empty if NULL.
    std::string_view data() const noexcept;
    bool is_binary() const noexcept;
    oid type() const noexcept;
    std::string_view name() const noexcept;
    std::size_t column() const noexcept { return column_; }

    /// The value as a C++ type: bool, integers, floats, std::string, std::string_view (a view
    /// into the result), bytes, timestamptz, timestamp, uuid, std::optional of these, or a type
    /// with a from_sql.
    ///
    /// Integers and floats convert where no value is lost. numeric reads as text, float or
    /// double. Types read as strings are those of text, json, jsonb, xml, uuid, enums, the numbers,
    /// and whatever came in text (`statement::text_results`).
    ///
    /// Errors: errc::wrong_type if the column's type or the value does not fit; errc::
    ///     unexpected_null if it is NULL and T is not optional. Both name column, SQL type and
    ///     C++ type.
    template <class T>
    T as() const;

    /// The error that this field is not a `wanted`, for from_sql specialisations.
    error mismatch(std::string_view wanted, std::string_view why = {}) const;

private:
    friend class row_view;
    field_view(const pg_result* result, std::size_t row, std::size_t column) noexcept
        : result_(result), row_(row), column_(column) {}

    error null_error() const;

    const pg_result* result_;
    std::size_t row_;
    std::size_t column_;
};

/// One row. It refers to its result, which must outlive it.
class row_view {
public:
    std::size_t size() const noexcept;

    /// Errors: errc::no_such_column, naming the columns there are.
    field_view operator[](std::size_t column) const;
    field_view operator[](std::string_view name) const;

    /// The row as a tuple, an aggregate struct (fields in the order of the columns), or, if it
    /// has one column, that column's value.
    ///
    /// Errors: errc::unexpected_shape if the numbers of fields and columns differ; those of
    ///     field_view::as.
    template <class T>
    T as() const;

private:
    friend class result;  // and its iterator
    row_view(const pg_result* result, std::size_t row) noexcept : result_(result), row_(row) {}

    void require_columns(std::size_t expected) const;

    const pg_result* result_;
    std::size_t row_;
};

/// The answer of a statement. Cheap to move; views into it live as long as it does.
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
    std::string_view column_name(std::size_t column) const;
    oid column_type(std::size_t column) const;

    /// How many rows INSERT, UPDATE, DELETE, MERGE, SELECT, COPY… touched; 0 for other commands.
    std::uint64_t affected_rows() const noexcept;
    /// The server's word for what it did, such as "INSERT 0 1".
    std::string_view command_tag() const noexcept;

    /// Errors: errc::unexpected_shape if there is no such row.
    row_view operator[](std::size_t row) const;

    class iterator;
    iterator begin() const noexcept;
    iterator end() const noexcept;

    /// All rows as `T`, see row_view::as.
    template <class T>
    std::vector<T> rows_as() const;
    /// The only row as `T`. Errors: errc::unexpected_shape if there is none or more than one.
    template <class T>
    T one() const;
    /// The only row as `T`, or nothing if there is none.
    template <class T>
    std::optional<T> maybe_one() const;

private:
    struct clear {
        void operator()(pg_result* value) const noexcept;
    };

    void require_rows(std::size_t least, std::size_t most) const;

    std::unique_ptr<pg_result, clear> result_;
};

class result::iterator {
public:
    using value_type = row_view;
    using difference_type = std::ptrdiff_t;
    using iterator_concept = std::forward_iterator_tag;

    iterator() noexcept = default;
    iterator(const pg_result* result, std::size_t row) noexcept : result_(result), row_(row) {}
    row_view operator*() const noexcept;
    iterator& operator++() noexcept {
        ++row_;
        return *this;
    }
    iterator operator++(int) noexcept {
        const iterator before = *this;
        ++row_;
        return before;
    }
    friend bool operator==(const iterator&, const iterator&) = default;

private:
    const pg_result* result_ = nullptr;
    std::size_t row_ = 0;
};

// The readers of the built-in types stand in result.cpp; these declare them.
namespace wire {
bool read_bool(const field_view& field);
std::int64_t read_integer(const field_view& field, std::int64_t least, std::int64_t most,
                          std::string_view wanted);
std::uint64_t read_unsigned(const field_view& field);
double read_double(const field_view& field);
float read_float(const field_view& field);
std::string read_text(const field_view& field);
std::string_view read_view(const field_view& field);
bytes read_bytes(const field_view& field);
timestamptz read_timestamptz(const field_view& field);
timestamp read_timestamp(const field_view& field);
uuid read_uuid(const field_view& field);

template <class T>
struct is_optional : std::false_type {};
template <class T>
struct is_optional<std::optional<T>> : std::true_type {};
template <class T>
struct is_tuple : std::false_type {};
template <class... T>
struct is_tuple<std::tuple<T...>> : std::true_type {};
template <class T>
concept readable = requires(const field_view& field) {
    from_sql<T>::read(field);
};
template <class T>
concept field_value = readable<T> || is_optional<T>::value;
}  // namespace wire

template <>
struct from_sql<bool> {
    static bool read(const field_view& field) { return wire::read_bool(field); }
};

template <class T>
    requires(std::is_integral_v<T> && !std::is_same_v<T, bool> && !std::is_same_v<T, char>)
struct from_sql<T> {
    static T read(const field_view& field) {
        if constexpr (std::is_unsigned_v<T> && sizeof(T) == 8) {
            return wire::read_unsigned(field);
        } else {
            using limits = std::numeric_limits<T>;
            return static_cast<T>(wire::read_integer(field, limits::min(), limits::max(),
                                                     std::is_signed_v<T>
                                                         ? (sizeof(T) == 1   ? "std::int8_t"
                                                            : sizeof(T) == 2 ? "std::int16_t"
                                                            : sizeof(T) == 4 ? "std::int32_t"
                                                                             : "std::int64_t")
                                                         : (sizeof(T) == 1   ? "std::uint8_t"
                                                            : sizeof(T) == 2 ? "std::uint16_t"
                                                                             : "std::uint32_t")));
        }
    }
};

template <>
struct from_sql<double> {
    static double read(const field_view& field) { return wire::read_double(field); }
};
template <>
struct from_sql<float> {
    static float read(const field_view& field) { return wire::read_float(field); }
};
template <>
struct from_sql<std::string> {
    static std::string read(const field_view& field) { return wire::read_text(field); }
};
template <>
struct from_sql<std::string_view> {
    static std::string_view read(const field_view& field) { return wire::read_view(field); }
};
template <>
struct from_sql<bytes> {
    static bytes read(const field_view& field) { return wire::read_bytes(field); }
};
template <>
struct from_sql<timestamptz> {
    static timestamptz read(const field_view& field) { return wire::read_timestamptz(field); }
};
template <>
struct from_sql<timestamp> {
    static timestamp read(const field_view& field) { return wire::read_timestamp(field); }
};
template <>
struct from_sql<uuid> {
    static uuid read(const field_view& field) { return wire::read_uuid(field); }
};

template <class T>
T field_view::as() const {
    if constexpr (wire::is_optional<T>::value) {
        if (is_null()) {
            return std::nullopt;
        }
        return from_sql<typename T::value_type>::read(*this);
    } else {
        if (is_null()) {
            throw null_error();
        }
        return from_sql<T>::read(*this);
    }
}

template <class T>
T row_view::as() const {
    if constexpr (wire::field_value<T>) {
        require_columns(1);
        return field_view(result_, row_, 0).as<T>();
    } else if constexpr (wire::is_tuple<T>::value) {
        require_columns(std::tuple_size_v<T>);
        return [this]<std::size_t... I>(std::index_sequence<I...>) {
            return T{field_view(result_, row_, I).template as<std::tuple_element_t<I, T>>()...};
        }
        (std::make_index_sequence<std::tuple_size_v<T>>());
    } else {
        static_assert(std::is_aggregate_v<T>,
                      "read a row as a tuple, an aggregate struct, or a type with a from_sql");
        constexpr std::size_t count = boost::pfr::tuple_size_v<T>;
        require_columns(count);
        return [this]<std::size_t... I>(std::index_sequence<I...>) {
            return T{
                field_view(result_, row_, I).template as<boost::pfr::tuple_element_t<I, T>>()...};
        }
        (std::make_index_sequence<count>());
    }
}

template <class T>
std::vector<T> result::rows_as() const {
    std::vector<T> rows;
    rows.reserve(size());
    for (const row_view row : *this) {
        rows.push_back(row.as<T>());
    }
    return rows;
}

template <class T>
T result::one() const {
    require_rows(1, 1);
    return row_view(result_.get(), 0).as<T>();
}

template <class T>
std::optional<T> result::maybe_one() const {
    require_rows(0, 1);
    if (empty()) {
        return std::nullopt;
    }
    return row_view(result_.get(), 0).as<T>();
}

}  // namespace bitdotio
