// How failed calls are retried: each option, its default and the reason for it.
#pragma once

#include <chrono>

namespace bitdotio {

// Not an aggregate, on purpose: g++ 12 destroys aggregate temporaries twice inside a co_await
// expression. Make one, set its members, pass it.

/// How failed calls of the HTTP API are retried.
///
/// Thread safety: a value.
struct retry_options {
    retry_options() = default;

    /// The most tries, the first included. Only calls that cannot have had an effect are repeated.
    int max_attempts = 4;
    std::chrono::milliseconds first_delay{100};
    std::chrono::milliseconds max_delay{2'000};
};

}  // namespace bitdotio
