// Bound parameters in their wire form.
#include <bitdotio/error.hpp>
#include <bitdotio/params.hpp>

#include <bit>
#include <limits>

namespace bitdotio {

namespace {

template <class Unsigned>
void put_big_endian(std::string& out, Unsigned value) {
    char octets[sizeof(Unsigned)];
    for (std::size_t i = 0; i < sizeof(Unsigned); ++i) {
        octets[sizeof(Unsigned) - 1 - i] = static_cast<char>(value & 0xff);
        value = static_cast<Unsigned>(value >> 8);
    }
    out.append(octets, sizeof(Unsigned));
}

}  // namespace

namespace wire {

void put(std::string& out, std::uint16_t value) {
    put_big_endian(out, value);
}
void put(std::string& out, std::uint32_t value) {
    put_big_endian(out, value);
}
void put(std::string& out, std::uint64_t value) {
    put_big_endian(out, value);
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

}  // namespace wire

void to_sql<float>::write(float value, std::string& out) {
    wire::put(out, std::bit_cast<std::uint32_t>(value));
}

void to_sql<double>::write(double value, std::string& out) {
    wire::put(out, std::bit_cast<std::uint64_t>(value));
}

void params::add_null(oid type) {
    entries_.push_back({type, false, true, buffer_.size(), 0});
}

std::string_view params::value(std::size_t index) const {
    const entry& bound = entries_[index];
    return std::string_view(buffer_).substr(bound.offset, bound.size);
}

void params::finish(oid type, bool binary, std::size_t offset) {
    // PostgreSQL takes no field above 1 GiB, and libpq measures in int.
    constexpr std::size_t most = std::size_t{1} << 30;
    const std::size_t size = buffer_.size() - offset;
    const std::string which = "$" + std::to_string(entries_.size() + 1);
    if (size > most) {
        throw error(errc::bad_input, "the value of " + which + " is larger than 1 GiB");
    }
    if (!binary) {
        if (buffer_.find('\0', offset) != std::string::npos) {
            throw error(errc::bad_input, "the text of " + which +
                                             " contains a zero byte, which PostgreSQL cannot "
                                             "store in text; bind bitdotio::bytes instead");
        }
        buffer_.push_back('\0');
    }
    entries_.push_back({type, binary, false, offset, size});
}

}  // namespace bitdotio
