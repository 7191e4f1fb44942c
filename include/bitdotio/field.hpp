// One value of an answer, and how it is read into C++: the customisation point.
#pragma once

#include <bitdotio/error.hpp>
#include <bitdotio/to_sql.hpp>
#include <bitdotio/types.hpp>

#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>

namespace bitdotio {

class field_view;

namespace wire {
// What a session knows of the types of a database's own.
class known_types;
struct known_type;
}  // namespace wire

/// How a field is read into a C++ type: the customisation point for types of your own.
///
/// A specialisation has `static T read(const field_view& field)`, called for values that are not
/// NULL only; it reads `field.data()` according to `field.type()` and `field.is_binary()`, or
/// calls `field.as<…>()` for a type it builds on, or throws `field.mismatch("T")`.
///
/// See: to_sql, its mirror; docs/types.md, with an example.
template <class T>
struct from_sql;

/// One value: a field of a row, or an element of an array, a range or a composite. It refers to its
/// result, which must outlive it.
///
/// Thread safety: reading is safe from any thread while nobody destroys the result.
class field_view {
public:
    /// A field outside of a result: for what keeps its values elsewhere.
    ///
    /// Parameters: `column_name` ends in a zero byte; it and the value must outlive the field.
    ///     `value` is nothing for NULL.
    field_view(const char* column_name, std::size_t column, std::size_t row, oid type, bool binary,
               std::optional<std::string_view> value,
               const wire::known_types* types = nullptr) noexcept
        : data_(value ? value->data() : ""),
          name_(column_name),
          types_(types),
          size_(value ? value->size() : 0),
          row_(row),
          column_(static_cast<std::uint32_t>(column)),
          type_(type),
          binary_(binary),
          null_(!value) {}

    bool is_null() const noexcept { return null_; }
    /// The value as the server sent it; empty if NULL.
    std::string_view data() const noexcept { return {data_, size_}; }
    bool is_binary() const noexcept { return binary_; }
    /// Its type; oids::unspecified inside a text form that does not tell its type. For a domain
    /// it is the type that the domain is made of.
    oid type() const noexcept { return type_; }
    /// The column's name, also for a value inside the column's value.
    std::string_view name() const noexcept { return name_; }
    std::size_t column() const noexcept { return column_; }

    /// The value as a C++ type: bool, integers, floats, char, std::string, std::string_view (a view
    /// into the result), bytes, timestamptz, timestamp, uuid, std::optional of these, or a type
    /// with a from_sql, which docs/types.md lists by header.
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

    /// A value inside this one's, in the same form; errors still name the column. For from_sql
    /// specialisations of containers.
    ///
    /// Parameters: `value` must be part of this field's data, or `outlives_reading` false.
    field_view inner(oid type, std::optional<std::string_view> value,
                     bool outlives_reading = true) const noexcept;
    /// Whether views into the value may be handed out: not if it had to be unescaped.
    bool outlives_reading() const noexcept { return !temporary_; }
    /// Whether it is a part of the column's value.
    bool is_inner() const noexcept { return inner_; }
    // What is known of a type, null for nothing; for the readers of this library.
    const wire::known_type* known(oid type) const noexcept;

private:
    std::string named_type() const;
    error null_error(std::string_view wanted) const;
    std::string subject() const;

    const char* data_;
    const char* name_;
    const wire::known_types* types_;
    std::size_t size_;
    std::size_t row_;
    std::uint32_t column_;
    oid type_;
    bool binary_;
    bool null_;
    bool inner_ = false;
    bool temporary_ = false;
};

// The readers of the everyday types are in field.cpp and number_readers.cpp.
namespace wire {
bool read_bool(const field_view& field);
std::int64_t read_integer(const field_view& field, std::int64_t least, std::int64_t most,
                          std::string_view wanted);
std::uint64_t read_unsigned(const field_view& field);
double read_double(const field_view& field);
float read_float(const field_view& field);
char read_char(const field_view& field);
std::string read_text(const field_view& field);
std::string_view read_view(const field_view& field);
bytes read_bytes(const field_view& field);
timestamptz read_timestamptz(const field_view& field);
timestamp read_timestamp(const field_view& field);
uuid read_uuid(const field_view& field);
// For decimal.hpp: the text of a numeric of at most `most` significant digits.
std::string read_decimal(const field_view& field, unsigned most, std::string_view wanted);

// The name of a type for errors, taken from the compiler's words.
template <class T>
constexpr std::string_view cpp_name() {
    std::string_view text = __PRETTY_FUNCTION__;
    const auto begin = text.find("T = ") + 4;
    text = text.substr(begin, text.rfind(']') - begin);
    return text.substr(0, text.find(';'));
}
}  // namespace wire

template <>
struct from_sql<bool> {
    static bool read(const field_view& field) { return wire::read_bool(field); }
};

template <class T>
    requires(std::is_integral_v<T> && !std::is_same_v<T, bool> && !std::is_same_v<T, char> &&
             sizeof(T) <= 8)
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
struct from_sql<char> {
    static char read(const field_view& field) { return wire::read_char(field); }
};
template <>
struct from_sql<std::string> {
    static std::string read(const field_view& field) { return wire::read_text(field); }
};
template <>
struct from_sql<std::string_view> {
    static constexpr bool refers_to_result = true;
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

namespace wire {
// Whether there is a from_sql for the type.
template <class T>
concept readable = requires(const field_view& field) {
    from_sql<T>::read(field);
};
}  // namespace wire

template <class T>
T field_view::as() const {
    if constexpr (!wire::readable<wire::without_optional<T>>) {
        static_assert(wire::never<T>,
                      "no value reads as this C++ type: include the header that docs/types.md "
                      "names for it (bitdotio/calendar.hpp, arrays.hpp, composites.hpp, …), or "
                      "give it a bitdotio::from_sql");
    } else if constexpr (wire::is_optional<T>) {
        if (is_null()) {
            return std::nullopt;
        }
        return from_sql<typename T::value_type>::read(*this);
    } else {
        if (is_null()) {
            throw null_error(wire::cpp_name<T>());
        }
        return from_sql<T>::read(*this);
    }
}

}  // namespace bitdotio
