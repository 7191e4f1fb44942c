// The error bodies of the API, in the shapes its clients know.
#pragma once

#include "server/api/http_listener.hpp"

#include <string>
#include <string_view>

namespace bitdotio {

/// `{"status_code", "error_id", "message", "help", "error": {"type"}}`, for every status except
/// the two below.
///
/// Parameters: `type` names the kind of error for programs, `help` says what to do; left out if
///     empty.
http_response api_error(int status, std::string_view message, std::string_view type = {},
                        std::string_view help = {});

/// 500 or 503 for a failure of the server's own: words without details, and the id under which the
/// details are in the log.
http_response internal_error(int status, const std::string& error_id);

/// 401: `{"detail", "uuid"}`.
http_response unauthorized(std::string_view detail);

/// 422: `{"detail": [{"loc", "msg", "type"}]}`.
///
/// Parameters: `field` is what the message is about, in the body or another `part` of the
///     request; empty for all of it.
http_response unprocessable(std::string_view field, std::string_view message, std::string_view type,
                            std::string_view part = "body");

}  // namespace bitdotio
