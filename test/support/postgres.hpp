// A PostgreSQL of a test's own, with its own access rules, and without a gateway that hides things.
#pragma once

#include "server/instances/process.hpp"
#include "support/child.hpp"

#include <bitdotio/connect_options.hpp>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

namespace test {

struct private_postgres_options {
    private_postgres_options() = default;

    /// Lines of pg_hba.conf, after one that lets the superuser in through the socket.
    std::string hba;
    /// Lines of postgresql.conf.
    std::string settings;
    /// Whether it has a certificate, signed by the authority of `ca_file()`.
    bool tls = false;
};

/// A running PostgreSQL on 127.0.0.1 and on a Unix socket; stopped and removed at the end.
///
/// Thread safety: one thread at a time; connections to it may be used anywhere.
class private_postgres {
public:
    /// Errors: bitdotio::error or std::runtime_error instead of hanging.
    explicit private_postgres(private_postgres_options options = {});
    ~private_postgres();
    private_postgres(const private_postgres&) = delete;
    private_postgres& operator=(const private_postgres&) = delete;

    std::uint16_t port() const { return port_; }
    /// Where its socket and its log are.
    std::filesystem::path directory() const { return scratch_ / "postgres"; }
    /// Where the authority's and the server's certificates and keys are.
    std::filesystem::path tls_directory() const { return scratch_ / "tls"; }
    std::string ca_file() const { return (tls_directory() / "ca.pem").string(); }

    /// The superuser "postgres" through the socket.
    bitdotio::connect_options superuser() const;
    /// A user over TCP; verified in full if this server has TLS, without TLS otherwise.
    bitdotio::connect_options over_tcp(const std::string& user, const std::string& password) const;

    /// Runs a script as the superuser.
    void run(const std::string& script);

    /// Ends it in good order; done by the destructor too.
    void stop();

private:
    template <class T>
    T wait_for(boost::asio::awaitable<T> work);
    boost::asio::awaitable<void> start(private_postgres_options options);
    boost::asio::awaitable<void> run_script(std::string script);
    boost::asio::awaitable<void> end();

    temporary_directory scratch_;
    // Its threads live as long as the process they started.
    boost::asio::io_context io_{1};
    std::uint16_t port_ = 0;
    bool tls_;
    std::optional<bitdotio::child> process_;
};

}  // namespace test
