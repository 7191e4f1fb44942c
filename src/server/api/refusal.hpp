// Turns a failed call's exception into an answer.
#pragma once

#include "server/api/http_listener.hpp"

#include <exception>

namespace bitdotio {

/// The status and the body for what a call has thrown. Anything but an `error` or a malformed body
/// is thrown again.
http_response refusal_of(const std::exception_ptr& thrown);

}  // namespace bitdotio
