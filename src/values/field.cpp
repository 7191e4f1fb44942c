// Reads a field as text, octets and identifiers, and makes the errors that name it.
#include <bitdotio/field.hpp>

#include "values/known_types.hpp"
#include "values/wire_reader.hpp"

#include <cmath>
#include <cstring>

namespace bitdotio {

field_view field_view::inner(oid type, std::optional<std::string_view> value,
                             bool outlives_reading) const noexcept {
    field_view part(name_, column_, row_, types_ ? types_->resolved(type) : type, binary_, value,
                    types_);
    part.inner_ = true;
    part.temporary_ = temporary_ || !outlives_reading;
    return part;
}

const wire::known_type* field_view::known(oid type) const noexcept {
    return types_ ? types_->find(type) : nullptr;
}

std::string field_view::named_type() const {
    const wire::known_type* const what = known(type());
    return what && !what->name.empty() ? what->name : type_name(type());
}

std::string field_view::subject() const {
    return (inner_ ? "a value inside column \"" : "column \"") + std::string(name()) + "\"";
}

error field_view::mismatch(std::string_view wanted, std::string_view why) const {
    std::string text =
        subject() + " is " + named_type() + ", which does not read as " + std::string(wanted);
    if (!why.empty()) {
        text.append(": ").append(why);
    }
    return error(errc::wrong_type, std::move(text));
}

error field_view::null_error(std::string_view wanted) const {
    return error(errc::unexpected_null, subject() + " (" + named_type() + ") is NULL in row " +
                                            std::to_string(row_) + ", which does not read as " +
                                            std::string(wanted) + "; read it as a std::optional");
}

namespace wire {

namespace {

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

// The catalog says whether a type's binary form is its text. Where the session could not ask, in a
// stream: the form of an enum or citext is, and that of a composite, an array, a range or hstore
// begins with counts or flags, so with bytes that no text has. Inside of a value this would be a
// guess: there a domain may be any number. A column's domain has become its base type.
bool is_user_text(const field_view& field) {
    if (const known_type* const what = field.known(field.type())) {
        return what->is_text;
    }
    if (field.is_inner() || field.type() < oids::first_user) {
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

}  // namespace

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
    if (!field.outlives_reading()) {
        throw field.mismatch("std::string_view",
                             "inside a text form it has no place of its own; read it as a "
                             "std::string");
    }
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
    require_type(field, oids::bytea, "bitdotio::bytes");
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

uuid read_uuid(const field_view& field) {
    require_type(field, oids::uuid, "bitdotio::uuid");
    if (!field.is_binary()) {
        return parsed<uuid>(field, "bitdotio::uuid");
    }
    uuid value;
    if (field.data().size() != value.octets.size()) {
        throw field.mismatch("bitdotio::uuid", "its binary form has an unexpected size");
    }
    std::memcpy(value.octets.data(), field.data().data(), value.octets.size());
    return value;
}

char read_char(const field_view& field) {
    if (field.is_binary() && !is_text_type(field.type())) {
        throw field.mismatch("char");
    }
    // The zero of "char" is empty in text, and one octet in binary.
    const std::string_view data = field.data();
    if (data.empty() && field.type() == oids::char_) {
        return '\0';
    }
    if (data.size() != 1) {
        throw field.mismatch("char", "the value is not one octet; read it as a std::string");
    }
    return data.front();
}

}  // namespace wire

}  // namespace bitdotio
