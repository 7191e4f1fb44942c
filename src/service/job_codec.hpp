// The bodies of imports and exports, both ways, shared by client and server.
#pragma once

#include <bitdotio/jobs.hpp>

#include "service/json_fields.hpp"

#include <optional>
#include <string>
#include <string_view>

namespace bitdotio::api {

std::string_view name_of(job_state state);
std::string_view name_of(header_row header);
std::string_view name_of(export_format format);
/// Nothing for another name; "header" may be called "first_row", as one of the clients does.
std::optional<header_row> header_named(std::string_view name);
std::optional<export_format> format_named(std::string_view name);
std::optional<job_state> state_named(std::string_view name);

std::string encode(const import_job& value);
std::string encode(const export_job& value);
std::string encode(const export_options& value);

// These throw malformed_body.

import_job decode_import_job(std::string_view body);
export_job decode_export_job(std::string_view body);
/// Checks that an export has a query or a table, not both, and a known format, which it must name.
export_options decode_export_options(std::string_view body);

}  // namespace bitdotio::api
