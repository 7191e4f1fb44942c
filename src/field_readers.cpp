// Fields into C++ values, from PostgreSQL's binary and text forms.
#include <bitdotio/result.hpp>

#include <bit>
#include <charconv>
#include <cmath>
#include <cstring>

namespace bitdotio::wire {

namespace {

using namespace std::chrono;

template <class Unsigned>
Unsigned big_endian(std::string_view data) {
    Unsigned value = 0;
    for (std::size_t i = 0; i < sizeof(Unsigned); ++i) {
        value = static_cast<Unsigned>(value << 8 | static_cast<unsigned char>(data[i]));
    }
    return value;
}

// The binary value, whose size the type fixes: a size that differs is a broken message.
template <class Unsigned>
Unsigned fixed(const field_view& field, std::string_view wanted) {
    if (field.data().size() != sizeof(Unsigned)) {
        throw field.mismatch(wanted, "its binary form has an unexpected size");
    }
    return big_endian<Unsigned>(field.data());
}

// NBASE digits, PostgreSQL's src/backend/utils/adt/numeric.c, numeric_send.
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
    const auto four_digits = [](int value) {
        std::string text = std::to_string(value);
        return std::string(4 - text.size(), '0') + text;
    };
    std::string text = sign == 0x4000 ? "-" : "";
    text += std::to_string(group(0) * (weight >= 0));
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

template <class Number>
std::string number_text(Number value) {
    if constexpr (std::is_floating_point_v<Number>) {
        if (std::isnan(value)) return "NaN";
        if (std::isinf(value)) return value > 0 ? "Infinity" : "-Infinity";
    }
    char buffer[32];
    const auto end = std::to_chars(buffer, buffer + sizeof buffer, value).ptr;
    return {buffer, end};
}

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

bool is_text_type(oid type) {
    switch (type) {
        case oids::text:
        case oids::varchar:
        case oids::bpchar:
        case oids::name:
        case oids::char_:
        case oids::json:
        case oids::xml:
        case oids::unknown: return true;
        default: return false;
    }
}

// The binary form of an enum or citext is its text; that of a composite, an array, a range or
// hstore begins with counts or flags, and so with bytes no text has.
bool is_user_text(const field_view& field) {
    constexpr oid first_user_oid = 16384;
    if (field.type() < first_user_oid) {
        return false;
    }
    for (const char c : field.data()) {
        const auto octet = static_cast<unsigned char>(c);
        if (octet < 0x20 && c != '\t' && c != '\n' && c != '\r') {
            return false;
        }
    }
    return true;
}

// Reads digits and separators of PostgreSQL's ISO date style.
class text_reader {
public:
    explicit text_reader(std::string_view text) : rest_(text) {}

