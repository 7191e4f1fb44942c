// Lists the paths, and reads the parts of a target besides its path.
#include "server/api/router.hpp"

namespace bitdotio {

const std::vector<documented_path>& documented_paths() {
    using call = api_call;
    static const std::vector<documented_path> paths = {
        {"/healthz", audience::anyone, {{"GET", call::health}}},

        // "/v2beta/db/user/import" does not match: it is the database of this name.
        {"/v2beta/db/{db_name}/import", audience::account, {{"POST", call::start_import, true}}},
        {"/v2beta/db/{db_name}/export", audience::account, {{"POST", call::start_export}}},
        {"/v2beta/import/{id}", audience::account, {{"GET", call::import_status}}},
        {"/v2beta/export/{id}", audience::account, {{"GET", call::export_status}}},
        // The link itself is enough.
        {"/v2beta/export/{id}/download",
         audience::anyone,
         {{"GET", call::download}, {"HEAD", call::download}}},

        {"/v2beta/db",
         audience::account,
         {{"GET", call::list_databases}, {"POST", call::create_database}}},
        {"/v2beta/db/{db_name}",
         audience::account,
         {{"GET", call::get_database},
          {"PATCH", call::update_database},
          {"DELETE", call::delete_database}}},
        // Half of a name, for a clear refusal.
        {"/v2beta/db/{half}",
         audience::account,
         {{"GET", call::get_database},
          {"PATCH", call::update_database},
          {"DELETE", call::delete_database}}},
        {"/v2beta/query", audience::account, {{"POST", call::query}}},
        {"/v2beta/api-key",
         audience::account,
         {{"POST", call::create_key}, {"DELETE", call::revoke_keys}}},
        {"/v2beta/service-account", audience::account, {{"GET", call::list_accounts}}},
        {"/v2beta/service-account/{account}", audience::account, {{"GET", call::get_account}}},
        {"/v2beta/service-account/{account}/api-key",
         audience::account,
         {{"POST", call::create_account_key}, {"DELETE", call::revoke_account_keys}}},

        {"/metrics", audience::operators, {{"GET", call::metrics}, {"HEAD", call::metrics}}},
        {"/status", audience::operators, {{"GET", call::status_page}, {"HEAD", call::status_page}}},
        {"/server/status",
         audience::operators,
         {{"GET", call::server_status}, {"HEAD", call::server_status}}},
        {"/server/databases/{user}/{db}/wake", audience::operators, {{"POST", call::wake}}},
        {"/server/databases/{user}/{db}/sleep", audience::operators, {{"POST", call::sleep}}},
        {"/server/databases/{user}/{db}/repair", audience::operators, {{"POST", call::repair}}},
        {"/server/keys",
         audience::operators,
         {{"GET", call::list_server_keys},
          {"HEAD", call::list_server_keys},
          {"POST", call::create_server_key}}},
        {"/server/keys/{key}", audience::operators, {{"DELETE", call::revoke_server_key}}},
        {"/server/accounts",
         audience::operators,
         {{"GET", call::list_server_accounts},
          {"HEAD", call::list_server_accounts},
          {"POST", call::create_server_account}}},
        {"/server/accounts/{account}",
         audience::operators,
         {{"DELETE", call::remove_server_account}}},
        {"/server/accounts/{account}/databases/{user}/{db}",
         audience::operators,
         {{"PUT", call::grant}, {"DELETE", call::revoke}}},
    };
    return paths;
}

std::string route::database() const {
    const std::string user = parts.named("user");
    if (!user.empty()) return user + "/" + parts.named("db");
    return parts.named("db_name") + parts.named("half");
}

route find_route(std::string_view method, std::string_view target) {
    const target_parts wanted(target);
    route found;
    found.path = wanted.path;
    found.query = wanted.query;
    // Unknown paths below it are the operators' alone, too.
    if (wanted.path.starts_with("/server/")) found.who = audience::operators;
    for (const documented_path& each : documented_paths()) {
        std::optional<path_parts> parts = match_path(each.pattern, wanted.path);
        if (!parts) continue;
        found.who = each.who;
        found.parts = std::move(*parts);
        for (const path_method& one : each.methods) {
            found.allow += (found.allow.empty() ? "" : ", ") + std::string(one.name);
            if (one.name == method) {
                found.call = one.call;
                found.streams = one.streams;
            }
        }
        break;
    }
    return found;
}

database_name name_in_path(const std::string& decoded) {
    try {
        return database_name(decoded);
    } catch (const error& malformed) {
        throw malformed_path("db_name", malformed.what());
    }
}

}  // namespace bitdotio
