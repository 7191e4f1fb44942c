// What a session needs before it opens: an address, and whom to trust.
#include "service/https_session.hpp"
#include "support/child.hpp"
#include "support/text.hpp"

#include <doctest/doctest.h>

#include <cstdint>
#include <string>

namespace {

using namespace bitdotio;
using test::mentions;

TEST_CASE("an address is read from a URL") {
    struct row {
        std::string url;
        std::string host;
        std::uint16_t port;
        std::string path;
    };
    const row table[] = {
        {"https://api.bit.io", "api.bit.io", 443, ""},
        {"https://localhost:1", "localhost", 1, ""},
        {"https://localhost:65535/", "localhost", 65535, ""},
        {"https://localhost/a/b//", "localhost", 443, "/a/b"},
        {"https://127.0.0.1:8443/v2", "127.0.0.1", 8443, "/v2"},
        {"https://[::1]:8443/v2", "::1", 8443, "/v2"},
        {"https://[::1]", "::1", 443, ""},
    };
    for (const row& one : table) {
        CAPTURE(one.url);
        const https_address address = https_address::parse(one.url);
        CHECK(address.host == one.host);
        CHECK(address.port == one.port);
        CHECK(address.path == one.path);
    }
}

TEST_CASE("a malformed URL is refused with the form it should have") {
    for (const std::string url :
         {"", "localhost", "http://localhost", "https:/localhost", "https://", "https://:1",
          "https://localhost:", "https://localhost:0", "https://localhost:65536",
          "https://localhost:x", "https://localhost:1x", "https://a b", "https://key@localhost",
          "https://localhost?x", "https://localhost#x"}) {
        CAPTURE(url);
        try {
            https_address::parse(url);
            FAIL("it was taken");
        } catch (const error& failure) {
            CHECK(failure.code() == errc::bad_input);
            CHECK(mentions(failure.what(), "\"" + url + "\""));
            CHECK(mentions(failure.what(), "https://host:port"));
        }
    }
}

TEST_CASE("a CA file that cannot be read is named") {
    const test::temporary_directory here;
    const std::string file = (here.path() / "none.pem").string();
    try {
        make_client_tls(file);
        FAIL("it was taken");
    } catch (const error& failure) {
        CHECK(failure.code() == errc::bad_input);
        CHECK(mentions(failure.what(), file));
    }
}

}  // namespace
