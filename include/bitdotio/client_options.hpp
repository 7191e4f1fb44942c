// Where the service is, who asks, and how: each option, its default and the reason for it.
#pragma once

#include <bitdotio/api_key.hpp>
#include <bitdotio/connect_options.hpp>
#include <bitdotio/pool_options.hpp>
#include <bitdotio/retry_options.hpp>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

namespace bitdotio {

// Not an aggregate, on purpose: g++ 12 destroys aggregate temporaries twice inside a co_await
// expression. Make one, set its members, pass it.

/// Where the service is and who asks. `resolved()` looks up what is left empty.
///
/// Thread safety: a value.
struct client_options {
    client_options() = default;

    std::optional<api_key> key;
    /// "https://host:port"
    std::string api_url;
    std::string postgres_host;
    std::uint16_t postgres_port = 0;
    /// PEM file of the authorities to trust, for HTTPS and PostgreSQL; empty for the system's.
    std::string ca_file;
    /// The profile to read; empty for BITIO_PROFILE, else the one `bit serve` writes by default.
    std::string profile_file;
    /// Sent as User-Agent; empty for "cpp-bitdotio/<version>".
    std::string user_agent;

    /// For one API call, its retries included.
    std::chrono::milliseconds request_timeout{30'000};
    retry_options retry;
    pool_options pool;
    /// Timeouts, application name and TLS mode of connections; hosts, user, password, database and
    /// CA file in it are filled in by the client.
    connect_options connect;

    /// These options with empty members filled in: from the environment (BITIO_KEY, BITIO_API_URL,
    /// BITIO_PG_HOST, BITIO_PG_PORT, BITIO_CA_FILE), then from the profile.
    ///
    /// Reads a file: call it before the executor runs.
    ///
    /// Errors: errc::bad_input if the key or an address is not found, or is malformed.
    client_options resolved() const;
};

}  // namespace bitdotio
