// The paths of the API, and what a target says beside its path.
#include "server/api/router.hpp"

#include "base/percent_encoding.hpp"

#include <optional>
#include <utility>

namespace bitdotio {

namespace {

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

}  // namespace

database_name name_in_path(const std::string& decoded) {
    try {
        return database_name(decoded);
    } catch (const error& malformed) {
        throw malformed_path("db_name", malformed.what());
    }
}

const std::vector<documented_path<api_call>>& api_paths() {
    using call = api_call;
    static const std::vector<documented_path<call>> paths = {
        {"/healthz", {{"GET", call::health}}},
        {"/v2beta/db", {{"GET", call::list_databases}, {"POST", call::create_database}}},
        {"/v2beta/db/{db_name}",
         {{"GET", call::get_database},
          {"PATCH", call::update_database},
          {"DELETE", call::delete_database}}},
        // Half of a name, to be told so.
        {"/v2beta/db/{half}",
         {{"GET", call::get_database},
          {"PATCH", call::update_database},
          {"DELETE", call::delete_database}}},
        {"/v2beta/query", {{"POST", call::query}}},
        {"/v2beta/api-key", {{"POST", call::create_key}, {"DELETE", call::revoke_keys}}},
        {"/v2beta/service-account", {{"GET", call::list_accounts}}},
        {"/v2beta/service-account/{account}", {{"GET", call::get_account}}},
        {"/v2beta/service-account/{account}/api-key",
         {{"POST", call::create_account_key}, {"DELETE", call::revoke_account_keys}}},
    };
    return paths;
}

route find_route(std::string_view method, std::string_view target) {
    const target_parts wanted(target);
    const auto known = find_path(api_paths(), method, wanted.path);
    route found;
    if (known.allow.empty()) return found;
    found.call = known.call.value_or(api_call::wrong_method);
    found.allow = known.allow;
    found.database = known.parts.named("db_name") + known.parts.named("half");
    found.account = known.parts.named("account");
    found.objects = parameter(wanted.query, "data_format") == "objects";
    found.key = parameter(wanted.query, "api_key");
    return found;
}

}  // namespace bitdotio
