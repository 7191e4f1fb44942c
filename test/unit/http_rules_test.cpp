// The headers of answers.
#include "server/api/http_rules.hpp"

#include <doctest/doctest.h>

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

using namespace bitdotio;

namespace {

http_response answer_of(int status, std::string body = "") {
    return http_response(status, std::move(body));
}

bool has(const std::string& header, const std::string& line) {
    return header.find("\r\n" + line + "\r\n") != std::string::npos;
}

}  // namespace

TEST_CASE("an answer's header says its status, its length and whether the connection goes on") {
    const std::string header = encode_header(answer_of(200, "[1, 2]"), 11, true);
    CHECK(header.starts_with("HTTP/1.1 200 OK\r\n"));
    CHECK(header.ends_with("\r\n\r\n"));
    CHECK(has(header, "Content-Type: application/json"));
    CHECK(has(header, "Content-Length: 6"));
    CHECK(header.find("Connection") == std::string::npos);
    CHECK(has(encode_header(answer_of(404), 11, false), "Connection: close"));
    CHECK(has(encode_header(answer_of(401), 11, true), "WWW-Authenticate: Bearer"));
}

TEST_CASE("HTTP/1.0 is answered as such, where keeping a connection has to be said") {
    const std::string header = encode_header(answer_of(200), 10, true);
    CHECK(header.starts_with("HTTP/1.0 200 OK\r\n"));
    CHECK(has(header, "Connection: keep-alive"));
    CHECK(encode_header(answer_of(200), 10, false).find("Connection") == std::string::npos);
}

TEST_CASE("an answer without content has no length, and a stream has its own") {
    CHECK(encode_header(answer_of(204), 11, true).find("Content-Length") == std::string::npos);
    class endless final : public body_stream {
        asio::awaitable<std::string> next() override { co_return "x"; }
    };
    http_response file = answer_of(206);
    file.stream = std::make_shared<endless>();
    file.length = std::uint64_t{1} << 33;
    CHECK(has(encode_header(file, 11, true), "Content-Length: 8589934592"));
}

TEST_CASE("further headers are added beside those of their name, and no value begins another") {
    http_response answer = answer_of(401);
    answer.allow = "GET, HEAD";
    answer.headers = {{"WWW-Authenticate", "Basic"}, {"Retry-After", "1"}};
    const std::string header = encode_header(answer, 11, true);
    CHECK(has(header, "WWW-Authenticate: Bearer\r\nWWW-Authenticate: Basic\r\nRetry-After: 1"));
    CHECK(has(header, "Allow: GET, HEAD"));
    for (const char* const value : {"a\r\nSet-Cookie: b", "a\rb", "a\nb"}) {
        CAPTURE(value);
        answer.headers = {{"Location", value}};
        CHECK_THROWS_AS(encode_header(answer, 11, true), error);
    }
}
