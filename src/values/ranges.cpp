// The forms of ranges and multiranges: flags first in binary, brackets in text.
#include <bitdotio/composites.hpp>
#include <bitdotio/ranges.hpp>

#include "values/known_types.hpp"
#include "values/quoted_text.hpp"
#include "values/wire_reader.hpp"

namespace bitdotio::wire {

namespace {

// src/include/utils/rangetypes.h
constexpr unsigned char flag_empty = 0x01;
constexpr unsigned char flag_lower_inclusive = 0x02;
constexpr unsigned char flag_upper_inclusive = 0x04;
constexpr unsigned char flag_no_lower = 0x08;
constexpr unsigned char flag_no_upper = 0x10;

constexpr std::string_view empty_range = "empty";

void require_known(const field_view& field, oid type, bool known, std::string_view wanted) {
    if (known) {
        return;
    }
    if (const known_type* const what = field.known(type); what && !what->name.empty()) {
        throw field.mismatch(wanted, "it is no range");
    }
    if (type != oids::unspecified && type < oids::first_user) {
        throw field.mismatch(wanted, "it is no range");
    }
    if (field.is_binary()) {
        throw field.mismatch(wanted,
                             "a range type of the database's own does not tell the type of its "
                             "bounds in binary, and a stream does not ask for it; ask for text "
                             "with statement::text_results");
    }
}

void read_text(const field_view& field, std::string_view wanted, range_form& form) {
    const std::string_view text = field.data();
    const auto malformed = [&] {
        return field.mismatch(wanted, "its text is not that of a range");
    };
    if (text == empty_range) {
        form.empty = true;
        return;
    }
    if (!text.starts_with('[') && !text.starts_with('(')) {
        throw malformed();
    }
    std::size_t at = 1;
    auto lower = take_piece(text, at, ",");
    if (!lower) {
        throw malformed();
    }
    auto upper = take_piece(text, ++at, ")]");
    if (!upper || at + 1 != text.size()) {
        throw malformed();
    }
    form.includes_lower = text.front() == '[';
    form.includes_upper = text.back() == ']';
    form.unescaped_lower = std::move(lower->text);
    form.unescaped_upper = std::move(upper->text);
    if (lower->quoted || !form.unescaped_lower.empty()) {
        form.lower = form.unescaped_lower;
    }
    if (upper->quoted || !form.unescaped_upper.empty()) {
        form.upper = form.unescaped_upper;
    }
}

}  // namespace

oid bound_type(const field_view& field) {
    const known_type* const what = field.known(field.type());
    return what ? what->bound : bound_of(field.type());
}

oid range_type(const field_view& field) {
    const known_type* const what = field.known(field.type());
    return what ? what->range : range_in(field.type());
}

void read_range(const field_view& field, std::string_view wanted, range_form& form) {
    require_known(field, field.type(), bound_type(field) != oids::unspecified, wanted);
    if (!field.is_binary()) {
        read_text(field, wanted, form);
        return;
    }
    // src/backend/utils/adt/rangetypes.c, range_send.
    octet_reader in(field, wanted);
    const auto flags = in.take<std::uint8_t>();
    form.empty = (flags & flag_empty) != 0;
    form.includes_lower = (flags & flag_lower_inclusive) != 0;
    form.includes_upper = (flags & flag_upper_inclusive) != 0;
    if (!form.empty && !(flags & flag_no_lower)) {
        form.lower = in.take_value();
    }
    if (!form.empty && !(flags & flag_no_upper)) {
        form.upper = in.take_value();
    }
    in.require_end();
}

std::vector<std::string_view> read_multirange(const field_view& field, std::string_view wanted) {
    require_known(field, field.type(), range_type(field) != oids::unspecified, wanted);
    std::vector<std::string_view> parts;
    if (field.is_binary()) {
        // src/backend/utils/adt/multirangetypes.c, multirange_send.
        octet_reader in(field, wanted);
        for (std::int32_t left = in.take_int(); left > 0; --left) {
            parts.push_back(in.take_value().value_or(""));
        }
        in.require_end();
        return parts;
    }
    const std::string_view text = field.data();
    const auto malformed = [&] {
        return field.mismatch(wanted, "its text is not that of a multirange");
    };
    if (!text.starts_with('{') || !text.ends_with('}')) {
        throw malformed();
    }
    for (std::size_t at = 1; at + 1 < text.size(); ++at) {
        const std::size_t begin = at;
        if (text.substr(at).starts_with(empty_range)) {
            at += empty_range.size() - 1;
        } else if (!take_piece(text, at, ")]")) {
            throw malformed();
        }
        parts.push_back(text.substr(begin, ++at - begin));
        if (text[at] != ',' && at + 1 != text.size()) {
            throw malformed();
        }
    }
    return parts;
}

char range_flags(bool empty, bool lower, bool upper, bool includes_lower, bool includes_upper) {
    if (empty) {
        return static_cast<char>(flag_empty);
    }
    return static_cast<char>((lower ? (includes_lower ? flag_lower_inclusive : 0) : flag_no_lower) |
                             (upper ? (includes_upper ? flag_upper_inclusive : 0) : flag_no_upper));
}

void quote_bound(std::string& out, std::size_t offset) {
    quote_composite_field(out, offset);  // the rules are the same
}

}  // namespace bitdotio::wire
