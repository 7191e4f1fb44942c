// money, bound and read as a count of its smallest unit.
#pragma once

#include <bitdotio/field.hpp>
#include <bitdotio/to_sql.hpp>

#include <compare>
#include <cstdint>
#include <string>

namespace bitdotio {

/// The value of a money, such as 1234 for 12.34 dollars. The database's lc_monetary says which
/// currency it is and how many digits its fraction has.
///
/// It does not read from text results, nor bind inside a composite: its text depends on the locale.
///
/// Thread safety: a value.
struct money {
    std::int64_t smallest_units = 0;

    friend auto operator<=>(const money&, const money&) = default;
};

template <>
struct to_sql<money> {
    static constexpr oid type = oids::money;
    static constexpr bool binary = true;
    static void write(money value, std::string& out) {
        wire::put(out, static_cast<std::uint64_t>(value.smallest_units));
    }
};

template <>
struct from_sql<money> {
    static money read(const field_view& field);
};

}  // namespace bitdotio
