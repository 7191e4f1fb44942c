// PostgreSQL's types as C++ knows them: their numbers, and values std has no type for.
#pragma once

#include <array>
#include <chrono>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <iosfwd>
#include <string>
#include <string_view>
#include <vector>

namespace bitdotio {

/// The number of a type in PostgreSQL's catalog (pg_type.oid).
using oid = std::uint32_t;

/// The built-in types this library reads and writes in binary.
///
/// See: PostgreSQL's catalog pg_type; the numbers of built-in types never change.
namespace oids {
inline constexpr oid unspecified = 0;  ///< the server infers the type from the statement
inline constexpr oid boolean = 16;
inline constexpr oid bytea = 17;
inline constexpr oid char_ = 18;
inline constexpr oid name = 19;
inline constexpr oid int8 = 20;
inline constexpr oid int2 = 21;
inline constexpr oid int4 = 23;
inline constexpr oid text = 25;
inline constexpr oid oid_ = 26;
inline constexpr oid json = 114;
inline constexpr oid xml = 142;
inline constexpr oid float4 = 700;
inline constexpr oid float8 = 701;
inline constexpr oid unknown = 705;
inline constexpr oid bpchar = 1042;
inline constexpr oid varchar = 1043;
inline constexpr oid timestamp = 1114;
inline constexpr oid timestamptz = 1184;
inline constexpr oid numeric = 1700;
inline constexpr oid uuid = 2950;
inline constexpr oid jsonb = 3802;
}  // namespace oids

/// The SQL name of a type ("integer", "text"…), or "type 12345" for one this library does not know.
std::string type_name(oid type);

/// The value of a bytea.
using bytes = std::vector<std::byte>;

/// The value of a timestamptz: an instant. PostgreSQL's infinities are the ends of the range.
using timestamptz = std::chrono::sys_time<std::chrono::microseconds>;

/// The value of a timestamp: a date and time of day of no zone. Infinities as above.
using timestamp = std::chrono::local_time<std::chrono::microseconds>;

/// A UUID, RFC 4122.
struct uuid {
    std::array<std::uint8_t, 16> octets{};

    /// Takes the form "123e4567-e89b-12d3-a456-426614174000", in either case, also without hyphens.
    ///
    /// Errors: errc::bad_input if it is another.
    static uuid parse(std::string_view text);

    friend bool operator==(const uuid&, const uuid&) = default;
    friend auto operator<=>(const uuid&, const uuid&) = default;
};

std::string to_string(const uuid& value);
std::ostream& operator<<(std::ostream& out, const uuid& value);

}  // namespace bitdotio
