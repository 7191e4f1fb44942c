// Reads and writes big-endian numbers and zero-terminated strings.
#include <bitdotio/error.hpp>

#include "server/gateway/startup_packet.hpp"

#include <algorithm>

namespace bitdotio {

namespace {

constexpr std::uint32_t cancel_code = 80877102;
constexpr std::uint32_t ssl_code = 80877103;
constexpr std::uint32_t gss_code = 80877104;
constexpr std::uint32_t protocol_3_0 = 3 << 16;

std::uint32_t read_number(std::string_view bytes) {
    std::uint32_t value = 0;
    for (std::size_t i = 0; i < 4; ++i) {
        value = value << 8 | static_cast<unsigned char>(bytes[i]);
    }
    return value;
}

void append_number(std::string& bytes, std::uint32_t value) {
    for (const int shift : {24, 16, 8, 0}) {
        bytes.push_back(static_cast<char>(value >> shift & 0xff));
    }
}

void append_text(std::string& bytes, std::string_view text) {
    bytes += text;
    bytes.push_back('\0');
}

std::string framed(std::optional<char> type, std::string_view body) {
    std::string message;
    if (type) message.push_back(*type);
    append_number(message, static_cast<std::uint32_t>(body.size() + 4));
    message += body;
    return message;
}

error malformed(const char* what) {
    return error(errc::protocol_violated, what);
}

// A zero-terminated string, taken off the front of `bytes`.
std::string_view take_text(std::string_view& bytes) {
    const std::size_t end = bytes.find('\0');
    if (end == std::string_view::npos) {
        throw malformed("invalid startup packet layout: expected terminator as last byte");
    }
    const std::string_view text = bytes.substr(0, end);
    bytes.remove_prefix(end + 1);
    return text;
}

bool is_protocol_option(std::string_view name) {
    return name.starts_with("_pq_.");
}

}  // namespace

std::optional<std::string_view> startup_message::find(std::string_view name) const {
    std::optional<std::string_view> found;
    for (const auto& [key, value] : parameters) {
        if (key == name) found = value;  // the last one counts, as in PostgreSQL
    }
    return found;
}

std::vector<std::string> startup_message::protocol_options() const {
    std::vector<std::string> options;
    for (const auto& [key, value] : parameters) {
        if (is_protocol_option(key)) options.push_back(key);
    }
    return options;
}

std::string meant_database(std::string_view sent) {
    std::string name(sent);
    if (name.find('/') != std::string::npos) return name;
    for (std::size_t at = name.find("%2"); at != std::string::npos; at = name.find("%2", at + 1)) {
        const char last = at + 2 < name.size() ? name[at + 2] : ' ';
        if (last == 'F' || last == 'f') name.replace(at, 3, "/");
    }
    return name;
}

std::optional<std::size_t> opening_size(std::string_view first_four_bytes) {
    const std::size_t size = read_number(first_four_bytes);
    if (size < 8 || size > max_opening_size) return std::nullopt;
    return size;
}

opening parse_opening(std::string_view packet) {
    if (packet.size() < 8 || opening_size(packet) != packet.size()) {
        throw malformed("invalid length of startup packet");
    }
    const std::uint32_t code = read_number(packet.substr(4));
    std::string_view body = packet.substr(8);
    if (code == ssl_code || code == gss_code) {
        if (!body.empty()) throw malformed("invalid length of startup packet");
        if (code == ssl_code) return ssl_request{};
        return gss_request{};
    }
    if (code == cancel_code) {
        if (body.size() != 8) throw malformed("invalid length of startup packet");
        return cancel_key{read_number(body), read_number(body.substr(4))};
    }
    startup_message message;
    message.major = static_cast<std::uint16_t>(code >> 16);
    message.minor = static_cast<std::uint16_t>(code & 0xffff);
    if (message.major != 3) return message;  // its layout is unknown to us
    while (true) {
        const std::string_view name = take_text(body);
        if (name.empty()) break;
        message.parameters.emplace_back(name, take_text(body));
    }
    if (!body.empty()) {
        throw malformed("invalid startup packet layout: expected terminator as last byte");
    }
    return message;
}

namespace wire_message {

std::string fatal(std::string_view sqlstate, std::string_view message, std::string_view hint) {
    std::string body;
    const auto field = [&body](char type, std::string_view text) {
        body.push_back(type);
        append_text(body, text);
    };
    field('S', "FATAL");
    field('V', "FATAL");
    field('C', sqlstate);
    field('M', message);
    if (!hint.empty()) field('H', hint);
    body.push_back('\0');
    return framed('E', body);
}

std::string cleartext_password_request() {
    std::string body;
    append_number(body, 3);
    return framed('R', body);
}

std::string sasl_request(const std::vector<std::string_view>& mechanisms) {
    std::string body;
    append_number(body, 10);
    for (const std::string_view mechanism : mechanisms) {
        append_text(body, mechanism);
    }
    body.push_back('\0');
    return framed('R', body);
}

std::string sasl_continue(std::string_view text) {
    std::string body;
    append_number(body, 11);
    body += text;
    return framed('R', body);
}

std::string sasl_final(std::string_view text) {
    std::string body;
    append_number(body, 12);
    body += text;
    return framed('R', body);
}

std::string negotiate_protocol_version(const std::vector<std::string>& options) {
    std::string body;
    append_number(body, protocol_3_0);
    append_number(body, static_cast<std::uint32_t>(options.size()));
    for (const std::string& option : options) {
        append_text(body, option);
    }
    return framed('v', body);
}

std::string startup(const startup_message& original, std::string_view user,
                    std::string_view database, std::string_view options) {
    std::string body;
    append_number(body, protocol_3_0);
    append_text(body, "user");
    append_text(body, user);
    append_text(body, "database");
    append_text(body, database);
    std::string all(options);
    const auto theirs = original.find("options");
    if (theirs && !theirs->empty()) {
        if (!all.empty()) all += ' ';
        all += *theirs;
    }
    if (theirs || !all.empty()) {
        append_text(body, "options");
        append_text(body, all);
    }
    for (const auto& [name, value] : original.parameters) {
        if (name == "user" || name == "database" || name == "options" || is_protocol_option(name)) {
            continue;
        }
        append_text(body, name);
        append_text(body, value);
    }
    body.push_back('\0');
    return framed(std::nullopt, body);
}

std::string cancel_request(cancel_key key) {
    std::string body;
    append_number(body, cancel_code);
    append_number(body, key.pid);
    append_number(body, key.secret);
    return framed(std::nullopt, body);
}

std::string backend_key_data(cancel_key key) {
    std::string body;
    append_number(body, key.pid);
    append_number(body, key.secret);
    return framed('K', body);
}

std::string ssl_request() {
    std::string body;
    append_number(body, ssl_code);
    return framed(std::nullopt, body);
}

std::string password(std::string_view text) {
    std::string body;
    append_text(body, text);
    return framed('p', body);
}

std::string sasl_initial_response(std::string_view mechanism, std::string_view text) {
    std::string body;
    append_text(body, mechanism);
    append_number(body, static_cast<std::uint32_t>(text.size()));
    body += text;
    return framed('p', body);
}

std::string sasl_response(std::string_view text) {
    return framed('p', text);
}

std::string query(std::string_view text) {
    std::string body;
    append_text(body, text);
    return framed('Q', body);
}

std::string terminate() {
    return framed('X', "");
}

}  // namespace wire_message

std::optional<std::size_t> message_size(std::string_view bytes) {
    if (bytes.size() < 5) return std::nullopt;
    return 1 + std::size_t{std::max(read_number(bytes.substr(1)), std::uint32_t{4})};
}

std::optional<cancel_key> parse_backend_key_data(std::string_view message) {
    if (message.size() != 13 || message[0] != 'K') return std::nullopt;
    return cancel_key{read_number(message.substr(5)), read_number(message.substr(9))};
}

std::optional<std::uint32_t> authentication_kind(std::string_view message) {
    if (message.size() < 9 || message[0] != 'R') return std::nullopt;
    return read_number(message.substr(5));
}

std::optional<std::string> error_field(std::string_view message, char type) {
    if (message.size() < 6 || message[0] != 'E') return std::nullopt;
    std::string_view fields = message.substr(5);
    while (!fields.empty() && fields[0] != '\0') {
        const std::size_t end = fields.find('\0');
        if (end == std::string_view::npos) break;
        if (fields[0] == type) return std::string(fields.substr(1, end - 1));
        fields.remove_prefix(end + 1);
    }
    return std::nullopt;
}

std::optional<sasl_opening> parse_sasl_initial_response(std::string_view body) {
    const std::size_t end = body.find('\0');
    if (end == std::string_view::npos || body.size() - end < 5) return std::nullopt;
    const std::string_view text = body.substr(end + 5);
    // Also refuses the length -1: a message without a text, which SCRAM does not have.
    if (read_number(body.substr(end + 1)) != text.size()) return std::nullopt;
    sasl_opening opened;
    opened.mechanism = body.substr(0, end);
    opened.text = text;
    return opened;
}

std::optional<std::string> parse_password(std::string_view body) {
    if (body.empty() || body.find('\0') != body.size() - 1) return std::nullopt;
    return std::string(body.substr(0, body.size() - 1));
}

}  // namespace bitdotio
