// The server's secret in its backend: its own name and its roles' passwords.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

namespace bitdotio {

/// A server's own name and a secret, kept in a file (mode 0600). The passwords of all its
/// databases' roles are made from it: nothing else has to be kept, and all passwords differ.
///
/// Thread safety: a value.
class backend_secret {
public:
    /// Reads the file, or makes it. It blocks.
    ///
    /// Errors: errc::system_failed naming the file.
    static backend_secret open(const std::filesystem::path& file);

    /// The mark of this server's databases in the backend; not secret.
    std::string mark() const { return "database of the bitdotio server " + server_; }

    /// The password of a PostgreSQL role.
    std::string password(std::string_view role) const;
    /// What PostgreSQL keeps of that password; see scram_verifier.
    std::string verifier(std::string_view role) const;

private:
    backend_secret(std::string server, std::string secret);

    std::string server_;
    std::string secret_;
};

}  // namespace bitdotio
