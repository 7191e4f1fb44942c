// The API's models: databases, their usage, accounts and keys, the result of a query.
#pragma once

#include <bitdotio/api_key.hpp>
#include <bitdotio/database_name.hpp>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace bitdotio {

/// Who may read a database.
enum class visibility { private_, public_ };

/// What the key's owner may do with a database.
enum class role { owner, admin, writer, reader };

/// Rows queried in a billing period.
///
/// Thread safety: a value.
struct usage {
    std::int64_t rows_queried = 0;
    std::chrono::sys_seconds period_start{};
    std::chrono::sys_seconds period_end{};

    friend bool operator==(const usage&, const usage&) = default;
};

/// What the API says about a database.
///
/// Thread safety: a value.
struct database {
    std::string id;
    database_name name{"user/db"};
    std::optional<std::chrono::sys_time<std::chrono::microseconds>> date_created;
    visibility visible = visibility::private_;
    bitdotio::role role = bitdotio::role::owner;
    std::optional<std::int64_t> storage_limit_bytes;
    std::int64_t storage_usage_bytes = 0;
    std::optional<usage> usage_current;
    std::optional<usage> usage_previous;

    friend bool operator==(const database&, const database&) = default;
};

/// What to change about a database; unset members stay as they are.
///
/// Thread safety: a value.
struct database_changes {
    database_changes() = default;

    /// The new name, without the user.
    std::optional<std::string> name;
    std::optional<visibility> visible;
    std::optional<std::int64_t> storage_limit_bytes;
};

/// An account for a program instead of a person: it has one role, for the databases granted to it.
struct service_account {
    /// A database it may use.
    struct grant {
        std::string id;
        database_name name{"user/db"};

        friend bool operator==(const grant&, const grant&) = default;
    };

    std::string id;
    std::string name;
    std::optional<std::chrono::sys_time<std::chrono::microseconds>> date_created;
    bitdotio::role role = bitdotio::role::reader;
    std::vector<grant> databases;
    std::int64_t token_count = 0;         ///< keys it was ever given
    std::int64_t active_token_count = 0;  ///< those that are not revoked

    friend bool operator==(const service_account&, const service_account&) = default;
};

/// A new key and whose it is. The service shows a key only this once.
struct issued_key {
    api_key key{"v2_none"};
    std::string username;
};

/// How the rows of a query are laid out in JSON.
enum class data_format {
    rows,     ///< `[["Alice", 45]]`
    objects,  ///< `[{"name": "Alice", "age": 45}]`
};

/// A value of a query over HTTP: NULL, or a JSON value; a nested value is its JSON text.
using query_value = std::variant<std::monostate, bool, std::int64_t, double, std::string>;

/// The result of a query over HTTP.
///
/// Thread safety: a value.
struct query_result {
    struct column {
        std::string name;
        std::string type;  ///< the SQL name of the type

        friend bool operator==(const column&, const column&) = default;
    };

    std::string query_string;
    std::vector<column> columns;
    std::vector<std::vector<query_value>> rows;  ///< the same for both formats
    /// The field "data" of the answer as it came: JSON text in the format asked for.
    std::string data_json;
};

}  // namespace bitdotio
