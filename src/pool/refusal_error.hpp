// The error of a caller that got no connection, saying why.
#pragma once

#include <bitdotio/error.hpp>

#include "pool/pool_state.hpp"

#include <chrono>
#include <cstddef>
#include <optional>
#include <string>

namespace bitdotio {

/// The pool at the moment it refuses a caller.
struct pool_picture {
    std::size_t idle = 0;
    std::size_t used = 0;
    std::size_t dialling = 0;
    std::size_t max_size = 0;
    std::size_t waiting = 0;
    std::chrono::milliseconds waited{0};
    std::size_t place = 0;  ///< in the queue, from 1; 0 if it never stood there
    std::optional<std::chrono::milliseconds> failing_for;
    std::optional<std::chrono::milliseconds> next_dial;
    /// It was the caller's own deadline that passed, not the pool's.
    bool by_caller = false;
    /// Who holds connections, if all are lent.
    std::string holders;
    /// Nothing came back in all the time it waited.
    bool stands_still = false;
    std::optional<error> last_dial;
};

error refusal_error(refusal why, const pool_picture& pool);

}  // namespace bitdotio
