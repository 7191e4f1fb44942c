// What a server knows that its backend's other users do not: who it is, and its roles' passwords.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

namespace bitdotio {

/// A server's own name and a secret, kept in a file (mode 0600), from which the passwords of all
/// its databases' roles are made: nothing else has to be kept, and no password is like another.
///
/// Thread safety: a value.
class backend_secret {
public:
    /// Reads the file, or makes it. It blocks.
    ///
    /// Errors: errc::system_failed naming the file.
    static backend_secret open(const std::filesystem::path& file);

    /// What marks this server's databases in the backend; no secret.
    std::string mark() const { return "database of the bitdotio server " + server_; }

    /// The password of a role of PostgreSQL.
    std::string password(std::string_view role) const;
    /// What PostgreSQL is told of it; see scram_verifier.
    std::string verifier(std::string_view role) const;

private:
    backend_secret(std::string server, std::string secret);

    std::string server_;
    std::string secret_;
};

}  // namespace bitdotio
