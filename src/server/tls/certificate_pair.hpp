// A certificate with its key and its chain, as OpenSSL holds them.
#pragma once

#include <openssl/evp.h>
#include <openssl/x509.h>

#include <chrono>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

namespace bitdotio {

template <auto Free>
struct freed {
    void operator()(auto* pointer) const noexcept { Free(pointer); }
};
using key_ptr = std::unique_ptr<EVP_PKEY, freed<EVP_PKEY_free>>;
using certificate_ptr = std::unique_ptr<X509, freed<X509_free>>;

struct certificate_pair {
    certificate_ptr certificate;
    key_ptr key;
    std::vector<certificate_ptr> chain;  ///< the certificates between it and its authority

    std::chrono::system_clock::time_point expires() const;
    /// The share of its life that is left; zero or less once it is over.
    double share_left(std::chrono::system_clock::time_point now) const;
    /// Whether it is valid for a host name or an address.
    bool names(const std::string& host) const;
    /// The first host name it is valid for that is not a pattern; empty if there is none.
    std::string first_name() const;
    bool is_self_signed() const;
};

/// Reads a pair of PEM files that somebody else has made. It blocks.
///
/// Errors: errc::bad_input, saying what is wrong with which file: it cannot be read, is not PEM,
///     the key is encrypted, may be read by everybody, or does not belong to the certificate, or
///     the certificate has expired.
certificate_pair read_certificate_pair(
    const std::filesystem::path& certificate_file, const std::filesystem::path& key_file,
    std::chrono::system_clock::time_point now = std::chrono::system_clock::now());

}  // namespace bitdotio
