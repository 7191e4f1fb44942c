// Which certificate a server shows, given or its own, and what happens when it changes.
#include <bitdotio/connection.hpp>
#include <bitdotio/error.hpp>
#include <bitdotio/server_event.hpp>

#include "server/base/replace_file.hpp"
#include "server/tls/tls_identity.hpp"
#include "support/background.hpp"
#include "support/certificates.hpp"
#include "support/child.hpp"
#include "support/test_server.hpp"
#include "support/text.hpp"

#include <doctest/doctest.h>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl.hpp>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

using namespace std::chrono_literals;
using bitdotio::local_server_options;
using test::contents;
using test::test_server;
namespace asio = boost::asio;
namespace fs = std::filesystem;

namespace {

// The certificate in PEM that the API's endpoint shows now.
std::string shown_by(const test_server& server) {
    asio::io_context io;
    asio::ssl::context context(asio::ssl::context::tls_client);
    asio::ssl::stream<asio::ip::tcp::socket> stream(io, context);
    stream.next_layer().connect({asio::ip::make_address("127.0.0.1"), server.api_port()});
    stream.handshake(asio::ssl::stream_base::client);
    X509* const certificate = SSL_get1_peer_certificate(stream.native_handle());
    BIO* const memory = BIO_new(BIO_s_mem());
    PEM_write_bio_X509(memory, certificate);
    char* text = nullptr;
    const long size = BIO_get_mem_data(memory, &text);
    std::string pem(text, static_cast<std::size_t>(size));
    BIO_free(memory);
    X509_free(certificate);
    return pem;
}

// Waits until the server shows the certificate in `pem`.
bool comes_to_show(const test_server& server, const std::string& pem) {
    const auto deadline = std::chrono::steady_clock::now() + 20s;
    while (shown_by(server) != pem && std::chrono::steady_clock::now() < deadline) {
        std::this_thread::sleep_for(10ms);
    }
    return shown_by(server) == pem;
}

local_server_options given(const bitdotio::tls_identity& identity) {
    local_server_options options;
    options.certificate_file = identity.certificate_file;
    options.private_key_file = identity.key_file;
    options.certificate_authority_file = identity.ca_file;
    options.certificate_check_interval = 30ms;
    return options;
}

std::string refusal_of(const local_server_options& options) {
    try {
        const test_server server(options);
    } catch (const bitdotio::error& failure) {
        CHECK(failure.code() == bitdotio::errc::bad_input);
        return failure.what();
    }
    return "none";
}

}  // namespace

TEST_CASE("a given certificate is shown at both endpoints, and another one when its files change") {
    const test::temporary_directory scratch;
    const auto first = bitdotio::open_tls_identity(scratch / "tls", "127.0.0.1");
    const auto second = bitdotio::open_tls_identity(scratch / "next", "127.0.0.1");
    std::mutex mutex;
    std::vector<std::string> complaints;
    local_server_options options = given(first);
    options.log = [&](const bitdotio::server_event& event) {
        const std::lock_guard held(mutex);
        if (event.kind == "certificate_refused") complaints.push_back(event.text_of("reason"));
    };
    test_server server(options);
    CHECK(server.ca_file() == first.ca_file.string());
    CHECK(shown_by(server) == contents(first.certificate_file));
    const auto name = server.create_database("secured");  // over HTTPS, verified in full
    test::background thread;
    bitdotio::connection session =
        thread.wait_for(bitdotio::connection::open(server.connect_options(name)));
    const bitdotio::statement one("SELECT 1");
    CHECK(thread.wait_for(session.query(one)).size() == 1);

    // One half of the pair: the shown certificate stays, and the log says once what is wrong.
    bitdotio::replace_file(first.certificate_file, contents(second.certificate_file), 0644);
    const auto deadline = std::chrono::steady_clock::now() + 20s;
    for (bool told = false; !told && std::chrono::steady_clock::now() < deadline;) {
        const std::lock_guard held(mutex);
        told = !complaints.empty();
    }
    CHECK(shown_by(server) != contents(second.certificate_file));

    bitdotio::replace_file(first.key_file, contents(second.key_file));
    CHECK(comes_to_show(server, contents(second.certificate_file)));
    CHECK(thread.wait_for(session.query(one)).size() == 1);
    thread.wait_for(session.close());
    const std::lock_guard held(mutex);
    REQUIRE(complaints.size() == 1);
    CHECK(complaints.front().find("not that of the certificate") != std::string::npos);
}

