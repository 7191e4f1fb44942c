// Reads which part of a file a request asks for. No I/O.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace bitdotio {

/// A part of a file: `length` bytes from `begin` on.
struct byte_range {
    std::uint64_t begin = 0;
    std::uint64_t length = 0;

    friend bool operator==(const byte_range&, const byte_range&) = default;
};

/// What to do about the header Range.
struct range_answer {
    enum class kind { whole, part, unsatisfiable } what = kind::whole;
    byte_range range;
};

/// Reads the header's value. Anything but a single range of bytes is ignored, as RFC 9110 allows.
///
/// See: RFC 9110, 14.
range_answer read_range(std::string_view header, std::uint64_t size);

}  // namespace bitdotio
