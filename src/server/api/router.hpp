// Which call of the API a method and a target mean: a pure rule.
#pragma once

#include <bitdotio/database_name.hpp>
#include <bitdotio/error.hpp>

#include "server/api/path_table.hpp"

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bitdotio {

/// The calls there are, and the two ways in which a request is none.
enum class api_call {
    unknown_path,
    wrong_method,  ///< route::allow says which would be right
    health,
    list_databases,
    create_database,
    get_database,
    update_database,
    delete_database,
    query,
    list_accounts,
    get_account,
    create_account_key,
    revoke_account_keys,
    create_key,
    revoke_keys,
};

/// A call with what its target says.
struct route {
    api_call call = api_call::unknown_path;
    std::string allow;               ///< methods of this path, for the header Allow
    std::string database;            ///< "user/db", decoded, not yet checked
    bool objects = false;            ///< the target has the parameter data_format=objects
    std::string account;             ///< the id of a service account, decoded, not yet checked
    std::optional<std::string> key;  ///< the parameter api_key, decoded
};

/// The paths of the API, but for those of jobs. With "{half}" in place of "{db_name}" the one
/// segment of a path in which a name lacks its other half.
const std::vector<documented_path<api_call>>& api_paths();

/// Reads a request's first line. A trailing slash makes no difference; "user/db" may come as two
/// segments or as one with "%2F".
route find_route(std::string_view method, std::string_view target);

/// A part of the path that has not the form it must.
class malformed_path : public error {
public:
    malformed_path(std::string part, const std::string& message)
        : error(errc::bad_input, message), part_(std::move(part)) {}

    /// As the service's description calls it: "db_name", "import_id".
    const std::string& part() const noexcept { return part_; }

private:
    std::string part_;
};

/// A path's "user/db", decoded, as the name it is.
///
/// Errors: malformed_path.
database_name name_in_path(const std::string& decoded);

}  // namespace bitdotio
