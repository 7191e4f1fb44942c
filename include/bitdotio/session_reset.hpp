// When a pool resets a session.
#pragma once

namespace bitdotio {

/// When a connection that comes back to its pool is reset to the state it was opened with.
enum class session_reset { smart, always, never };

}  // namespace bitdotio
