// URLs are taken apart, or refused by name.
#include "base/http_url.hpp"

#include <bitdotio/error.hpp>

#include <doctest/doctest.h>

#include <string>

using namespace bitdotio;

TEST_CASE("a URL says where to connect, and what to ask for there") {
    struct {
        const char* url;
        bool secure;
        const char* host;
        int port;
        const char* target;
    } const urls[] = {
        {"https://host", true, "host", 443, "/"},
        {"http://host", false, "host", 80, "/"},
        {"https://host:8443/a/b?c=d#e", true, "host", 8443, "/a/b?c=d"},
        {"https://host?c", true, "host", 443, "/?c"},
        {"https://host#e", true, "host", 443, "/"},
        {"https://[::1]:1/x", true, "::1", 1, "/x"},
        {"https://[fe80::1]", true, "fe80::1", 443, "/"},
        {"http://host/a@b:c", false, "host", 80, "/a@b:c"},
    };
    for (const auto& one : urls) {
        CAPTURE(one.url);
        const http_url found = http_url::parse(one.url);
        CHECK(found.secure == one.secure);
        CHECK(found.host == one.host);
        CHECK(found.port == one.port);
        CHECK(found.target == one.target);
    }
}

TEST_CASE("what is no such URL is refused, and not repeated") {
    for (const char* url : {"",
                            "host",
                            "//host",
                            "ftp://host",
                            "https:/host",
                            "https://",
                            "https:///x",
                            "http://:80",
                            "https://host:",
                            "https://host:0",
                            "https://host:65536",
                            "https://host:-1",
                            "https://host:1x",
                            "https://[::1",
                            "https://[::1]x",
                            "https://[]",
                            "https://a]b",
                            "https://user@host",
                            "https://user:word@host/",
                            "https://a b",
                            "https://a\\b",
                            "https://a\r\nb",
                            "https://a/\x7f"}) {
        CAPTURE(url);
        bool refused = false;
        try {
            http_url::parse(url);
        } catch (const error& failure) {
            refused = failure.code() == errc::bad_input;
            CHECK(std::string(failure.what()).find("word") == std::string::npos);
        }
        CHECK(refused);
    }
}
