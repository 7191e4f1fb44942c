// Paths taken apart, then decoded: an escaped slash separates nothing.
#include "server/router.hpp"

#include <optional>
#include <utility>
#include <vector>

namespace bitdotio {

namespace {

constexpr std::string_view prefix = "/v2beta/";

std::optional<int> hex_digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return std::nullopt;
}

// The value of a parameter, nothing if it is not there.
std::optional<std::string> parameter(std::string_view query, std::string_view wanted) {
    while (!query.empty()) {
        const std::size_t end = query.find('&');
        const std::string_view pair = query.substr(0, end);
        const std::size_t equals = pair.find('=');
        if (percent_decoded(pair.substr(0, equals)) == wanted) {
            return equals == std::string_view::npos ? std::string()
                                                    : percent_decoded(pair.substr(equals + 1));
        }
        query.remove_prefix(end == std::string_view::npos ? query.size() : end + 1);
    }
    return std::nullopt;
}

using choice = std::pair<std::string_view, api_call>;

void choose(route& found, std::string_view method, std::vector<choice> choices) {
    found.call = api_call::wrong_method;
    for (const auto& [name, call] : choices) {
        found.allow += (found.allow.empty() ? "" : ", ") + std::string(name);
        if (name == method) found.call = call;
    }
}

}  // namespace

std::string percent_decoded(std::string_view text) {
    std::string decoded;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] == '%' && i + 2 < text.size()) {
            const auto high = hex_digit(text[i + 1]);
            const auto low = hex_digit(text[i + 2]);
            if (high && low) {
                decoded.push_back(static_cast<char>(*high * 16 + *low));
                i += 2;
                continue;
            }
        }
        decoded.push_back(text[i]);
    }
    return decoded;
}

std::vector<std::string> path_segments(std::string_view path) {
    std::vector<std::string> parts;
    while (!path.empty()) {
        const std::size_t slash = path.find('/');
        parts.push_back(percent_decoded(path.substr(0, slash)));
        path.remove_prefix(slash == std::string_view::npos ? path.size() : slash + 1);
    }
    return parts;
}

database_name name_in_path(const std::string& decoded) {
    try {
        return database_name(decoded);
    } catch (const error& malformed) {
        throw malformed_path("db_name", malformed.what());
    }
}

route find_route(std::string_view method, std::string_view target) {
    route found;
    const std::size_t mark = target.find('?');
    std::string_view path = target.substr(0, mark);
    const std::string_view query =
        mark == std::string_view::npos ? std::string_view() : target.substr(mark + 1);
    if (path.size() > 1 && path.ends_with('/')) path.remove_suffix(1);

    if (path == "/healthz") {
        choose(found, method, {{"GET", api_call::health}});
        return found;
    }
    if (!path.starts_with(prefix)) return found;
    const std::vector<std::string> parts = path_segments(path.substr(prefix.size()));
    if (parts.size() == 1 && parts[0] == "db") {
        choose(found, method,
               {{"GET", api_call::list_databases}, {"POST", api_call::create_database}});
    } else if (parts.size() == 1 && parts[0] == "query") {
        found.objects = parameter(query, "data_format") == "objects";
        choose(found, method, {{"POST", api_call::query}});
    } else if ((parts.size() == 2 || parts.size() == 3) && parts[0] == "db") {
        found.database = parts.size() == 3 ? parts[1] + "/" + parts[2] : parts[1];
        choose(found, method,
               {{"GET", api_call::get_database},
                {"PATCH", api_call::update_database},
                {"DELETE", api_call::delete_database}});
    } else if (parts.size() == 1 && parts[0] == "api-key") {
        found.key = parameter(query, "api_key");
        choose(found, method, {{"POST", api_call::create_key}, {"DELETE", api_call::revoke_keys}});
    } else if (parts.size() == 1 && parts[0] == "service-account") {
        choose(found, method, {{"GET", api_call::list_accounts}});
    } else if (parts.size() == 2 && parts[0] == "service-account") {
        found.account = parts[1];
        choose(found, method, {{"GET", api_call::get_account}});
    } else if (parts.size() == 3 && parts[0] == "service-account" && parts[2] == "api-key") {
        found.account = parts[1];
        choose(found, method,
               {{"POST", api_call::create_account_key}, {"DELETE", api_call::revoke_account_keys}});
    }
    return found;
}

}  // namespace bitdotio
