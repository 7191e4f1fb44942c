// Numbers in the bytes of an XLS file, which are never read beyond their end.
#pragma once

#include <bitdotio/error.hpp>

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

namespace bitdotio {

inline error malformed_xls(const std::string& why) {
    return error(errc::bad_input, "the XLS file is damaged: " + why);
}

/// The number at a place, whose first byte is the lowest.
///
/// Errors: errc::bad_input if the bytes end before it.
template <class Number>
Number number_at(std::string_view bytes, std::size_t at) {
    static_assert(std::endian::native == std::endian::little);
    Number number;
    if (at > bytes.size() || bytes.size() - at < sizeof number) {
        throw malformed_xls("a record is too short");
    }
    std::memcpy(&number, bytes.data() + at, sizeof number);
    return number;
}

}  // namespace bitdotio
