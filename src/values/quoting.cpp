// Quotes identifiers and literals by doubling quotes.
#include <bitdotio/error.hpp>
#include <bitdotio/quoting.hpp>

namespace bitdotio {

namespace {

std::string doubled(std::string_view text, char quote) {
    std::string out(1, quote);
    for (const char c : text) {
        out.append(c == quote ? 2 : 1, c);
    }
    return out += quote;
}

}  // namespace

std::string quote_identifier(std::string_view name) {
    constexpr std::size_t most = 63;  // NAMEDATALEN - 1
    if (name.empty()) {
        throw error(errc::bad_input, "an identifier is empty; it must have 1 to 63 bytes");
    }
    if (name.size() > most) {
        throw error(errc::bad_input, "the identifier \"" + std::string(name) + "\" has " +
                                         std::to_string(name.size()) +
                                         " bytes; PostgreSQL keeps 63 of them at most");
    }
    if (name.find('\0') != std::string_view::npos) {
        throw error(errc::bad_input,
                    "an identifier has a zero byte, which PostgreSQL's names "
                    "cannot have");
    }
    return doubled(name, '"');
}

std::string quote_identifier(std::initializer_list<std::string_view> parts) {
    if (parts.size() == 0) {
        return quote_identifier(std::string_view());
    }
    std::string out;
    for (const std::string_view part : parts) {
        out += (out.empty() ? "" : ".") + quote_identifier(part);
    }
    return out;
}

std::string quote_literal(std::string_view text) {
    if (text.find('\0') != std::string_view::npos) {
        throw error(errc::bad_input, "a text has a zero byte, which PostgreSQL's text cannot have");
    }
    std::string out = doubled(text, '\'');
    // A doubled backslash in E'' means one backslash, under every setting.
    if (text.find('\\') == std::string_view::npos) {
        return out;
    }
    std::string escaped = " E";
    for (const char c : out) {
        escaped.append(c == '\\' ? 2 : 1, c);
    }
    return escaped;
}

}  // namespace bitdotio
