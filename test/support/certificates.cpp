// Makes keys, certificates and revocation lists with OpenSSL.
#include "support/certificates.hpp"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <sys/stat.h>
#include <cstdio>
#include <memory>
#include <stdexcept>

namespace test {

namespace fs = std::filesystem;

namespace {

template <auto Free>
struct freed {
    void operator()(auto* pointer) const noexcept { Free(pointer); }
};
using key_ptr = std::unique_ptr<EVP_PKEY, freed<EVP_PKEY_free>>;
using certificate_ptr = std::unique_ptr<X509, freed<X509_free>>;
using list_ptr = std::unique_ptr<X509_CRL, freed<X509_CRL_free>>;
using time_ptr = std::unique_ptr<ASN1_TIME, freed<ASN1_TIME_free>>;
using file_ptr = std::unique_ptr<std::FILE, freed<std::fclose>>;

void check(bool done, const char* what) {
    if (!done) {
        throw std::runtime_error(std::string("a test cannot ") + what);
    }
}

file_ptr open(const fs::path& path, const char* mode) {
    file_ptr file(std::fopen(path.c_str(), mode));
    check(file != nullptr, ("open " + path.string()).c_str());
    return file;
}

certificate_ptr read_certificate(const fs::path& path) {
    return certificate_ptr(PEM_read_X509(open(path, "r").get(), nullptr, nullptr, nullptr));
}

key_ptr read_key(const fs::path& path) {
    return key_ptr(PEM_read_PrivateKey(open(path, "r").get(), nullptr, nullptr, nullptr));
}

constexpr long hour = 3'600;

// A certificate of `name` for a key, signed by the authority of a directory.
certificate_ptr certify(EVP_PKEY* key, const std::string& name, const fs::path& authority,
                        long from, long until) {
    const certificate_ptr issuer = read_certificate(authority / "ca.pem");
    const key_ptr issuer_key = read_key(authority / "ca.key");
    certificate_ptr made(X509_new());
    check(issuer && issuer_key && made && key, "make a certificate");
    ASN1_INTEGER_set(X509_get_serialNumber(made.get()), 4711);
    X509_set_version(made.get(), X509_VERSION_3);
    X509_gmtime_adj(X509_getm_notBefore(made.get()), from);
    X509_gmtime_adj(X509_getm_notAfter(made.get()), until);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(made.get()), "CN", MBSTRING_UTF8,
                               reinterpret_cast<const unsigned char*>(name.c_str()), -1, -1, 0);
    X509_set_issuer_name(made.get(), X509_get_subject_name(issuer.get()));
    X509_set_pubkey(made.get(), key);
    check(X509_sign(made.get(), issuer_key.get(), EVP_sha256()) > 0, "sign a certificate");
    return made;
}

void write(X509* made, const fs::path& path) {
    check(PEM_write_X509(open(path, "w").get(), made) == 1, "write a certificate");
}

}  // namespace

void issue_server_certificate(const fs::path& directory, const std::string& name,
                              const std::string& host, const fs::path& authority, bool expired) {
    const key_ptr key = read_key(directory / "server.key");
    const certificate_ptr made =
        certify(key.get(), host, authority, -2 * hour, expired ? -hour : 24 * hour);
    write(made.get(), directory / (name + ".pem"));
}

void issue_certificate(const fs::path& directory, const std::string& name,
                       const std::string& password) {
    const key_ptr key(EVP_EC_gen("P-256"));
    const certificate_ptr made = certify(key.get(), name, directory, -hour, 24 * hour);
    write(made.get(), directory / (name + ".pem"));

    const fs::path key_file = directory / (name + ".key");
    const file_ptr key_out = open(key_file, "w");
    ::chmod(key_file.c_str(), 0600);
    check(PEM_write_PKCS8PrivateKey(key_out.get(), key.get(),
                                    password.empty() ? nullptr : EVP_aes_256_cbc(), nullptr, 0,
                                    nullptr, const_cast<char*>(password.c_str())) == 1,
          "write a key");
}

void write_revocations(const fs::path& directory, const std::string& list,
                       const fs::path& revoked) {
    const certificate_ptr issuer = read_certificate(directory / "ca.pem");
    const key_ptr issuer_key = read_key(directory / "ca.key");
    const list_ptr made(X509_CRL_new());
    const time_ptr from(X509_gmtime_adj(nullptr, -3600));
    const time_ptr until(X509_gmtime_adj(nullptr, 86'400));
    check(issuer && issuer_key && made && from && until, "make a list of revocations");
    X509_CRL_set_version(made.get(), X509_CRL_VERSION_2);
    X509_CRL_set_issuer_name(made.get(), X509_get_subject_name(issuer.get()));
    X509_CRL_set1_lastUpdate(made.get(), from.get());
    X509_CRL_set1_nextUpdate(made.get(), until.get());
    if (!revoked.empty()) {
        const certificate_ptr bad = read_certificate(revoked);
        X509_REVOKED* const entry = X509_REVOKED_new();
        X509_REVOKED_set_serialNumber(entry, X509_get_serialNumber(bad.get()));
        X509_REVOKED_set_revocationDate(entry, from.get());
        X509_CRL_add0_revoked(made.get(), entry);
    }
    check(X509_CRL_sort(made.get()) == 1 &&
              X509_CRL_sign(made.get(), issuer_key.get(), EVP_sha256()) > 0 &&
              PEM_write_X509_CRL(open(directory / list, "w").get(), made.get()) == 1,
          "write a list of revocations");
}

}  // namespace test
