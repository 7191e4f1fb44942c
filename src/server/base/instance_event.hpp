// What becomes of an instance of PostgreSQL.
#pragma once

#include <chrono>
#include <string>

namespace bitdotio {

/// What becomes of an instance, for those who count and log.
struct instance_event {
    enum class what { woke, failed, slept, used };

    what kind = what::used;
    std::string id;
    std::chrono::steady_clock::duration took{};  ///< from the order to start to the first admitted
    std::string words;                           ///< what went wrong, if anything did
};

}  // namespace bitdotio
