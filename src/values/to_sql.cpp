// Values in their wire form: network byte order, and numbers as text.
#include <bitdotio/error.hpp>
#include <bitdotio/to_sql.hpp>

#include <bit>
#include <charconv>
#include <cmath>
#include <limits>

namespace bitdotio {

namespace wire {

namespace {

template <class Unsigned>
void put_big_endian(std::string& out, Unsigned value) {
    char octets[sizeof(Unsigned)];
    for (std::size_t i = 0; i < sizeof(Unsigned); ++i) {
        octets[i] = static_cast<char>(value >> (8 * (sizeof(Unsigned) - 1 - i)) & 0xff);
    }
    out.append(octets, sizeof(Unsigned));
}

template <class Number>
void put_number(std::string& out, Number value) {
    if constexpr (std::is_floating_point_v<Number>) {
        if (std::isnan(value)) {
            out += "NaN";
            return;
        }
        if (std::isinf(value)) {
            out += value > 0 ? "Infinity" : "-Infinity";
            return;
        }
    }
    char buffer[32];
    out.append(buffer, std::to_chars(buffer, buffer + sizeof buffer, value).ptr);
}

}  // namespace

void put(std::string& out, std::uint16_t value) {
    put_big_endian(out, value);
}
void put(std::string& out, std::uint32_t value) {
    put_big_endian(out, value);
}
void put(std::string& out, std::uint64_t value) {
    put_big_endian(out, value);
}

void put_text(std::string& out, std::int64_t value) {
    put_number(out, value);
}
void put_text(std::string& out, std::uint64_t value) {
    put_number(out, value);
}
void put_text(std::string& out, float value) {
    put_number(out, value);
}
void put_text(std::string& out, double value) {
    put_number(out, value);
}

void put_text(std::string& out, const bytes& value) {
    constexpr char digits[] = "0123456789abcdef";
    out += "\\x";
    for (const std::byte octet : value) {
        out.push_back(digits[std::to_integer<unsigned>(octet) >> 4]);
        out.push_back(digits[std::to_integer<unsigned>(octet) & 0xf]);
    }
}

std::uint64_t checked_bigint(std::uint64_t value) {
    if (value > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
        throw error(errc::bad_input, "cannot bind " + std::to_string(value) +
                                         ": above the range of bigint; bind it as text and cast "
                                         "it to numeric");
    }
    return value;
}

std::uint64_t timestamp_since_2000(std::int64_t since_1970) {
    using limits = std::numeric_limits<std::int64_t>;
    constexpr std::int64_t shift = 946'684'800'000'000;
    if (since_1970 == limits::max() || since_1970 == limits::min()) {
        return static_cast<std::uint64_t>(since_1970);  // PostgreSQL's infinities
    }
    if (since_1970 < limits::min() + shift) {
        throw error(errc::bad_input, "cannot bind a timestamp before the range of PostgreSQL's");
    }
    return static_cast<std::uint64_t>(since_1970 - shift);
}

void set_length(std::string& out, std::size_t offset) {
    const std::size_t size = out.size() - offset - 4;
    if (size > std::size_t{1} << 30) {
        throw error(errc::bad_input, "a value inside an array or range is larger than 1 GiB");
    }
    for (std::size_t i = 0; i < 4; ++i) {
        out[offset + i] = static_cast<char>(size >> (24 - 8 * i) & 0xff);
    }
}

}  // namespace wire

void to_sql<float>::write(float value, std::string& out) {
    wire::put(out, std::bit_cast<std::uint32_t>(value));
}

void to_sql<double>::write(double value, std::string& out) {
    wire::put(out, std::bit_cast<std::uint64_t>(value));
}

}  // namespace bitdotio
