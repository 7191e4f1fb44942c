// What binds a login to the TLS session it goes through.
#pragma once

#include <openssl/ssl.h>

#include <string>

namespace bitdotio {

/// The hash of the certificate that a server showed in this session, as octets: by the hash of its
/// signature, or SHA-256 where that is MD5 or SHA-1. Empty if its signature has none (Ed25519):
/// such a session cannot be bound.
///
/// See: RFC 5929, section 4 (tls-server-end-point).
std::string certificate_hash(const SSL* session);

}  // namespace bitdotio
