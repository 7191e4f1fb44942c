// Bit strings in binary, eight to an octet from the highest, and in text.
#include <bitdotio/bit_string.hpp>
#include <bitdotio/error.hpp>

#include "values/wire_reader.hpp"

#include <ostream>

namespace bitdotio {

bit_string bit_string::parse(std::string_view text) {
    bit_string value;
    value.bits.reserve(text.size());
    for (const char c : text) {
        if (c != '0' && c != '1') {
            throw error(errc::bad_input,
                        "\"" + std::string(text) + "\" is not a bit string such as 0101");
        }
        value.bits.push_back(c == '1');
    }
    return value;
}

std::string to_string(const bit_string& value) {
    std::string text;
    text.reserve(value.bits.size());
    for (const bool bit : value.bits) {
        text.push_back(bit ? '1' : '0');
    }
    return text;
}

std::ostream& operator<<(std::ostream& out, const bit_string& value) {
    return out << to_string(value);
}

void to_sql<bit_string>::write(const bit_string& value, std::string& out) {
    wire::put(out, static_cast<std::uint32_t>(value.bits.size()));
    for (std::size_t i = 0; i < value.bits.size(); i += 8) {
        unsigned octet = 0;
        for (std::size_t j = i; j < i + 8; ++j) {
            octet = octet << 1 | (j < value.bits.size() && value.bits[j] ? 1u : 0u);
        }
        out.push_back(static_cast<char>(octet));
    }
}

bit_string from_sql<bit_string>::read(const field_view& field) {
    constexpr std::string_view wanted = "bitdotio::bit_string";
    if (!wire::is_of(field, oids::varbit) && field.type() != oids::bit) {
        throw field.mismatch(wanted);
    }
    if (!field.is_binary()) {
        return wire::parsed<bit_string>(field, wanted);
    }
    wire::octet_reader in(field, wanted);
    const auto size = in.take<std::uint32_t>();
    const std::string_view octets = in.take((std::size_t{size} + 7) / 8);
    in.require_end();
    bit_string value;
    value.bits.reserve(size);
    for (std::size_t i = 0; i < size; ++i) {
        value.bits.push_back((static_cast<unsigned char>(octets[i / 8]) >> (7 - i % 8) & 1) != 0);
    }
    return value;
}

}  // namespace bitdotio
