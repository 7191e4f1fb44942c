// Turns a failed call's exception into an answer.
#pragma once

#include <bitdotio/error.hpp>

#include "server/api/http_listener.hpp"

#include <exception>

namespace bitdotio {

/// The status and the body for what a call has thrown. What is neither an `error` nor a malformed
/// body, and an `error` of the server's own, is thrown again: its words may tell of the server's
/// files, so they are for the log alone (see request_dispatcher).
http_response refusal_of(const std::exception_ptr& thrown);

/// Whether the server is at fault: callers are not told the words of such an error.
bool is_internal(const error& failure);

}  // namespace bitdotio
