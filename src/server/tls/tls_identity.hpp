// The server's TLS identity: an authority of its own and a certificate signed by it.
#pragma once

#include <chrono>
#include <filesystem>
#include <string>

namespace bitdotio {

/// The files of a certificate, its key, and the authority that signed it, all PEM.
struct tls_identity {
    tls_identity() = default;

    /// The authority's certificate: what clients trust.
    std::filesystem::path ca_file;
    /// The server's certificate, for ssl::context::use_certificate_chain_file.
    std::filesystem::path certificate_file;
    /// The server's private key, mode 0600.
    std::filesystem::path key_file;
};

/// The identity kept in `directory`: made if missing, remade when less than a third of its life is
/// left or when it does not name `listen`. The authority lives ten years. As long as it stays,
/// clients need not learn a new one.
///
/// The certificate names localhost, 127.0.0.1, ::1 and `listen`, so that it verifies in full under
/// any of them. It blocks: call it through run_blocking.
///
/// Parameters: `directory` is made with mode 0755 if it is missing, so that other users' clients
///     can read the authority; the keys in it have mode 0600. `listen` is an address or host name.
/// Errors: errc::system_failed naming the file.
tls_identity open_tls_identity(
    const std::filesystem::path& directory, const std::string& listen,
    std::chrono::system_clock::time_point now = std::chrono::system_clock::now());

}  // namespace bitdotio
