// The forms of a composite: binary with each field's type, and text in parentheses.
#include <bitdotio/composites.hpp>

#include "values/quoted_text.hpp"
#include "values/wire_reader.hpp"

namespace bitdotio {

namespace {

// Composites are record, types of a database's own, and the rows of system catalogs.
bool may_be_composite(const field_view& field) {
    return wire::is_of(field, oids::record) || field.type() >= oids::first_user ||
           type_name(field.type()).starts_with("type ");
}

}  // namespace

composite_view::composite_view(const field_view& field, std::string_view wanted)
    : field_(field), wanted_(wanted) {
    if (!may_be_composite(field)) {
        throw field.mismatch(wanted, "it is no composite");
    }
    if (field.is_binary()) {
        // src/backend/utils/adt/rowtypes.c, record_send. Reads it through once, so that an enum is
        // not taken for a composite.
        wire::octet_reader in(field_, wanted_);
        const std::int32_t count = in.take_int();
        if (count < 0) {
            throw in.malformed();
        }
        for (std::int32_t i = 0; i < count; ++i) {
            in.take<std::uint32_t>();
            in.take_value();
        }
        in.require_end();
        size_ = static_cast<std::size_t>(count);
        at_ = 4;
        return;
    }
    const std::string_view text = field.data();
    const auto malformed = [&] {
        return field.mismatch(wanted, "its text is not that of a composite");
    };
    if (!text.starts_with('(') || !text.ends_with(')')) {
        throw malformed();
    }
    for (std::size_t at = 0; at + 1 < text.size();) {
        auto piece = wire::take_piece(text, ++at, ",)");
        if (!piece) {
            throw malformed();
        }
        texts_.emplace_back();
        if (piece->quoted || !piece->text.empty()) {
            texts_.back() = std::move(piece->text);
        }
    }
    size_ = texts_.size();
}

field_view composite_view::next() {
    if (!field_.is_binary()) {
        const auto& text = texts_[at_++];
        return field_.inner(oids::unspecified,
                            text ? std::optional<std::string_view>(*text) : std::nullopt, false);
    }
    const field_view rest = field_.inner(field_.type(), field_.data().substr(at_));
    wire::octet_reader in(rest, wanted_);
    const oid type = in.take<std::uint32_t>();
    const auto value = in.take_value();
    at_ += 8 + (value ? value->size() : 0);
    return field_.inner(type, value);
}

namespace wire {

error wrong_field_count(const field_view& field, std::size_t size, std::size_t expected,
                        std::string_view wanted) {
    return field.mismatch(wanted, "the composite has " + std::to_string(size) +
                                      " fields, the C++ type " + std::to_string(expected));
}

void quote_composite_field(std::string& out, std::size_t offset) {
    const std::string raw = out.substr(offset);
    out.resize(offset);
    out.push_back('"');
    for (const char c : raw) {
        if (c == '"' || c == '\\') {
            out.push_back(c);
        }
        out.push_back(c);
    }
    out.push_back('"');
}

}  // namespace wire

}  // namespace bitdotio
