// Reads PEM files and answers questions about their content.
#include "server/tls/certificate_pair.hpp"

#include <bitdotio/error.hpp>

#include "base/rfc3339.hpp"
#include "server/base/replace_file.hpp"

#include <arpa/inet.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <array>
#include <ctime>

namespace bitdotio {

namespace {

namespace fs = std::filesystem;
using clock = std::chrono::system_clock;
using bio_ptr = std::unique_ptr<BIO, freed<BIO_free>>;

error bad(const fs::path& file, const std::string& why) {
    return error(errc::bad_input, file.string() + " " + why);
}

std::string text_of(const fs::path& file, const char* what) {
    std::optional<std::string> text;
    try {
        text = read_file(file);
    } catch (const error& failure) {
        throw error(errc::bad_input, failure.what());
    }
    if (!text) throw bad(file, std::string("does not exist; it should be ") + what);
    return *text;
}

bio_ptr source(const std::string& text) {
    return bio_ptr(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

// Nobody can be asked for a password, least of all by OpenSSL on the terminal.
int no_password(char*, int, int, void*) {
    return -1;
}

clock::time_point time_of(const ASN1_TIME* when) {
    std::tm parts{};
    ASN1_TIME_to_tm(when, &parts);
    return clock::from_time_t(::timegm(&parts));
}

}  // namespace

clock::time_point certificate_pair::expires() const {
    return time_of(X509_get0_notAfter(certificate.get()));
}

double certificate_pair::share_left(clock::time_point now) const {
    const auto from = time_of(X509_get0_notBefore(certificate.get()));
    const auto until = expires();
    if (until <= from) return 0;
    using seconds = std::chrono::duration<double>;
    return seconds(until - now).count() / seconds(until - from).count();
}

bool certificate_pair::names(const std::string& host) const {
    std::array<unsigned char, 16> room;
    const bool is_address = ::inet_pton(AF_INET, host.c_str(), room.data()) == 1 ||
                            ::inet_pton(AF_INET6, host.c_str(), room.data()) == 1;
    return is_address
               ? X509_check_ip_asc(certificate.get(), host.c_str(), 0) == 1
               : X509_check_host(certificate.get(), host.data(), host.size(), 0, nullptr) == 1;
}

std::string certificate_pair::first_name() const {
    std::string found;
    auto* const all = static_cast<GENERAL_NAMES*>(
        X509_get_ext_d2i(certificate.get(), NID_subject_alt_name, nullptr, nullptr));
    for (int i = 0; i < sk_GENERAL_NAME_num(all) && found.empty(); ++i) {
        const GENERAL_NAME* const one = sk_GENERAL_NAME_value(all, i);
        if (one->type != GEN_DNS) continue;
        const std::string name(reinterpret_cast<const char*>(ASN1_STRING_get0_data(one->d.dNSName)),
                               static_cast<std::size_t>(ASN1_STRING_length(one->d.dNSName)));
        if (name.find('*') == std::string::npos) found = name;
    }
    GENERAL_NAMES_free(all);
    return found;
}

bool certificate_pair::is_self_signed() const {
    return X509_self_signed(certificate.get(), 0) == 1;
}

certificate_pair read_certificate_pair(const fs::path& certificate_file, const fs::path& key_file,
                                       clock::time_point now) {
    const std::string certificate_text = text_of(certificate_file, "a certificate in PEM");
    const std::string key_text = text_of(key_file, "a private key in PEM");
    std::error_code ignored;
    if ((fs::status(key_file, ignored).permissions() & fs::perms::others_read) != fs::perms::none) {
        throw bad(key_file,
                  "holds a private key and may be read by everybody; run chmod 600 on it");
    }
    certificate_pair read;
    const bio_ptr certificates = source(certificate_text);
    read.certificate.reset(PEM_read_bio_X509(certificates.get(), nullptr, no_password, nullptr));
    if (!read.certificate) {
        ERR_clear_error();
        throw bad(certificate_file, "holds no certificate in PEM");
    }
    while (X509* next = PEM_read_bio_X509(certificates.get(), nullptr, no_password, nullptr)) {
        read.chain.emplace_back(next);
    }
    read.key.reset(PEM_read_bio_PrivateKey(source(key_text).get(), nullptr, no_password, nullptr));
    ERR_clear_error();
    if (!read.key) {
        const bool encrypted = key_text.find("ENCRYPTED") != std::string::npos;
        throw bad(key_file, encrypted ? "holds an encrypted key; the server needs one without a "
                                        "password"
                                      : "holds no private key in PEM");
    }
    if (X509_check_private_key(read.certificate.get(), read.key.get()) != 1) {
        ERR_clear_error();
        throw bad(key_file, "holds a key that is not that of the certificate in " +
                                certificate_file.string());
    }
    if (read.expires() <= now) {
        throw bad(
            certificate_file,
            "holds a certificate that expired on " +
                api::encode_date(std::chrono::floor<std::chrono::microseconds>(read.expires())));
    }
    return read;
}

}  // namespace bitdotio
