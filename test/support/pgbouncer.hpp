// A PgBouncer of its own in front of a PostgreSQL, for tests that need a pooler between.
#pragma once

#include "support/daemon.hpp"
#include "support/postgres_cluster.hpp"

#include <bitdotio/connect_options.hpp>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace test {

/// Who keeps a connection to the server: a client while it stays, or a transaction.
enum class pooling { session, transaction };

/// A pooler on a port of 127.0.0.1 that asks clients for TLS and passwords (SCRAM).
///
/// Thread safety: none. Everything here blocks and fails instead of hanging.
class pgbouncer {
public:
    /// Parameters: `settings` are added to the section [pgbouncer] of its configuration.
    /// Lifetime: `behind` must outlive it; it uses the certificate of `behind`.
    pgbouncer(const postgres_server& behind, pooling mode,
              const std::map<std::string, std::string>& settings = {});

    /// How the user "tester" reaches its database through it.
    bitdotio::connect_options connect() const;

    void start();
    bool is_running() { return daemon_.is_running(); }
    /// Ends it like a crash of its process: every client is cut off.
    void stop();
    /// Runs a command of its console, such as "PAUSE".
    ///
    /// Errors: bitdotio::error with what the console says.
    void command(const std::string& words);
    /// A column of what a SHOW command says, one text for each row.
    std::vector<std::string> column(const std::string& show, const std::string& name);

private:
    bitdotio::connect_options console() const;

    daemon daemon_;
    std::uint16_t port_;
    bitdotio::connect_options connect_;
};

}  // namespace test
