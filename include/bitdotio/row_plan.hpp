// How the columns of a result become the fields of a C++ type: looked up once, used for each row.
#pragma once

#include <bitdotio/field.hpp>
#include <bitdotio/shape.hpp>

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

struct pg_result;

// The layout of this header is this library's own business; what a row reads as is row_view::as.
namespace bitdotio::wire {

/// A value where it lies.
struct cell {
    const char* data;
    std::int32_t size;  ///< negative for NULL

    bool is_null() const noexcept { return size < 0; }
    std::optional<std::string_view> value() const noexcept {
        return size < 0 ? std::nullopt
                        : std::optional(std::string_view(data, static_cast<std::size_t>(size)));
    }
};

/// The forms of values that are read where they lie. All others go through their from_sql.
enum class form : std::uint8_t { other, boolean, int2, int4, int8, oid, float4, float8, text };

constexpr form form_of(bitdotio::oid type, bool binary) noexcept {
    if (!binary) {
        return form::text;
    }
    switch (type) {
        case oids::boolean: return form::boolean;
        case oids::int2: return form::int2;
        case oids::int4: return form::int4;
        case oids::int8: return form::int8;
        case oids::oid_: return form::oid;
        case oids::float4: return form::float4;
        case oids::float8: return form::float8;
        default: return is_text_type(type) ? form::text : form::other;
    }
}

/// A column of a result.
struct column {
    const char* name;
    bitdotio::oid type;
    bool binary;
    form how;
};

/// What rows have in common.
struct row_shape {
    const column* columns = nullptr;
    std::size_t count = 0;
    const known_types* types = nullptr;
};

/// Rows that lie next to each other, and what keeps them there.
struct row_span {
    std::shared_ptr<const void> owner;
    const pg_result* described = nullptr;  ///< a result with their columns
    row_shape shape{};
    const cell* cells = nullptr;
    std::size_t size = 0;

    row_span() noexcept = default;
    row_span(const row_span&) = default;
    row_span(row_span&& other) noexcept
        : owner(std::move(other.owner)),
          described(other.described),
          shape(other.shape),
          cells(other.cells),
          size(std::exchange(other.size, 0)) {}
    row_span& operator=(row_span other) noexcept {
        owner.swap(other.owner);
        described = other.described;
        shape = other.shape;
        cells = other.cells;
        size = other.size;
        return *this;
    }
    ~row_span() = default;

    /// The first rows, which are gone from here.
    row_span take(std::size_t most) noexcept {
        if (most >= size) {
            return std::exchange(*this, {});
        }
        row_span first = *this;
        first.size = most;
        cells += most * shape.count;
        size -= most;
        return first;
    }
    void drop_first() noexcept {
        cells += shape.count;
        --size;
    }
};

template <class Unsigned>
Unsigned octets_at(const char* data) noexcept {
    Unsigned value;
    std::memcpy(&value, data, sizeof value);
    if constexpr (std::endian::native == std::endian::little) {
        if constexpr (sizeof value == 2) {
            value = __builtin_bswap16(value);
        } else if constexpr (sizeof value == 4) {
            value = __builtin_bswap32(value);
        } else {
            value = __builtin_bswap64(value);
        }
    }
    return value;
}

template <class T>
inline constexpr bool is_character =
    std::is_same_v<T, char> || std::is_same_v<T, wchar_t> || std::is_same_v<T, char8_t> ||
    std::is_same_v<T, char16_t> || std::is_same_v<T, char32_t>;

// The C++ types that are read where they lie. False sends a value through its from_sql, which reads
// it or says what is wrong.
template <class T>
struct quick_reader {
    static constexpr bool exists = false;
};

template <class T>
    requires(std::is_integral_v<T> && !is_character<T> && !std::is_same_v<T, bool> &&
             sizeof(T) <= 8)
struct quick_reader<T> {
    static constexpr bool exists = true;
    static bool read(form how, const cell& from, T& to) noexcept {
        switch (how) {
            case form::int4:
                return from.size == 4 &&
                       take(static_cast<std::int32_t>(octets_at<std::uint32_t>(from.data)), to);
            case form::int8:
                return from.size == 8 &&
                       take(static_cast<std::int64_t>(octets_at<std::uint64_t>(from.data)), to);
            case form::int2:
                return from.size == 2 &&
                       take(static_cast<std::int16_t>(octets_at<std::uint16_t>(from.data)), to);
            case form::oid: return from.size == 4 && take(octets_at<std::uint32_t>(from.data), to);
            default: return false;
        }
    }

private:
    template <class Number>
    static bool take(Number value, T& to) noexcept {
        to = static_cast<T>(value);
        return std::in_range<T>(value);
    }
};

template <>
struct quick_reader<bool> {
    static constexpr bool exists = true;
    static bool read(form how, const cell& from, bool& to) noexcept {
        if (how != form::boolean || from.size != 1) {
            return false;
        }
        to = *from.data != '\0';
        return true;
    }
};

template <>
struct quick_reader<double> {
    static constexpr bool exists = true;
    static bool read(form how, const cell& from, double& to) noexcept {
        if (how != form::float8 || from.size != 8) {
            return false;
        }
        to = std::bit_cast<double>(octets_at<std::uint64_t>(from.data));
        return true;
    }
};

template <>
struct quick_reader<float> {
    static constexpr bool exists = true;
    static bool read(form how, const cell& from, float& to) noexcept {
        if (how != form::float4 || from.size != 4) {
            return false;
        }
        to = std::bit_cast<float>(octets_at<std::uint32_t>(from.data));
        return true;
    }
};

template <class T>
inline constexpr bool reads_as_text =
    std::is_same_v<T, std::string> || std::is_same_v<T, std::string_view>;

/// One field of a row, see field_view::as.
template <class T>
T read_field(const row_shape& shape, std::size_t index, const cell& from, std::size_t row) {
    using value_type = without_optional<T>;
    const column& of = shape.columns[index];
    if constexpr (reads_as_text<value_type>) {
        if (of.how == form::text && !from.is_null()) {
            return T(value_type(from.data, static_cast<std::size_t>(from.size)));
        }
    } else if constexpr (quick_reader<value_type>::exists) {
        value_type value{};
        if (quick_reader<value_type>::read(of.how, from, value)) {
            return T(value);
        }
    }
    return field_view(of.name, index, row, of.type, of.binary, from.value(), shape.types)
        .template as<T>();
}

/// A row whose number of columns has been compared, see row_view::as.
template <class T>
T read_row(const row_shape& shape, const cell* cells, std::size_t row) {
    if constexpr (field_value<T>) {
        return read_field<T>(shape, 0, cells[0], row);
    } else {
        return [&]<std::size_t... I>(std::index_sequence<I...>) {
            if constexpr (is_tuple<T>) {
                return T{read_field<std::tuple_element_t<I, T>>(shape, I, cells[I], row)...};
            } else {
                return T{read_field<boost::pfr::tuple_element_t<I, T>>(shape, I, cells[I], row)...};
            }
        }
        (std::make_index_sequence<field_count<T>()>());
    }
}

}  // namespace bitdotio::wire
