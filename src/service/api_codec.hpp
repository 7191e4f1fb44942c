// The API's bodies, both ways; client and server share this, so they cannot drift apart.
#pragma once

#include <bitdotio/models.hpp>

#include "service/json_fields.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace bitdotio::api {

struct create_request {
    std::string name;
    visibility visible = visibility::private_;
    std::optional<std::int64_t> storage_limit_bytes;
};

struct query_request {
    std::string database_name;
    std::string query_string;
};

/// What an error answer says, in whichever of its three shapes.
struct error_answer {
    std::string message;  ///< empty if it says nothing that can be understood
    std::string type;
};

// Encoders write compact JSON. Decoders accept unknown fields, and throw malformed_body.

std::string_view role_name(role value);
/// Nothing if no role has that name.
std::optional<role> role_named(std::string_view name);

std::string encode(const database& value);
std::string encode(const std::vector<database>& values);
std::string encode(const create_request& value);
std::string encode(const database_changes& value);
std::string encode(const query_request& value);
std::string encode(const service_account& value);
std::string encode(const std::vector<service_account>& values);
std::string encode(const issued_key& value);

database decode_database(std::string_view body);
std::vector<database> decode_databases(std::string_view body);
/// Also reads booleans and numbers that come as strings, as the Python command line sends them.
create_request decode_create_request(std::string_view body);
database_changes decode_database_changes(std::string_view body);
query_request decode_query_request(std::string_view body);
service_account decode_service_account(std::string_view body);
std::vector<service_account> decode_service_accounts(std::string_view body);
issued_key decode_issued_key(std::string_view body);

/// Never throws for a body that makes no sense: it has no message then.
error_answer decode_error(std::string_view body);

}  // namespace bitdotio::api
