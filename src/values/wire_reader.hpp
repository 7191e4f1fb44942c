// Reads a field's binary form octet by octet, and its text piece by piece.
#pragma once

#include <bitdotio/field.hpp>

#include <charconv>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>

namespace bitdotio::wire {

template <class Unsigned>
Unsigned big_endian(std::string_view data) {
    Unsigned value = 0;
    for (std::size_t i = 0; i < sizeof(Unsigned); ++i) {
        value = static_cast<Unsigned>(value << 8 | static_cast<unsigned char>(data[i]));
    }
    return value;
}

// The binary value, whose size the type fixes: another size means a broken message.
template <class Unsigned>
Unsigned fixed(const field_view& field, std::string_view wanted) {
    if (field.data().size() != sizeof(Unsigned)) {
        throw field.mismatch(wanted, "its binary form has an unexpected size");
    }
    return big_endian<Unsigned>(field.data());
}

// Whether the field is of this type, or a text that may be: some texts do not tell the types of
// their parts.
inline bool is_of(const field_view& field, oid type) {
    return field.type() == type || (field.type() == oids::unspecified && !field.is_binary());
}

// Throws unless is_of.
inline void require_type(const field_view& field, oid type, std::string_view wanted) {
    if (!is_of(field, type)) {
        throw field.mismatch(wanted);
    }
}

// Takes a binary form apart from its front; each `take` fails past the end.
class octet_reader {
public:
    octet_reader(const field_view& field, std::string_view wanted)
        : field_(field), wanted_(wanted), rest_(field.data()) {}

    template <class Unsigned>
    Unsigned take() {
        return big_endian<Unsigned>(take(sizeof(Unsigned)));
    }
    std::int32_t take_int() { return static_cast<std::int32_t>(take<std::uint32_t>()); }
    std::string_view take(std::size_t size) {
        if (size > rest_.size()) {
            throw malformed();
        }
        const std::string_view taken = rest_.substr(0, size);
        rest_.remove_prefix(size);
        return taken;
    }
    // A value after its length, or nothing after -1.
    std::optional<std::string_view> take_value() {
        const std::int32_t size = take_int();
        if (size == -1) {
            return std::nullopt;
        }
        return take(size < 0 ? rest_.size() + 1 : static_cast<std::size_t>(size));
    }
    bool at_end() const { return rest_.empty(); }
    void require_end() const {
        if (!at_end()) {
            throw malformed();
        }
    }
    error malformed() const { return field_.mismatch(wanted_, "its binary form is malformed"); }

private:
    const field_view& field_;
    std::string_view wanted_;
    std::string_view rest_;
};

// Takes numbers and separators off the front of a text.
class text_reader {
public:
    explicit text_reader(std::string_view text) : rest_(text) {}

    // Digits without a sign.
    template <class Number>
    bool number(Number& value) {
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
    // A minus, a plus or no sign; true for the minus.
    bool minus() {
        if (accept("-")) return true;
        accept("+");
        return false;
    }
    bool at_end() const { return rest_.empty(); }

private:
    std::string_view rest_;
    int digits_ = 0;
};

// Parses the field's text with T::parse; a refusal becomes an error that names the column.
template <class T>
T parsed(const field_view& field, std::string_view wanted) {
    try {
        return T::parse(field.data());
    } catch (const error& failure) {
        throw field.mismatch(wanted, failure.what());
    }
}

// A numeric as the server writes it.
std::string numeric_text(const field_view& field);

}  // namespace bitdotio::wire