TEST_CASE("a certificate that cannot be used is refused at the start, and said why") {
    const test::temporary_directory scratch;
    const auto good = bitdotio::open_tls_identity(scratch / "tls", "127.0.0.1");
    const auto other = bitdotio::open_tls_identity(scratch / "other", "127.0.0.1");
    const fs::path directory = scratch / "tls";

    local_server_options options = given(good);
    options.private_key_file.clear();
    CHECK(refusal_of(options).find("without its private key") != std::string::npos);
    options = given(good);
    options.certificate_file.clear();
    CHECK(refusal_of(options).find("without its certificate") != std::string::npos);
    options = given(good);
    options.certificate_file = scratch / "none.pem";
    CHECK(refusal_of(options).find("none.pem does not exist") != std::string::npos);
    options = given(good);
    options.certificate_file = good.key_file;
    CHECK(refusal_of(options).find("holds no certificate") != std::string::npos);
    options = given(good);
    options.private_key_file = good.certificate_file;
    fs::permissions(good.certificate_file, fs::perms(0600));
    CHECK(refusal_of(options).find("holds no private key") != std::string::npos);
    options = given(good);
    options.private_key_file = other.key_file;
    CHECK(refusal_of(options).find("not that of the certificate") != std::string::npos);
    fs::permissions(other.key_file, fs::perms(0644));
    CHECK(refusal_of(options).find("chmod 600") != std::string::npos);
    test::issue_certificate(directory, "locked", "password");
    options.certificate_file = directory / "locked.pem";
    options.private_key_file = directory / "locked.key";
    CHECK(refusal_of(options).find("encrypted") != std::string::npos);
    test::issue_server_certificate(directory, "old", "127.0.0.1", directory, true);
    options.certificate_file = directory / "old.pem";
    options.private_key_file = good.key_file;
    CHECK(refusal_of(options).find("expired on 20") != std::string::npos);
}

TEST_CASE(
    "a certificate of our own is made anew when a third of its life is left, its authority not") {
    const test::temporary_directory scratch;
    const fs::path directory = scratch / "tls";
    const auto now = std::chrono::system_clock::now();
    const std::chrono::hours day{24};
    const auto made = bitdotio::open_tls_identity(directory, "127.0.0.1", now);
    const std::string first = contents(made.certificate_file);
    const std::string authority = contents(made.ca_file);
    for (const fs::path& key : {made.key_file, directory / "ca.key"}) {
        CHECK((fs::status(key).permissions() & fs::perms::all) == fs::perms(0600));
    }
    bitdotio::open_tls_identity(directory, "127.0.0.1", now + 260 * day);
    CHECK(contents(made.certificate_file) == first);
    bitdotio::open_tls_identity(directory, "127.0.0.1", now + 270 * day);
    CHECK(contents(made.certificate_file) != first);
    CHECK(contents(made.ca_file) == authority);
    CHECK((fs::status(made.key_file).permissions() & fs::perms::all) == fs::perms(0600));
}

TEST_CASE("a server makes its certificate anew while it runs, and cuts nobody") {
    const test::temporary_directory scratch;
    local_server_options options;
    options.data_directory = scratch / "data";
    options.certificate_check_interval = 30ms;
    test_server server(options);
    const auto name = server.create_database("renewed");
    test::background thread;
    bitdotio::connection session =
        thread.wait_for(bitdotio::connection::open(server.connect_options(name)));
    const std::string first = shown_by(server);

    const fs::path directory = scratch / "data/tls";
    test::issue_server_certificate(directory, "server", "127.0.0.1", directory, true);
    const auto deadline = std::chrono::steady_clock::now() + 20s;
    std::string now = first;
    while (now == first && std::chrono::steady_clock::now() < deadline) {
        now = shown_by(server);
    }
    CHECK(now != first);
    CHECK(now == contents(directory / "server.pem"));
    const bitdotio::statement one("SELECT 1");
    CHECK(thread.wait_for(session.query(one)).size() == 1);
    thread.wait_for(session.close());
    server.create_database("after");  // over HTTPS, verified against the same authority
}
