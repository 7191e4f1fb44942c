// A primary and its standby, run from Debian's programs, for tests that break them.
#pragma once

#include "support/daemon.hpp"

#include <bitdotio/connect_options.hpp>
#include <bitdotio/result.hpp>

#include "server/tls/tls_identity.hpp"

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace test {

/// How PostgreSQL stops: when its clients have gone, at once with a goodbye, or like a crash.
enum class stop_mode { smart, fast, immediate };

/// A private PostgreSQL on a port of 127.0.0.1, with TLS and passwords (SCRAM).
///
/// It has the database "tests" of the user "tester". Thread safety: none. Everything here blocks,
/// and fails with std::runtime_error or bitdotio::error instead of hanging.
class postgres_server {
public:
    /// How the user "tester" reaches its database.
    bitdotio::connect_options connect() const;
    bitdotio::host_port address() const { return {"127.0.0.1", port_}; }
    std::uint16_t port() const { return port_; }
    /// The certificate, its key (readable by the user PostgreSQL runs as), and their authority.
    const bitdotio::tls_identity& tls() const { return tls_; }
    static const std::string& password();

    void start();
    void stop(stop_mode how);
    bool is_running() { return daemon_.is_running(); }
    /// Ends the postmaster as the kernel does when memory runs out, and waits until its orphans
    /// have ended too.
    void crash();
    /// Makes a stopped server recover from its archive when it starts; the archive is empty and
    /// says so slowly: meanwhile the server answers that it is starting up.
    void start_slowly();
    /// Sends a signal to the postmaster.
    void signal(int number) { daemon_.signal(number); }
    /// Kills these backends, so that the server ends all others and starts itself again; returns
    /// when it is ready.
    void kill_hard(const std::vector<int>& backends);
    /// The processes that serve an application, by connect_options::application_name.
    std::vector<int> backends(const std::string& application);
    /// Ends all sessions of clients, or those of an application, and waits until they are gone.
    void kill_backends(const std::string& application = "");
    /// Runs a script as the superuser, in the database "tests".
    void execute(const std::string& sql);
    /// The first field of a statement run as the superuser, as text.
    std::string value(const std::string& sql);

protected:
    postgres_server();
    ~postgres_server();

    bitdotio::connect_options superuser(const std::string& database) const;
    std::vector<bitdotio::result> script(const std::string& database, const std::string& sql);
    std::filesystem::path data() const { return daemon_.home() / "data"; }

    daemon daemon_;
    std::uint16_t port_;
    bitdotio::tls_identity tls_;

    friend class postgres_standby;

private:
    void launch(std::vector<std::string> more);
    bool is_ready() const;
};

/// A server that standbys may follow.
class postgres_primary : public postgres_server {
public:
    postgres_primary();
};

/// A server that follows a primary, by streaming, and can be read.
class postgres_standby : public postgres_server {
public:
    /// Lifetime: `primary` must outlive it; it uses the primary's certificate.
    explicit postgres_standby(postgres_primary& primary);

    /// Waits until all the primary has written is visible here.
    void catch_up();
    /// Makes it a primary; returns when it can be written to.
    void promote();

private:
    postgres_primary& primary_;
};

}  // namespace test
