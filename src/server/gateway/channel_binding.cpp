// Hashes certificates with OpenSSL.
#include "server/gateway/channel_binding.hpp"

#include <openssl/evp.h>
#include <openssl/objects.h>
#include <openssl/x509.h>

#include <array>

namespace bitdotio {

std::string certificate_hash(const SSL* session) {
    X509* const shown = SSL_get_certificate(session);
    int kind = NID_undef;
    if (!shown || X509_get_signature_info(shown, &kind, nullptr, nullptr, nullptr) != 1) {
        return {};
    }
    if (kind == NID_md5 || kind == NID_sha1) kind = NID_sha256;
    const EVP_MD* const digest = kind == NID_undef ? nullptr : EVP_get_digestbynid(kind);
    std::array<unsigned char, EVP_MAX_MD_SIZE> octets;
    unsigned size = 0;
    if (!digest || X509_digest(shown, digest, octets.data(), &size) != 1) return {};
    return std::string(octets.begin(), octets.begin() + size);
}

}  // namespace bitdotio
