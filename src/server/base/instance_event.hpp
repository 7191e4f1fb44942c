// What happens to an instance of PostgreSQL.
#pragma once

#include <chrono>
#include <string>

namespace bitdotio {

/// What happens to an instance, for counting and logging.
struct instance_event {
    enum class what { woke, failed, slept, used };

    what kind = what::used;
    std::string id;
    std::chrono::steady_clock::duration took{};  ///< from the order to start to the first admission
    std::string words;                           ///< what went wrong, if anything did
};

}  // namespace bitdotio
