// How a C++ value is bound as a parameter: the customisation point, and the everyday types.
#pragma once

#include <bitdotio/types.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>

namespace bitdotio {

/// How a C++ value is bound: the customisation point for types of your own.
///
/// A specialisation has
/// - `static constexpr oid type`: the SQL type, or oids::unspecified for what the server infers;
/// - `static constexpr bool binary`: whether `write` makes the binary form of that type;
/// - `static void write(const T& value, std::string& out)`, which appends PostgreSQL's binary or
///   text form of the value, and throws error(errc::bad_input, …) for one that has none;
/// - if binary, and the type is to be a field of a composite, `write_text` likewise for the text.
///
/// See: from_sql, its mirror; docs/types.md, with an example.
template <class T>
struct to_sql;

namespace wire {

// Whether there is a to_sql for the type.
template <class T>
concept bindable = requires {
    to_sql<T>::type;
    to_sql<T>::binary;
};
template <class... T>
inline constexpr bool never = false;

// Append an integer in network byte order.
void put(std::string& out, std::uint16_t value);
void put(std::string& out, std::uint32_t value);
void put(std::string& out, std::uint64_t value);
// Append a number in the text form that PostgreSQL reads.
void put_text(std::string& out, std::int64_t value);
void put_text(std::string& out, std::uint64_t value);
void put_text(std::string& out, float value);
void put_text(std::string& out, double value);
void put_text(std::string& out, const bytes& value);
void put_text(std::string& out, timestamptz value);
void put_text(std::string& out, timestamp value);
// A std::uint64_t as bigint, or errc::bad_input.
std::uint64_t checked_bigint(std::uint64_t value);
// Microseconds since 2000-01-01, as PostgreSQL counts, from those since 1970-01-01.
std::uint64_t timestamp_since_2000(std::int64_t since_1970);

// Sets the four octets at `offset` to the number of octets that follow them.
void set_length(std::string& out, std::size_t offset);

// Appends the text form of a value if its to_sql has one.
template <class T>
void write_text(const T& value, std::string& out) {
    if constexpr (requires { to_sql<T>::write_text(value, out); }) {
        to_sql<T>::write_text(value, out);
    } else {
        static_assert(!to_sql<T>::binary,
                      "inside a composite, a value travels as text: give its to_sql a write_text");
        to_sql<T>::write(value, out);
    }
}

template <class T>
inline constexpr bool is_optional = false;
template <class T>
inline constexpr bool is_optional<std::optional<T>> = true;
template <class T>
struct without_optional_ {
    using type = T;
};
template <class T>
struct without_optional_<std::optional<T>> {
    using type = T;
};
template <class T>
using without_optional = typename without_optional_<T>::type;

}  // namespace wire

template <>
struct to_sql<bool> {
    static constexpr oid type = oids::boolean;
    static constexpr bool binary = true;
    static void write(bool value, std::string& out) { out.push_back(value ? '\1' : '\0'); }
    static void write_text(bool value, std::string& out) { out.push_back(value ? 't' : 'f'); }
};

template <class T>
    requires(std::is_integral_v<T> && !std::is_same_v<T, bool> && !std::is_same_v<T, char> &&
             sizeof(T) <= 8)
struct to_sql<T> {
    // The smallest type that holds every value of T; a uint64 is checked when it is bound.
    static constexpr std::size_t size =
        std::is_signed_v<T> ? (sizeof(T) < 2 ? 2 : sizeof(T)) : (sizeof(T) < 8 ? sizeof(T) * 2 : 8);
    static constexpr oid type = size == 2 ? oids::int2 : size == 4 ? oids::int4 : oids::int8;
    static constexpr bool binary = true;
    static void write(T value, std::string& out) {
        if constexpr (size == 2) {
            wire::put(out, static_cast<std::uint16_t>(value));
        } else if constexpr (size == 4) {
            wire::put(out, static_cast<std::uint32_t>(value));
        } else if constexpr (std::is_signed_v<T> || sizeof(T) < 8) {
            wire::put(out, static_cast<std::uint64_t>(value));
        } else {
            wire::put(out, wire::checked_bigint(value));
        }
    }
    static void write_text(T value, std::string& out) {
        using wide = std::conditional_t<std::is_signed_v<T>, std::int64_t, std::uint64_t>;
        wire::put_text(out, static_cast<wide>(value));
    }
};

template <>
struct to_sql<float> {
    static constexpr oid type = oids::float4;
    static constexpr bool binary = true;
    static void write(float value, std::string& out);
    static void write_text(float value, std::string& out) { wire::put_text(out, value); }
};

template <>
struct to_sql<double> {
    static constexpr oid type = oids::float8;
    static constexpr bool binary = true;
    static void write(double value, std::string& out);
    static void write_text(double value, std::string& out) { wire::put_text(out, value); }
};

template <class T>
    requires(std::is_convertible_v<const T&, std::string_view> && !std::is_null_pointer_v<T>)
struct to_sql<T> {
    static constexpr oid type = oids::unspecified;
    static constexpr bool binary = false;
    static void write(std::string_view value, std::string& out) { out.append(value); }
};

template <>
struct to_sql<char> {
    static constexpr oid type = oids::unspecified;
    static constexpr bool binary = false;
    static void write(char value, std::string& out) { out.push_back(value); }
};

template <>
struct to_sql<bytes> {
    static constexpr oid type = oids::bytea;
    static constexpr bool binary = true;
    static void write(const bytes& value, std::string& out) {
        out.append(reinterpret_cast<const char*>(value.data()), value.size());
    }
    static void write_text(const bytes& value, std::string& out) { wire::put_text(out, value); }
};

template <>
struct to_sql<timestamptz> {
    static constexpr oid type = oids::timestamptz;
    static constexpr bool binary = true;
    static void write(timestamptz value, std::string& out) {
        wire::put(out, wire::timestamp_since_2000(value.time_since_epoch().count()));
    }
    static void write_text(timestamptz value, std::string& out) { wire::put_text(out, value); }
};

template <>
struct to_sql<timestamp> {
    static constexpr oid type = oids::timestamp;
    static constexpr bool binary = true;
    static void write(timestamp value, std::string& out) {
        wire::put(out, wire::timestamp_since_2000(value.time_since_epoch().count()));
    }
    static void write_text(timestamp value, std::string& out) { wire::put_text(out, value); }
};

template <>
struct to_sql<uuid> {
    static constexpr oid type = oids::uuid;
    static constexpr bool binary = true;
    static void write(const uuid& value, std::string& out) {
        out.append(reinterpret_cast<const char*>(value.octets.data()), value.octets.size());
    }
    static void write_text(const uuid& value, std::string& out) { out.append(to_string(value)); }
};

}  // namespace bitdotio
