// Certificates of clients and lists of revoked ones, signed by a test's authority.
#pragma once

#include <filesystem>
#include <string>

namespace test {

/// Makes "<directory>/<name>.pem" and "<name>.key" for a client called `name`, signed by the
/// authority of ca.pem and ca.key there.
///
/// Parameters: `password` encrypts the key; empty for none.
void issue_certificate(const std::filesystem::path& directory, const std::string& name,
                       const std::string& password = "");

/// Makes "<directory>/<name>.pem" for the server whose key is server.key there, valid for `host`.
///
/// Parameters: `authority` is the directory of the ca.pem and ca.key that sign it; `expired` says
///     that it expired an hour ago.
void issue_server_certificate(const std::filesystem::path& directory, const std::string& name,
                              const std::string& host, const std::filesystem::path& authority,
                              bool expired = false);

/// Makes "<directory>/<list>", in which the authority there revokes the certificate in a file, or
/// nothing if `revoked` is empty.
void write_revocations(const std::filesystem::path& directory, const std::string& list,
                       const std::filesystem::path& revoked);

}  // namespace test
