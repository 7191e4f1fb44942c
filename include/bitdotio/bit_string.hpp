// Bit strings: bit and varbit, bound and read.
#pragma once

#include <bitdotio/field.hpp>
#include <bitdotio/to_sql.hpp>

#include <iosfwd>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bitdotio {

/// The value of a bit or a varbit. (A std::vector<bool> is an array of booleans instead.)
///
/// Thread safety: a value.
// Not an aggregate, on purpose: see pool_options.hpp.
struct bit_string {
    bit_string() = default;
    bit_string(std::vector<bool> bits_) noexcept : bits(std::move(bits_)) {}

    std::vector<bool> bits;

    /// Takes "0101". Errors: errc::bad_input if there are other characters.
    static bit_string parse(std::string_view text);

    friend bool operator==(const bit_string&, const bit_string&) = default;
};

std::string to_string(const bit_string& value);
std::ostream& operator<<(std::ostream& out, const bit_string& value);

template <>
struct to_sql<bit_string> {
    static constexpr oid type = oids::varbit;  // which the server takes for a bit as well
    static constexpr bool binary = true;
    static void write(const bit_string& value, std::string& out);
    static void write_text(const bit_string& value, std::string& out) { out += to_string(value); }
};

template <>
struct from_sql<bit_string> {
    static bit_string read(const field_view& field);
};

}  // namespace bitdotio
