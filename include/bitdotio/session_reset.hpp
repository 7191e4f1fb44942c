// What a session keeps of its last borrower.
#pragma once

namespace bitdotio {

/// When a connection that comes back to its pool is given back the state it was opened with.
enum class session_reset { smart, always, never };

}  // namespace bitdotio
