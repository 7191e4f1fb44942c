// Files fetched from web servers: which certificates and addresses are accepted.
#include "server/formats/job_failure.hpp"
#include "server/jobs/url_fetch.hpp"
#include "server/tls/tls_identity.hpp"
#include "support/certificates.hpp"
#include "support/child.hpp"
#include "support/environment.hpp"
#include "support/run.hpp"
#include "support/web_server.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <fstream>
#include <sstream>

using namespace bitdotio;
using namespace std::string_literals;

namespace {

bool anywhere(const asio::ip::address&) {
    return true;
}

// As if one address of this machine were on the public internet and all others were not.
bool only_one(const asio::ip::address& address) {
    return address == asio::ip::make_address("127.0.0.1");
}

struct fixture {
    fixture() { limits.largest = 1'000; }

    const test::temporary_directory directory;
    worker_threads threads{1};
    fetch_limits limits;

    // The file's content, or why it did not come.
    std::string of(const std::string& url) {
        const std::filesystem::path file = directory / "file";
        std::filesystem::remove(file);
        try {
            test::run(fetch_url(threads, url, file, limits));
        } catch (const job_failure& failure) {
            return failure.type() + ": " + failure.what();
        }
        std::stringstream text;
        text << std::ifstream(file, std::ios::binary).rdbuf();
        return text.str();
    }
};

std::string file_or_end(const std::string& line) {
    // Without a length only its end says that it is whole, and over TLS this needs close_notify.
    if (line.starts_with("GET /endless ")) return "HTTP/1.1 200 OK\r\n\r\na\n1\n";
    return test::web_file("a\n1\n");
}

}  // namespace

TEST_CASE("https is fetched from whom an authority vouches for, and from nobody else") {
    fixture one;
    one.limits.may_reach = anywhere;
    const tls_identity known = open_tls_identity(one.directory / "known", "127.0.0.1");
    const test::web_server web(file_or_end, known.certificate_file, known.key_file);
    const std::string refused = "download_failed: the file cannot be fetched from 127.0.0.1: TLS";
    CHECK(one.of(web.url("/")).starts_with(refused));
    {
        const test::scoped_variable trust("SSL_CERT_FILE", known.ca_file.string());
        CHECK(one.of(web.url("/")) == "a\n1\n");
        CHECK(one.of(web.url("/", "localhost")) == "a\n1\n");
        CHECK(one.of(web.url("/endless")).find("the file breaks off") != std::string::npos);
    }
    one.limits.ca_file = known.ca_file.string();
    CHECK(one.of(web.url("/")) == "a\n1\n");

    const tls_identity stranger = open_tls_identity(one.directory / "stranger", "127.0.0.1");
    const test::web_server unknown(file_or_end, stranger.certificate_file, stranger.key_file);
    CHECK(one.of(unknown.url("/")).starts_with(refused));

    const std::filesystem::path place = known.ca_file.parent_path();
    const auto with_certificate = [&](const char* host, bool expired) {
        test::issue_server_certificate(place, "other", host, place, expired);
        const test::web_server other(file_or_end, place / "other.pem", known.key_file);
        return one.of(other.url("/", "localhost"));
    };
    CHECK(with_certificate("localhost", false) == "a\n1\n");
    CHECK(with_certificate("localhost", true).find("TLS") != std::string::npos);
    CHECK(with_certificate("elsewhere.example", false).find("TLS") != std::string::npos);
}

TEST_CASE("a redirect leads nowhere that a first address may not be") {
    fixture one;
    one.limits.may_reach = only_one;
    std::string target;
    int asked = 0;
    const test::web_server web([&](const std::string& line) {
        ++asked;
        if (line.starts_with("GET /go ")) return test::web_redirect(target);
        return test::web_file("reached");
    });
    target = web.url("/there");
    CHECK(one.of(web.url("/go")) == "reached");
    asked = 0;
    for (const char* host : {"127.0.0.2", "[::1]", "2130706434", "0x7f000002", "127.2",
                             "[::ffff:127.0.0.2]", "0.0.0.0", "10.0.0.1", "169.254.169.254"}) {
        CAPTURE(host);
        for (const std::string& other :
             {web.url("/x", host), "//" + web.url("/", host).substr(7), "http://"s + host + "/"}) {
            target = other;
            const std::string refused = one.of(web.url("/go"));
            CHECK(refused.starts_with("download_failed: "));
            CHECK(refused.find("the public internet") != std::string::npos);
        }
    }
    CHECK(asked == 27);
    for (const char* other : {"ftp://127.0.0.1/", "file:///etc/passwd", "http://u:p@127.0.0.1/",
                              "http://", "gopher://127.0.0.1"}) {
        CAPTURE(other);
        target = other;
        CHECK(one.of(web.url("/go")).starts_with("download_failed: "));
    }
}

TEST_CASE("a fetch has its limits: how long it takes, how often it is sent on, how much comes") {
    fixture one;
    one.limits.may_reach = anywhere;
    one.limits.redirects = 2;
    const test::web_server web([&](const std::string& line) {
        const auto asks = [&](const char* path) { return line.starts_with("GET "s + path + " "); };
        if (asks("/3")) return test::web_redirect("/2");
        if (asks("/2")) return test::web_redirect("/1");
        if (asks("/1")) return test::web_redirect("/0");
        if (asks("/long")) return test::web_file(std::string(1'001, 'x'));
        if (asks("/chunks")) {
            std::string body = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
            for (int i = 0; i < 11; ++i)
                body += "64\r\n" + std::string(100, 'x') + "\r\n";
            return body + "0\r\n\r\n";
        }
        if (asks("/packed")) {
            return "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 1\r\n\r\nx"s;
        }
        if (asks("/header")) return "HTTP/1.1 200 OK\r\nX: " + std::string(100'000, 'x');
        if (asks("/nothing")) return ""s;
        return test::web_file(std::string(1'000, 'x'));
    });
    CHECK(one.of(web.url("/2")) == std::string(1'000, 'x'));
    CHECK(one.of(web.url("/3")).find("more than 2 times") != std::string::npos);
    CHECK(one.of(web.url("/long")) == "too_large: the file is longer than 1000 bytes");
    CHECK(one.of(web.url("/chunks")) == "too_large: the file is longer than 1000 bytes");
    CHECK(one.of(web.url("/packed")).find("gzip") != std::string::npos);
    CHECK(one.of(web.url("/header")).starts_with("download_failed: "));
    CHECK(one.of(web.url("/nothing")).starts_with("download_failed: "));

    // The kernel accepts the connection, and no program ever answers.
    asio::io_context io;
    const asio::ip::tcp::acceptor silent(io, {asio::ip::make_address("127.0.0.1"), 0});
    one.limits.longest = std::chrono::seconds(1);
    const auto begin = std::chrono::steady_clock::now();
    for (const std::string scheme : {"http", "https"}) {
        CHECK(one.of(scheme + "://127.0.0.1:" + std::to_string(silent.local_endpoint().port())) ==
              "download_failed: the file did not come within 1 seconds");
    }
    CHECK(std::chrono::steady_clock::now() - begin < std::chrono::seconds(10));
    one.limits.longest = std::chrono::minutes(15);
    one.limits.longest_piece = std::chrono::seconds(1);
    for (const std::string scheme : {"http", "https"}) {
        CHECK(one.of(scheme + "://127.0.0.1:" + std::to_string(silent.local_endpoint().port()))
                  .find("it is too slow") != std::string::npos);
    }
}