    bool number(int& value) {
        const auto [end, failure] =
            std::from_chars(rest_.data(), rest_.data() + rest_.size(), value);
        if (failure != std::errc() || rest_.starts_with('-')) {
            return false;
        }
        digits_ = static_cast<int>(end - rest_.data());
        rest_.remove_prefix(static_cast<std::size_t>(digits_));
        return true;
    }
    int digits() const { return digits_; }
    bool accept(std::string_view text) {
        if (!rest_.starts_with(text)) {
            return false;
        }
        rest_.remove_prefix(text.size());
        return true;
    }
    bool at_end() const { return rest_.empty(); }

private:
    std::string_view rest_;
    int digits_ = 0;
};

// "2024-05-06 07:08:09.123456+05:30 BC" as microseconds since 1970, zone applied.
std::optional<std::int64_t> parse_timestamp(std::string_view text, bool with_zone) {
    if (text == "infinity") return std::numeric_limits<std::int64_t>::max();
    if (text == "-infinity") return std::numeric_limits<std::int64_t>::min();
    text_reader in(text);
    int y = 0, mo = 0, d = 0, h = 0, mi = 0, s = 0, fraction = 0;
    if (!in.number(y) || !in.accept("-") || !in.number(mo) || !in.accept("-") || !in.number(d) ||
        !in.accept(" ") || !in.number(h) || !in.accept(":") || !in.number(mi) || !in.accept(":") ||
        !in.number(s)) {
        return std::nullopt;
    }
    if (in.accept(".")) {
        if (!in.number(fraction) || in.digits() > 6) {
            return std::nullopt;
        }
        for (int i = in.digits(); i < 6; ++i) {
            fraction *= 10;
        }
    }
    seconds offset{0};
    if (with_zone) {
        const bool west = in.accept("-");
        int oh = 0, om = 0, os = 0;
        if ((!west && !in.accept("+")) || !in.number(oh) || (in.accept(":") && !in.number(om)) ||
            (in.accept(":") && !in.number(os))) {
            return std::nullopt;
        }
        offset = hours(oh) + minutes(om) + seconds(os);
        offset = west ? -offset : offset;
    }
    if (in.accept(" BC")) {
        y = 1 - y;
    }
    // std::chrono::year ends at 32767, PostgreSQL at 294276: shift by whole 400-year cycles.
    const int cycles = y / 400;
    const auto date =
        year(y - cycles * 400) / month(static_cast<unsigned>(mo)) / day(static_cast<unsigned>(d));
    if (!in.at_end() || !date.ok()) {
        return std::nullopt;
    }
    const std::int64_t day_count =
        sys_days(date).time_since_epoch().count() + std::int64_t{cycles} * 146'097;
    const std::int64_t second_count = day_count * 86'400 + h * 3'600 + mi * 60 + s - offset.count();
    std::int64_t microsecond_count = 0;
    if (__builtin_mul_overflow(second_count, std::int64_t{1'000'000}, &microsecond_count) ||
        __builtin_add_overflow(microsecond_count, std::int64_t{fraction}, &microsecond_count)) {
        return std::nullopt;
    }
    return microsecond_count;
}

std::int64_t microseconds_since_1970(const field_view& field, oid type, std::string_view wanted) {
    if (field.type() != type) {
        throw field.mismatch(wanted);
    }
    if (!field.is_binary()) {
        const auto value = parse_timestamp(field.data(), type == oids::timestamptz);
        if (!value) {
            throw field.mismatch(wanted, "its text is not in PostgreSQL's ISO date style");
        }
        return *value;
    }
    using limits = std::numeric_limits<std::int64_t>;
    const auto value = static_cast<std::int64_t>(fixed<std::uint64_t>(field, wanted));
    if (value == limits::max() || value == limits::min()) {
        return value;
    }
    std::int64_t shifted = 0;
    if (__builtin_add_overflow(value, std::int64_t{946'684'800'000'000}, &shifted)) {
        throw field.mismatch(wanted, "the value is past its range");
    }
    return shifted;
}

}  // namespace

bool read_bool(const field_view& field) {
    if (field.type() != oids::boolean) {
        throw field.mismatch("bool");
    }
    return field.is_binary() ? fixed<std::uint8_t>(field, "bool") != 0 : field.data() == "t";
}

std::int64_t read_integer(const field_view& field, std::int64_t least, std::int64_t most,
                          std::string_view wanted) {
    std::int64_t value = 0;
    switch (field.type()) {
        case oids::int2:
        case oids::int4:
        case oids::int8:
        case oids::oid_: break;
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
    switch (field.type()) {
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
    switch (field.type()) {
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

std::string read_text(const field_view& field) {
    constexpr std::string_view wanted = "std::string";
    if (!field.is_binary() || is_text_type(field.type())) {
        return std::string(field.data());
    }
    switch (field.type()) {
        case oids::boolean: return read_bool(field) ? "t" : "f";
        case oids::int2:
        case oids::int4:
        case oids::int8:
        case oids::oid_: return number_text(read_integer(field, INT64_MIN, INT64_MAX, wanted));
        case oids::float4: return number_text(read_float(field));
        case oids::float8: return number_text(read_double(field));
        case oids::numeric: return numeric_text(field);
        case oids::uuid: return to_string(read_uuid(field));
        default: return std::string(read_view(field));
    }
}

std::string_view read_view(const field_view& field) {
    if (!field.is_binary() || is_text_type(field.type()) || is_user_text(field)) {
        return field.data();
    }
    if (field.type() == oids::jsonb && field.data().starts_with('\1')) {
        return field.data().substr(1);  // after the version of its binary form
    }
    throw field.mismatch("text",
                         "cast it in the statement (column::text), or ask for text with "
                         "statement::text_results");
}

bytes read_bytes(const field_view& field) {
    if (field.type() != oids::bytea) {
        throw field.mismatch("bitdotio::bytes");
    }
    const std::string_view data = field.data();
    if (field.is_binary()) {
        const auto* begin = reinterpret_cast<const std::byte*>(data.data());
        return {begin, begin + data.size()};
    }
    const auto malformed = [&] {
        return field.mismatch("bitdotio::bytes",
                              "its text is not in the hex format; set "
                              "bytea_output to hex");
    };
    if (!data.starts_with("\\x") || data.size() % 2 != 0) {
        throw malformed();
    }
    bytes value;
    value.reserve(data.size() / 2 - 1);
    for (std::size_t i = 2; i < data.size(); i += 2) {
        unsigned octet = 0;
        const char* end = data.data() + i + 2;
        if (std::from_chars(data.data() + i, end, octet, 16).ptr != end) {
            throw malformed();
        }
        value.push_back(static_cast<std::byte>(octet));
    }
    return value;
}

timestamptz read_timestamptz(const field_view& field) {
    return timestamptz(
        microseconds(microseconds_since_1970(field, oids::timestamptz, "bitdotio::timestamptz")));
}

timestamp read_timestamp(const field_view& field) {
    return timestamp(
        microseconds(microseconds_since_1970(field, oids::timestamp, "bitdotio::timestamp")));
}

uuid read_uuid(const field_view& field) {
    if (field.type() != oids::uuid) {
        throw field.mismatch("bitdotio::uuid");
    }
    if (!field.is_binary()) {
        return uuid::parse(field.data());
    }
    uuid value;
    if (field.data().size() != value.octets.size()) {
        throw field.mismatch("bitdotio::uuid", "its binary form has an unexpected size");
    }
    std::memcpy(value.octets.data(), field.data().data(), value.octets.size());
    return value;
}

}  // namespace bitdotio::wire
