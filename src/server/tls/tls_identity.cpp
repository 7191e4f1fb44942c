// Makes keys and certificates with OpenSSL.
#include "server/tls/tls_identity.hpp"

#include <bitdotio/error.hpp>

#include "server/base/replace_file.hpp"
#include "server/tls/certificate_pair.hpp"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <unistd.h>

#include <array>
#include <ctime>
#include <memory>
#include <optional>

namespace bitdotio {

namespace {

namespace fs = std::filesystem;

constexpr std::chrono::hours day{24};
constexpr auto authority_life = 3650 * day;
constexpr auto server_life = 397 * day;  // the most that browsers accept
// A certificate with less than this share of its life left is made anew.
constexpr double last_share = 1.0 / 3;
constexpr auto clock_error = day;

using bio_ptr = std::unique_ptr<BIO, freed<BIO_free>>;
using extension_ptr = std::unique_ptr<X509_EXTENSION, freed<X509_EXTENSION_free>>;

using pair = certificate_pair;

void check(bool done, const char* what) {
    if (!done) {
        std::array<char, 256> words{};
        ERR_error_string_n(ERR_get_error(), words.data(), words.size());
        ERR_clear_error();
        throw error(errc::system_failed,
                    std::string("OpenSSL cannot ") + what + ": " + words.data());
    }
}

bool is_address(const std::string& host) {
    std::array<unsigned char, 16> room;
    return ::inet_pton(AF_INET, host.c_str(), room.data()) == 1 ||
           ::inet_pton(AF_INET6, host.c_str(), room.data()) == 1;
}

// "All addresses" ("0.0.0.0", "::") is not a name that clients use.
bool can_be_called(const std::string& host) {
    return host != "0.0.0.0" && host != "::" && !host.empty();
}

void add_extension(X509* certificate, X509* issuer, int which, const std::string& value) {
    X509V3_CTX context;
    X509V3_set_ctx_nodb(&context);
    X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
    const extension_ptr extension(X509V3_EXT_conf_nid(nullptr, &context, which, value.c_str()));
    check(extension && X509_add_ext(certificate, extension.get(), -1) == 1,
          "write a certificate's extension");
}

// The common part of both kinds of certificate; the extensions and the signature follow.
pair begin(const char* name, std::chrono::system_clock::time_point now,
           std::chrono::system_clock::duration life) {
    pair made;
    made.certificate.reset(X509_new());
    made.key.reset(EVP_EC_gen("P-256"));
    X509* const certificate = made.certificate.get();
    check(certificate && made.key, "make a key");

    std::array<unsigned char, 16> serial;
    check(RAND_bytes(serial.data(), serial.size()) == 1, "make a random number");
    serial[0] &= 0x7f;  // RFC 5280, 4.1.2.2: positive
    using big_number = std::unique_ptr<BIGNUM, freed<BN_free>>;
    const big_number number(BN_bin2bn(serial.data(), serial.size(), nullptr));
    check(number && BN_to_ASN1_INTEGER(number.get(), X509_get_serialNumber(certificate)),
          "number a certificate");

    const auto from = std::chrono::system_clock::to_time_t(now - clock_error);
    const auto until = std::chrono::system_clock::to_time_t(now + life);
    X509_NAME* const subject = X509_get_subject_name(certificate);
    check(X509_set_version(certificate, X509_VERSION_3) == 1 &&
              ASN1_TIME_set(X509_getm_notBefore(certificate), from) &&
              ASN1_TIME_set(X509_getm_notAfter(certificate), until) &&
              X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8,
                                         reinterpret_cast<const unsigned char*>(name), -1, -1,
                                         0) == 1 &&
              X509_set_pubkey(certificate, made.key.get()) == 1,
          "write a certificate");
    return made;
}

pair make_authority(std::chrono::system_clock::time_point now) {
    pair made = begin("bitdotio local authority", now, authority_life);
    X509* const certificate = made.certificate.get();
    check(X509_set_issuer_name(certificate, X509_get_subject_name(certificate)) == 1,
          "write a certificate");
    add_extension(certificate, certificate, NID_basic_constraints, "critical,CA:TRUE,pathlen:0");
    add_extension(certificate, certificate, NID_key_usage, "critical,keyCertSign,cRLSign");
    add_extension(certificate, certificate, NID_subject_key_identifier, "hash");
    check(X509_sign(certificate, made.key.get(), EVP_sha256()) > 0, "sign a certificate");
    return made;
}

pair make_server(const pair& authority, const std::string& listen,
                 std::chrono::system_clock::time_point now) {
    pair made = begin("bitdotio local server", now, server_life);
    X509* const certificate = made.certificate.get();
    X509* const issuer = authority.certificate.get();
    check(X509_set_issuer_name(certificate, X509_get_subject_name(issuer)) == 1,
          "write a certificate");
    std::string alternatives = "DNS:localhost,IP:127.0.0.1,IP:::1";
    if (can_be_called(listen)) {
        alternatives += (is_address(listen) ? ",IP:" : ",DNS:") + listen;
    }
    add_extension(certificate, issuer, NID_basic_constraints, "critical,CA:FALSE");
    add_extension(certificate, issuer, NID_key_usage, "critical,digitalSignature");
    add_extension(certificate, issuer, NID_ext_key_usage, "serverAuth");
    add_extension(certificate, issuer, NID_subject_key_identifier, "hash");
    add_extension(certificate, issuer, NID_authority_key_identifier, "keyid:always");
    add_extension(certificate, issuer, NID_subject_alt_name, alternatives);
    check(X509_sign(certificate, authority.key.get(), EVP_sha256()) > 0, "sign a certificate");
    return made;
}

std::string contents(BIO* bio) {
    char* text = nullptr;
    const long size = BIO_get_mem_data(bio, &text);
    return std::string(text, static_cast<std::size_t>(size));
}

void write(const pair& made, const fs::path& certificate_file, const fs::path& key_file) {
    const bio_ptr key(BIO_new(BIO_s_secmem()));
    check(key && PEM_write_bio_PKCS8PrivateKey(key.get(), made.key.get(), nullptr, nullptr, 0,
                                               nullptr, nullptr) == 1,
          "write a key");
    const bio_ptr certificate(BIO_new(BIO_s_mem()));
    check(certificate && PEM_write_bio_X509(certificate.get(), made.certificate.get()) == 1,
          "write a certificate");
    replace_file(key_file, contents(key.get()));
    replace_file(certificate_file, contents(certificate.get()), 0644);
}

// The pair of these files; nothing if it is incomplete, its halves do not belong together, or it
// will expire soon.
std::optional<pair> read(const fs::path& certificate_file, const fs::path& key_file,
                         std::chrono::system_clock::time_point now) {
    const auto certificate_text = read_file(certificate_file);
    const auto key_text = read_file(key_file);
    if (!certificate_text || !key_text) {
        return std::nullopt;
    }
    const auto source = [](const std::string& text) {
        return bio_ptr(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
    };
    pair found;
    found.certificate.reset(
        PEM_read_bio_X509(source(*certificate_text).get(), nullptr, nullptr, nullptr));
    found.key.reset(PEM_read_bio_PrivateKey(source(*key_text).get(), nullptr, nullptr, nullptr));
    ERR_clear_error();
    if (!found.certificate || !found.key ||
        X509_check_private_key(found.certificate.get(), found.key.get()) != 1) {
        ERR_clear_error();
        return std::nullopt;
    }
    if (found.share_left(now) < last_share) {
        return std::nullopt;
    }
    return found;
}

}  // namespace

tls_identity open_tls_identity(const fs::path& directory, const std::string& listen,
                               std::chrono::system_clock::time_point now) {
    std::error_code cause;
    fs::create_directories(directory, cause);
    if (!cause) {
        fs::permissions(directory, static_cast<fs::perms>(0755), cause);
    }
    if (cause) {
        throw error(errc::system_failed,
                    "cannot make the directory " + directory.string() + ": " + cause.message());
    }
    tls_identity result;
    result.ca_file = directory / "ca.pem";
    result.certificate_file = directory / "server.pem";
    result.key_file = directory / "server.key";
    const fs::path ca_key_file = directory / "ca.key";

    auto authority = read(result.ca_file, ca_key_file, now);
    if (!authority) {
        authority = make_authority(now);
        write(*authority, result.ca_file, ca_key_file);
    }
    const auto server = read(result.certificate_file, result.key_file, now);
    X509* const certificate = server ? server->certificate.get() : nullptr;
    if (!certificate || X509_verify(certificate, authority->key.get()) != 1 ||
        (can_be_called(listen) && !server->names(listen))) {
        ERR_clear_error();
        write(make_server(*authority, listen, now), result.certificate_file, result.key_file);
    }
    return result;
}

}  // namespace bitdotio
