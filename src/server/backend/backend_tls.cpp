// Translates libpq's TLS parameters for OpenSSL.
#include "server/backend/backend_tls.hpp"

#include <bitdotio/error.hpp>

#include <boost/asio/ssl/context.hpp>
#include <boost/system/system_error.hpp>

#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>

#include <string>

namespace bitdotio {

namespace {

namespace ssl = boost::asio::ssl;

int number_of(tls_version version) {
    switch (version) {
        case tls_version::v1_0: return TLS1_VERSION;
        case tls_version::v1_1: return TLS1_1_VERSION;
        case tls_version::v1_2: return TLS1_2_VERSION;
        case tls_version::v1_3: return TLS1_3_VERSION;
    }
    return TLS1_2_VERSION;
}

template <class Read>
void read_pem(const std::string& file, Read from) {
    if (file.empty()) return;
    try {
        from();
    } catch (const boost::system::system_error& failure) {
        throw error(errc::bad_input, "cannot read " + file + ": " + failure.code().message());
    }
}

}  // namespace

std::shared_ptr<ssl::context> make_backend_tls(const connect_options& options) {
    if (options.tls == tls_mode::disable) return nullptr;
    const auto made = std::make_shared<ssl::context>(ssl::context::tls_client);
    // TLS 1.2 would let the server begin anew in the middle of a session, which nobody needs.
    SSL_CTX_set_options(made->native_handle(), SSL_OP_NO_RENEGOTIATION);
    SSL_CTX_set_min_proto_version(made->native_handle(), number_of(options.min_tls_version));
    const bool verifies = options.tls == tls_mode::verify_full ||
                          options.tls == tls_mode::verify_ca ||
                          (options.tls == tls_mode::require && !options.ca_file.empty());
    made->set_verify_mode(verifies ? ssl::verify_peer : ssl::verify_none);
    if (verifies && options.ca_file.empty()) made->set_default_verify_paths();
    read_pem(options.ca_file, [&] { made->load_verify_file(options.ca_file); });
    if (!options.crl_file.empty()) {
        X509_STORE* trusted = SSL_CTX_get_cert_store(made->native_handle());
        X509_LOOKUP* lookup = X509_STORE_add_lookup(trusted, X509_LOOKUP_file());
        if (X509_load_crl_file(lookup, options.crl_file.c_str(), X509_FILETYPE_PEM) < 1) {
            throw error(errc::bad_input, "cannot read " + options.crl_file);
        }
        X509_STORE_set_flags(trusted, X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL);
    }
    made->set_password_callback([word = options.key_password](
                                    std::size_t, ssl::context::password_purpose) { return word; });
    read_pem(options.certificate_file,
             [&] { made->use_certificate_chain_file(options.certificate_file); });
    read_pem(options.key_file,
             [&] { made->use_private_key_file(options.key_file, ssl::context::pem); });
    return made;
}

}  // namespace bitdotio
