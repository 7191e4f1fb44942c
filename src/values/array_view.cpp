// The forms of an array: binary with dimensions first, and text in braces.
#include <bitdotio/array_view.hpp>

#include "values/known_types.hpp"
#include "values/wire_reader.hpp"

#include <algorithm>

namespace bitdotio {

namespace {

// Arrays are the types in the table, types of a database's own, and built-in types that are not in
// the table.
bool may_be_array(const field_view& field) {
    const oid type = field.type();
    if (const wire::known_type* const what = field.known(type); what && !what->name.empty()) {
        return what->element != oids::unspecified;
    }
    return element_of(type) != oids::unspecified || type >= oids::first_user ||
           type_name(type).starts_with("type ");
}

// What stands between elements in text: a comma for all built-in types but box.
char delimiter_of(const field_view& field) {
    constexpr oid array_of_boxes = 1020;
    if (const wire::known_type* const what = field.known(field.type())) {
        return what->delimiter;
    }
    return field.type() == array_of_boxes ? ';' : ',';
}

bool is_null_word(std::string_view word) {
    return word.size() == 4 && (word[0] | 0x20) == 'n' && (word[1] | 0x20) == 'u' &&
           (word[2] | 0x20) == 'l' && (word[3] | 0x20) == 'l';
}

}  // namespace

array_view::array_view(const field_view& field, std::string_view wanted)
    : field_(field), wanted_(wanted), element_type_(element_of(field.type())) {
    if (!may_be_array(field)) {
        throw field.mismatch(wanted, "it is no array");
    }
    if (const wire::known_type* const what = field.known(field.type());
        what && element_type_ == oids::unspecified && !field.is_binary()) {
        element_type_ = what->element;
    }
    if (field.is_binary()) {
        open_binary();
    } else {
        open_text();
    }
}

// src/backend/utils/adt/arrayfuncs.c, array_send.
void array_view::open_binary() {
    wire::octet_reader in(field_, wanted_);
    const std::int32_t dimensions = in.take_int();
    in.take_int();  // whether there are NULLs; the elements say so themselves
    const oid element = in.take<std::uint32_t>();
    if (dimensions < 0 || static_cast<std::size_t>(dimensions) > most_dimensions ||
        (element_type_ != oids::unspecified && element_type_ != element)) {
        throw in.malformed();
    }
    element_type_ = element;
    dimension_count_ = static_cast<std::size_t>(dimensions);
    std::size_t count = dimensions > 0 ? 1 : 0;
    for (std::size_t i = 0; i < dimension_count_; ++i) {
        const std::int32_t size = in.take_int();
        const std::int32_t lower_bound = in.take_int();
        if (size < 0 || __builtin_mul_overflow(count, static_cast<std::size_t>(size), &count)) {
            throw in.malformed();
        }
        dimensions_[i] = {static_cast<std::size_t>(size), lower_bound};
    }
    at_ = 12 + 8 * dimension_count_;
    if (count > (field_.data().size() - at_) / 4) {  // each takes at least its length
        throw in.malformed();
    }
    if (count == 0) {  // dimensions without elements would be read as that many empty containers
        dimension_count_ = 0;
    }
    size_ = count;
}

// PostgreSQL manual, 8.15.6 "Array Input and Output Syntax".
void array_view::open_text() {
    const std::string_view text = field_.data();
    const auto malformed = [this] {
        return field_.mismatch(wanted_, "its text is not that of an array");
    };
    std::size_t at = 0;
    std::array<std::int32_t, most_dimensions> lower_bounds;
    lower_bounds.fill(1);
    if (text.starts_with('[')) {
        std::size_t count = 0;
        wire::text_reader in(text);
        while (in.accept("[")) {
            std::int32_t lower = 0, upper = 0;
            const bool lower_negative = in.minus();
            bool well = in.number(lower) && in.accept(":");
            in.minus();
            well = well && in.number(upper) && in.accept("]") && count < most_dimensions;
            if (!well) {
                throw malformed();
            }
            lower_bounds[count++] = lower_negative ? -lower : lower;
        }
        at = text.find('=');
        at = at == text.npos ? text.size() : at + 1;
    }

    const char delimiter = delimiter_of(field_);
    std::array<std::size_t, most_dimensions> counts{};
    std::array<bool, most_dimensions> counted{};
    std::size_t depth = 0;
    bool ended = false;
    for (; at < text.size() && !ended; ++at) {
        const char c = text[at];
        if (c == '{') {
            if (depth == most_dimensions) {
                throw malformed();
            }
            counts[depth++] = 0;
            dimension_count_ = std::max(dimension_count_, depth);
        } else if (depth == 0) {
            throw malformed();
        } else if (c == '}') {
            --depth;
            if (!counted[depth]) {
                counted[depth] = true;
                dimensions_[depth] = {counts[depth], lower_bounds[depth]};
            }
            if (depth > 0) {
                ++counts[depth - 1];
            }
            ended = depth == 0;
        } else if (c != delimiter) {
            ++counts[depth - 1];
            const std::size_t offset = unescaped_.size();
            const bool quoted = c == '"';
            std::size_t from = at + (quoted ? 1 : 0);
            for (; from < text.size(); ++from) {
                if (quoted ? text[from] == '"' : text[from] == delimiter || text[from] == '}') {
                    break;
                }
                if (text[from] == '\\' && ++from == text.size()) {
                    break;
                }
                unescaped_.push_back(text[from]);
            }
            if (from >= text.size()) {
                throw malformed();
            }
            const std::size_t size = unescaped_.size() - offset;
            const bool null = !quoted && is_null_word(text.substr(at, from - at));
            elements_.push_back({offset, size, null});
            at = quoted ? from : from - 1;
        }
    }
    std::size_t count = dimension_count_ > 0 ? 1 : 0;
    for (std::size_t i = 0; i < dimension_count_; ++i) {
        if (__builtin_mul_overflow(count, dimensions_[i].size, &count)) {
            throw malformed();
        }
    }
    if (!ended || at != text.size() || count != elements_.size()) {
        throw malformed();
    }
    if (count == 0) {
        dimension_count_ = 0;
    }
    size_ = count;
}

field_view array_view::next() {
    if (!field_.is_binary()) {
        const text_element& element = elements_[at_++];
        std::optional<std::string_view> value;
        if (!element.null) {
            value = std::string_view(unescaped_).substr(element.offset, element.size);
        }
        return field_.inner(element_type_, value, false);
    }
    const field_view rest = field_.inner(element_type_, field_.data().substr(at_));
    wire::octet_reader in(rest, wanted_);
    const auto value = in.take_value();
    at_ += 4 + (value ? value->size() : 0);
    return field_.inner(element_type_, value);
}

}  // namespace bitdotio
