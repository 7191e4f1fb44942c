// Line by line, by libpq's own rules.
#include "postgres/conninfo_files.hpp"

#include <utility>

namespace bitdotio {

namespace {

// The next line, taken off the text.
std::string_view take_line(std::string_view& text) {
    const std::size_t end = text.find('\n');
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    return line;
}

// Takes a field off a line; whether it is "*" or, its backslashes taken away, `wanted`.
bool take_match(std::string_view& line, std::string_view wanted) {
    if (line.starts_with("*:")) {
        line.remove_prefix(2);
        return true;
    }
    std::size_t matched = 0;
    for (std::size_t at = 0; at < line.size(); ++at) {
        if (line[at] == ':' && matched == wanted.size()) {
            line.remove_prefix(at + 1);
            return true;
        }
        if (line[at] == '\\' && at + 1 < line.size()) {
            ++at;
        }
        if (matched == wanted.size() || line[at] != wanted[matched]) {
            return false;
        }
        ++matched;
    }
    return false;
}

}  // namespace

bool add_service(conninfo& given, std::string_view text, std::string_view service,
                 const std::string& name) {
    bool inside = false;
    int number = 0;
    const auto malformed = [&](const std::string& why) {
        return error(errc::bad_input,
                     "line " + std::to_string(number) + " of the service file " + name + " " + why);
    };
    while (!text.empty()) {
        const std::string_view line = trimmed(take_line(text));
        ++number;
        if (line.empty() || line.starts_with('#')) {
            continue;
        }
        if (line.starts_with('[')) {
            if (inside) {
                return true;
            }
            inside = line.substr(1).starts_with(service) &&
                     line.substr(1 + service.size()).starts_with(']');
            continue;
        }
        if (!inside) {
            continue;
        }
        const std::size_t equals = line.find('=');
        if (equals == std::string_view::npos) {
            throw malformed("is not of the form keyword=value");
        }
        const std::string keyword(line.substr(0, equals));
        if (keyword == "service" || keyword == "servicefile") {
            throw malformed("names a service within a service");
        }
        if (!is_libpq_keyword(keyword)) {
            throw malformed("has a keyword that libpq does not know: \"" + keyword + "\"");
        }
        if (equals + 1 < line.size()) {
            given.emplace(keyword, line.substr(equals + 1));
        }
    }
    return inside;
}

std::optional<std::string> password_in(std::string_view text, std::string_view host,
                                       std::string_view port, std::string_view database,
                                       std::string_view user) {
    if (host.empty() || host == default_socket_directory()) {
        host = "localhost";
    }
    while (!text.empty()) {
        std::string_view line = take_line(text);
        if (line.ends_with('\r')) {
            line.remove_suffix(1);
        }
        if (line.starts_with('#') || !take_match(line, host) || !take_match(line, port) ||
            !take_match(line, database) || !take_match(line, user)) {
            continue;
        }
        std::string password;
        for (std::size_t at = 0; at < line.size() && line[at] != ':'; ++at) {
            if (line[at] == '\\' && at + 1 < line.size()) {
                ++at;
            }
            password += line[at];
        }
        return password;
    }
    return std::nullopt;
}

}  // namespace bitdotio
