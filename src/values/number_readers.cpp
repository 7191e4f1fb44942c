// Reads booleans, integers, floats and numeric, where no value is lost.
#include "values/wire_reader.hpp"

#include <algorithm>
#include <bit>
#include <cmath>

namespace bitdotio::wire {

namespace {

template <class Number>
Number parse_number(const field_view& field, std::string_view wanted, std::string_view text) {
    Number value{};
    if constexpr (std::is_floating_point_v<Number>) {
        if (text == "NaN") return std::numeric_limits<Number>::quiet_NaN();
        if (text == "Infinity") return std::numeric_limits<Number>::infinity();
        if (text == "-Infinity") return -std::numeric_limits<Number>::infinity();
    }
    const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (failure != std::errc() || end != text.data() + text.size()) {
        throw field.mismatch(wanted, "the value is out of its range or not a number");
    }
    return value;
}

// The type to read a number from; a text that does not tell its type is read as the wanted one.
oid number_type(const field_view& field, oid wanted) {
    return is_of(field, wanted) ? wanted : field.type();
}

}  // namespace

// NBASE digits: PostgreSQL's src/backend/utils/adt/numeric.c, numeric_send.
std::string numeric_text(const field_view& field) {
    const std::string_view data = field.data();
    const auto malformed = [&] { return field.mismatch("numeric", "malformed binary form"); };
    if (data.size() < 8) {
        throw malformed();
    }
    const auto count = big_endian<std::uint16_t>(data);
    const int weight = static_cast<std::int16_t>(big_endian<std::uint16_t>(data.substr(2)));
    const auto sign = big_endian<std::uint16_t>(data.substr(4));
    const auto scale = big_endian<std::uint16_t>(data.substr(6));
    switch (sign) {
        case 0xC000: return "NaN";
        case 0xD000: return "Infinity";
        case 0xF000: return "-Infinity";
        default: break;
    }
    if (data.size() != 8u + 2u * count) {
        throw malformed();
    }
    const auto group = [&](int i) -> int {
        return i < 0 || i >= count
                   ? 0
                   : big_endian<std::uint16_t>(data.substr(8 + 2 * static_cast<std::size_t>(i)));
    };
    const auto four_digits = [&](int value) {
        if (value > 9999) {
            throw malformed();
        }
        std::string text = std::to_string(value);
        return std::string(4 - text.size(), '0') + text;
    };
    std::string text = sign == 0x4000 ? "-" : "";
    const std::string first = four_digits(weight < 0 ? 0 : group(0));
    text += first.substr(std::min(first.find_first_not_of('0'), first.size() - 1));
    for (int i = 1; i <= weight; ++i) {
        text += four_digits(group(i));
    }
    if (scale > 0) {
        std::string fraction;
        for (int i = weight + 1; fraction.size() < scale; ++i) {
            fraction += four_digits(group(i));
        }
        fraction.resize(scale);
        text += "." + fraction;
    }
    return text;
}

bool read_bool(const field_view& field) {
    require_type(field, oids::boolean, "bool");
    if (field.is_binary()) {
        return fixed<std::uint8_t>(field, "bool") != 0;
    }
    if (field.data() != "t" && field.data() != "f") {
        throw field.mismatch("bool", "its text is neither t nor f");
    }
    return field.data() == "t";
}

std::int64_t read_integer(const field_view& field, std::int64_t least, std::int64_t most,
                          std::string_view wanted) {
    std::int64_t value = 0;
    switch (number_type(field, oids::int8)) {
        case oids::int2:
        case oids::int4:
        case oids::int8:
        case oids::oid_: break;
        case oids::numeric:
            throw field.mismatch(wanted,
                                 "cast it in the statement (column::bigint), or read a decimal, a "
                                 "double or a std::string; sum() and avg() of bigint are numeric");
        default: throw field.mismatch(wanted);
    }
    if (!field.is_binary()) {
        value = parse_number<std::int64_t>(field, wanted, field.data());
    } else if (field.type() == oids::int2) {
        value = static_cast<std::int16_t>(fixed<std::uint16_t>(field, wanted));
    } else if (field.type() == oids::int4) {
        value = static_cast<std::int32_t>(fixed<std::uint32_t>(field, wanted));
    } else if (field.type() == oids::oid_) {
        value = fixed<std::uint32_t>(field, wanted);
    } else {
        value = static_cast<std::int64_t>(fixed<std::uint64_t>(field, wanted));
    }
    if (value < least || value > most) {
        throw field.mismatch(wanted, "the value " + std::to_string(value) + " is out of its range");
    }
    return value;
}

std::uint64_t read_unsigned(const field_view& field) {
    return static_cast<std::uint64_t>(
        read_integer(field, 0, std::numeric_limits<std::int64_t>::max(), "std::uint64_t"));
}

double read_double(const field_view& field) {
    constexpr std::string_view wanted = "double";
    switch (number_type(field, oids::float8)) {
        case oids::float8:
            return field.is_binary() ? std::bit_cast<double>(fixed<std::uint64_t>(field, wanted))
                                     : parse_number<double>(field, wanted, field.data());
        case oids::float4: return read_float(field);
        case oids::numeric:
            return parse_number<double>(
                field, wanted, field.is_binary() ? numeric_text(field) : std::string(field.data()));
        case oids::int2:
        case oids::int4:
            return static_cast<double>(read_integer(field, INT32_MIN, INT32_MAX, wanted));
        default: throw field.mismatch(wanted);
    }
}

float read_float(const field_view& field) {
    constexpr std::string_view wanted = "float";
    switch (number_type(field, oids::float4)) {
        case oids::float4:
            return field.is_binary() ? std::bit_cast<float>(fixed<std::uint32_t>(field, wanted))
                                     : parse_number<float>(field, wanted, field.data());
        case oids::numeric:
            return parse_number<float>(
                field, wanted, field.is_binary() ? numeric_text(field) : std::string(field.data()));
        case oids::int2:
            return static_cast<float>(read_integer(field, INT16_MIN, INT16_MAX, wanted));
        default: throw field.mismatch(wanted);
    }
}

}  // namespace bitdotio::wire
