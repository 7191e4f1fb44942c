// Finds the call that a method and a target mean: one table of all paths. A pure rule.
#pragma once

#include <bitdotio/database_name.hpp>
#include <bitdotio/error.hpp>

#include "server/api/path_pattern.hpp"

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bitdotio {

/// All calls of the server.
enum class api_call {
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

    start_import,
    import_status,
    start_export,
    export_status,
    download,

    metrics,
    status_page,
    server_status,
    wake,
    sleep,
    repair,
    list_server_keys,
    create_server_key,
    revoke_server_key,
    list_server_accounts,
    create_server_account,
    remove_server_account,
    grant,
    revoke,
};

/// Who may use a path.
enum class audience {
    anyone,    ///< without a key
    account,   ///< whoever has a key
    operators  ///< the user of the server
};

/// A method of a path.
struct path_method {
    std::string_view name;
    api_call call;
    bool streams = false;  ///< its body is handed on as a stream
};

/// A documented path. See match_path for its pattern.
struct documented_path {
    std::string_view pattern;
    audience who;
    std::vector<path_method> methods;
};

/// All paths; the first pattern that matches wins. "{half}" instead of "{db_name}" is the one
/// segment of a path in which a name lacks its other half.
const std::vector<documented_path>& documented_paths();

/// What a request's first line says.
struct route {
    std::optional<api_call> call;  ///< none if the path is unknown or lacks this method
    std::string allow;             ///< the methods of the path; empty if it is unknown
    audience who = audience::anyone;
    bool streams = false;
    std::string path;   ///< still percent-encoded
    std::string query;  ///< what follows the question mark
    path_parts parts;

    /// The database that the path names: "user/db", decoded, not yet checked; empty if it names
    /// none.
    std::string database() const;
};

/// Reads a request's first line. A final slash makes no difference.
route find_route(std::string_view method, std::string_view target);

/// Thrown for a part of the path that is malformed.
class malformed_path : public error {
public:
    malformed_path(std::string part, const std::string& message)
        : error(errc::bad_input, message), part_(std::move(part)) {}

    /// Its name in the service's description: "db_name", "import_id".
    const std::string& part() const noexcept { return part_; }

private:
    std::string part_;
};

/// Converts a path's decoded "user/db" to a name.
///
/// Errors: malformed_path.
database_name name_in_path(const std::string& decoded);

}  // namespace bitdotio
