// The header of a request, octet by octet.
#include "service/https_message.hpp"
#include "support/text.hpp"

#include <doctest/doctest.h>

#include <string>

namespace {

using namespace bitdotio;
using test::mentions;

https_request usual() {
    https_request request;
    request.target = "/v2beta/db/";
    request.user_agent = "agent/1";
    return request;
}

TEST_CASE("a header says what a request is, and a length where a body may be") {
    const https_address address = https_address::parse("https://[::1]:8443/at");
    https_request request = usual();
    CHECK(header_of(address, request) ==
          "GET /at/v2beta/db/ HTTP/1.1\r\nHost: [::1]:8443\r\nAccept: application/json\r\n"
          "User-Agent: agent/1\r\n\r\n");
    request.method = "POST";
    CHECK(mentions(header_of(address, request), "\r\nContent-Length: 0\r\n\r\n"));
    CHECK(!mentions(header_of(address, request), "Content-Type"));
    request.body = "{}";
    request.authorization = "Bearer v2_x";
    CHECK(header_of(address, request) ==
          "POST /at/v2beta/db/ HTTP/1.1\r\nHost: [::1]:8443\r\nAccept: application/json\r\n"
          "Authorization: Bearer v2_x\r\nUser-Agent: agent/1\r\n"
          "Content-Type: application/json\r\nContent-Length: 2\r\n\r\n");
}

TEST_CASE("what would begin a header of its own is refused, and not repeated") {
    const https_address address = https_address::parse("https://localhost:1");
    struct row {
        std::string https_request::*part;
        std::string value;
        std::string named;
    };
    const row table[] = {
        {&https_request::user_agent, "secret\r\nX: y", "User-Agent"},
        {&https_request::authorization, std::string("Bearer secret\0", 14), "Authorization"},
        {&https_request::target, "/secret HTTP/1.1\r\n", "path"},
        {&https_request::target, "/secret\n", "path"},
    };
    for (const row& one : table) {
        CAPTURE(one.named);
        https_request request = usual();
        request.*one.part = one.value;
        try {
            header_of(address, request);
            FAIL("it was taken");
        } catch (const error& failure) {
            CHECK(failure.code() == errc::bad_input);
            CHECK(failure.outcome() == outcome::not_sent);
            CHECK(mentions(failure.what(), one.named));
            CHECK(!mentions(failure.what(), "secret"));
        }
    }
}

}  // namespace
