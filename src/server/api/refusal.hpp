// What a call that failed is answered with.
#pragma once

#include "server/api/http_listener.hpp"

#include <exception>

namespace bitdotio {

/// The status and the body for what a call has thrown. What is neither an `error` nor a malformed
/// body is thrown again.
http_response refusal_of(const std::exception_ptr& thrown);

}  // namespace bitdotio
