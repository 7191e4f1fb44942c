// PostgreSQL's everyday types that std has no type for.
#pragma once

#include <bitdotio/oids.hpp>

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

/// The value of a bytea.
using bytes = std::vector<std::byte>;

/// The value of a timestamptz: an instant. PostgreSQL's infinities are the ends of the range.
using timestamptz = std::chrono::sys_time<std::chrono::microseconds>;

/// The value of a timestamp: a date and time of day without a zone. Infinities as above.
using timestamp = std::chrono::local_time<std::chrono::microseconds>;

/// A UUID, RFC 4122.
///
/// Thread safety: a value.
struct uuid {
    std::array<std::uint8_t, 16> octets{};

    /// Takes the form "123e4567-e89b-12d3-a456-426614174000", in either case, also without hyphens.
    ///
    /// Errors: errc::bad_input if it has another form.
    static uuid parse(std::string_view text);

    friend bool operator==(const uuid&, const uuid&) = default;
    friend auto operator<=>(const uuid&, const uuid&) = default;
};

std::string to_string(const uuid& value);
std::ostream& operator<<(std::ostream& out, const uuid& value);

}  // namespace bitdotio
