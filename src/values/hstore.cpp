// The forms of hstore: counted pairs in binary, "key"=>"value" in text.
#include <bitdotio/hstore.hpp>

#include "values/known_types.hpp"
#include "values/quoted_text.hpp"
#include "values/wire_reader.hpp"

#include <utility>

namespace bitdotio {

namespace {

void put_quoted(std::string& out, const std::string& text) {
    out.push_back('"');
    for (const char c : text) {
        if (c == '"' || c == '\\') {
            out.push_back('\\');
        }
        out.push_back(c);
    }
    out.push_back('"');
}

}  // namespace

void to_sql<hstore>::write(const hstore& value, std::string& out) {
    bool first = true;
    for (const auto& [key, content] : value) {
        if (!std::exchange(first, false)) {
            out.push_back(',');
        }
        put_quoted(out, key);
        out += "=>";
        if (content) {
            put_quoted(out, *content);
        } else {
            out += "NULL";
        }
    }
}

hstore from_sql<hstore>::read(const field_view& field) {
    constexpr std::string_view wanted = "bitdotio::hstore";
    if (field.type() < oids::first_user && !wire::is_of(field, oids::unspecified)) {
        throw field.mismatch(wanted);
    }
    // A composite might be taken for one.
    if (const wire::known_type* const what = field.known(field.type());
        what && !what->name.ends_with("hstore")) {
        throw field.mismatch(wanted);
    }
    hstore value;
    if (field.is_binary()) {
        // contrib/hstore/hstore_io.c, hstore_send.
        wire::octet_reader in(field, wanted);
        for (std::int32_t left = in.take_int(); left > 0; --left) {
            const std::string key(in.take_value().value_or(""));
            const auto content = in.take_value();
            value.emplace(key, content ? std::optional<std::string>(*content) : std::nullopt);
        }
        in.require_end();
        return value;
    }
    // Gives the last pair the comma that ends the others.
    const std::string text = std::string(field.data()) + ",";
    for (std::size_t at = 0; at + 1 < text.size();) {
        auto key = wire::take_piece(text, at, "=");
        const bool arrow = key && text.compare(at, 2, "=>") == 0;
        at += 2;
        auto content = arrow ? wire::take_piece(text, at, ",") : std::nullopt;
        if (!content) {
            throw field.mismatch(wanted, "its text is not that of an hstore");
        }
        value.emplace(std::move(key->text),
                      content->quoted ? std::optional(std::move(content->text)) : std::nullopt);
        at += 2;  // the comma and a space
    }
    return value;
}

}  // namespace bitdotio
