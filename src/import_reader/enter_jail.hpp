// Gives up every right of this process, before it reads a stranger's file.
#pragma once

#include <sys/types.h>
#include <cstdint>

namespace bitdotio {

/// Leaves this process its open descriptors, memory of its own up to a limit, and some processor
/// time: no files, no network, no other processes, no way back.
///
/// Parameters: `parent` is the process with which this one ends; `memory` in bytes; `seconds` of
///     processor time.
/// Errors: returns what could not be done, and nullptr if all is done.
const char* enter_jail(pid_t parent, std::uint64_t memory, std::uint64_t seconds);

}  // namespace bitdotio
