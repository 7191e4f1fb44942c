// The error bodies of the API, in the shapes its clients know.
#pragma once

#include "server/http_listener.hpp"

#include <string>
#include <string_view>

namespace bitdotio {

/// `{"status_code", "error_id", "message", "error": {"type"}}`, for every status but the two below.
///
/// Parameters: `type` names the kind of error for programs; left out if empty.
http_response api_error(int status, std::string_view message, std::string_view type = {});

/// 401: `{"detail", "uuid"}`.
http_response unauthorized(std::string_view detail);

/// 422: `{"detail": [{"loc", "msg", "type"}]}`.
///
/// Parameters: `field` of the body is what the message is about; empty for the body itself.
http_response unprocessable(std::string_view field, std::string_view message,
                            std::string_view type);

}  // namespace bitdotio
