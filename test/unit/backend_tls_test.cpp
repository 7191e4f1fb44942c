// The TLS settings of sessions with a backend, against a server of OpenSSL's.
#include "support/child.hpp"

#include <bitdotio/connect_options.hpp>

#include "server/backend/backend_tls.hpp"
#include "server/tls/tls_identity.hpp"

#include <boost/asio/ssl/context.hpp>

#include <doctest/doctest.h>

#include <openssl/bio.h>
#include <openssl/ssl.h>

#include <memory>

namespace {

namespace ssl = boost::asio::ssl;

struct release {
    void operator()(SSL* session) const noexcept { SSL_free(session); }
};

TEST_CASE("a backend that would begin TLS anew within a session is passed over") {
    const test::temporary_directory directory;
    const bitdotio::tls_identity own = bitdotio::open_tls_identity(directory / "tls", "127.0.0.1");
    ssl::context theirs(ssl::context::tls_server);
    theirs.use_certificate_chain_file(own.certificate_file.string());
    theirs.use_private_key_file(own.key_file.string(), ssl::context::pem);
    SSL_CTX_set_max_proto_version(theirs.native_handle(), TLS1_2_VERSION);
    bitdotio::connect_options options;
    options.tls = bitdotio::tls_mode::require;
    const auto ours = bitdotio::make_backend_tls(options);

    const std::unique_ptr<SSL, release> server(SSL_new(theirs.native_handle()));
    const std::unique_ptr<SSL, release> client(SSL_new(ours->native_handle()));
    BIO* one = nullptr;
    BIO* other = nullptr;
    REQUIRE(BIO_new_bio_pair(&one, 0, &other, 0) == 1);
    SSL_set_bio(server.get(), one, one);
    SSL_set_bio(client.get(), other, other);
    SSL_set_accept_state(server.get());
    SSL_set_connect_state(client.get());
    for (int i = 0; i < 10; ++i) {
        SSL_do_handshake(client.get());
        SSL_do_handshake(server.get());
    }
    REQUIRE(SSL_is_init_finished(client.get()));
    REQUIRE(SSL_is_init_finished(server.get()));

    REQUIRE(SSL_renegotiate(server.get()) == 1);
    REQUIRE(SSL_do_handshake(server.get()) == 1);  // says hello and waits for nothing
    REQUIRE(SSL_write(server.get(), "x", 1) == 1);
    char word = 0;
    CHECK(SSL_read(client.get(), &word, 1) == 1);
    CHECK(word == 'x');
    CHECK(SSL_num_renegotiations(client.get()) == 0);
}

}  // namespace
