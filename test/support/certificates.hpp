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

/// Makes "<directory>/<list>", by which the authority there revokes the certificate in a file;
/// with an empty `revoked` it revokes none.
void write_revocations(const std::filesystem::path& directory, const std::string& list,
                       const std::filesystem::path& revoked);

}  // namespace test
