// What server and client say of an answer that is too long.
#pragma once

#include <cstdint>
#include <string>

namespace bitdotio {

/// Parameters: `most` bytes are allowed.
inline std::string answer_too_long(std::uint64_t most) {
    return "the answer is longer than " + std::to_string(most) +
           " bytes: use LIMIT, an export, or a connection to the Postgres endpoint";
}

}  // namespace bitdotio
