// Bound parameters: what $1, $2, … of a statement stand for.
#pragma once

#include <bitdotio/types.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace bitdotio {

/// How a C++ value is bound: the customisation point for types of your own.
///
/// A specialisation has `static constexpr oid type`, `static constexpr bool binary` and
/// `static void write(const T& value, std::string& out)`, which appends PostgreSQL's binary or
/// text form of the value.
template <class T>
struct to_sql;

/// The values of a statement's parameters, in order.
///
/// Values are copied in their wire form, so nothing must outlive the call. They travel apart from
/// the SQL: no quoting, no injection. What binds how:
///
/// | C++                               | PostgreSQL                                      |
/// |-----------------------------------|-------------------------------------------------|
/// | bool                              | boolean                                         |
/// | integers up to 64 bits            | smallint, integer, bigint, whichever fits the C++ type |
/// | float, double                     | real, double precision                          |
/// | strings, `char`                   | text the server reads as whatever type it infers |
/// | bytes                             | bytea                                           |
/// | timestamptz, timestamp, uuid      | the type of that name                           |
/// | std::optional<T>                  | as T, or NULL                                   |
/// | nullptr, std::nullopt             | NULL                                            |
///
/// Thread safety: a value.
class params {
public:
    params() = default;

    /// Binds the values to $1, $2, …
    ///
    /// Errors: errc::bad_input for a std::uint64_t above the range of bigint, a string that
    ///     contains a zero byte, a value over 1 GiB.
    template <class... Values>
        requires(sizeof...(Values) > 0 &&
                 !(sizeof...(Values) == 1 && (std::is_same_v<Values, params> && ...)))
    explicit params(const Values&... values) {
        entries_.reserve(sizeof...(Values));
        (add(values), ...);
    }

    /// Binds one more value.
    template <class T>
    void add(const T& value);
    /// Binds NULL, of a type the server infers unless it is given.
    void add_null(oid type = oids::unspecified);

    std::size_t size() const noexcept { return entries_.size(); }
    bool empty() const noexcept { return entries_.empty(); }

    /// What was bound at an index, as it goes to the server.
    oid type(std::size_t index) const { return entries_[index].type; }
    bool is_binary(std::size_t index) const { return entries_[index].binary; }
    bool is_null(std::size_t index) const { return entries_[index].null; }
    std::string_view value(std::size_t index) const;

private:
    struct entry {
        oid type;
        bool binary;
        bool null;
        std::size_t offset;
        std::size_t size;
    };

    // Closes the value that was appended to buffer_ since `offset`; a text one gets its zero byte.
    void finish(oid type, bool binary, std::size_t offset);

    std::string buffer_;
    std::vector<entry> entries_;
};

namespace wire {
// Appends an integer in network byte order.
void put(std::string& out, std::uint16_t value);
void put(std::string& out, std::uint32_t value);
void put(std::string& out, std::uint64_t value);
// A std::uint64_t as bigint, or errc::bad_input.
std::uint64_t checked_bigint(std::uint64_t value);
// Microseconds since 2000-01-01, as PostgreSQL counts, from those since 1970-01-01.
std::uint64_t timestamp_since_2000(std::int64_t since_1970);
}  // namespace wire

template <>
struct to_sql<bool> {
    static constexpr oid type = oids::boolean;
    static constexpr bool binary = true;
    static void write(bool value, std::string& out) { out.push_back(value ? '\1' : '\0'); }
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
};

template <>
struct to_sql<float> {
    static constexpr oid type = oids::float4;
    static constexpr bool binary = true;
    static void write(float value, std::string& out);
};

template <>
struct to_sql<double> {
    static constexpr oid type = oids::float8;
    static constexpr bool binary = true;
    static void write(double value, std::string& out);
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
};

template <>
struct to_sql<timestamptz> {
    static constexpr oid type = oids::timestamptz;
    static constexpr bool binary = true;
    static void write(timestamptz value, std::string& out) {
        wire::put(out, wire::timestamp_since_2000(value.time_since_epoch().count()));
    }
};

template <>
struct to_sql<timestamp> {
    static constexpr oid type = oids::timestamp;
    static constexpr bool binary = true;
    static void write(timestamp value, std::string& out) {
        wire::put(out, wire::timestamp_since_2000(value.time_since_epoch().count()));
    }
};

template <>
struct to_sql<uuid> {
    static constexpr oid type = oids::uuid;
    static constexpr bool binary = true;
    static void write(const uuid& value, std::string& out) {
        out.append(reinterpret_cast<const char*>(value.octets.data()), value.octets.size());
    }
};

namespace wire {
template <class T>
struct optional_value : std::false_type {};
template <class T>
struct optional_value<std::optional<T>> : std::true_type {};
template <class T>
concept null_constant = std::is_same_v<T, std::nullptr_t> || std::is_same_v<T, std::nullopt_t>;
}  // namespace wire

template <class T>
void params::add(const T& value) {
    if constexpr (wire::null_constant<T>) {
        add_null();
    } else if constexpr (wire::optional_value<T>::value) {
        if (value) {
            add(*value);
        } else {
            add_null(to_sql<typename T::value_type>::type);
        }
    } else {
        const std::size_t offset = buffer_.size();
        to_sql<T>::write(value, buffer_);
        finish(to_sql<T>::type, to_sql<T>::binary, offset);
    }
}

}  // namespace bitdotio
