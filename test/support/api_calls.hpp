// Handwritten calls of the HTTP API with one key, and their answers.
#pragma once

#include "support/test_server.hpp"

#include <boost/json.hpp>

#include <string>
#include <utility>

namespace test {

/// Speaks to a server with one key. `headers` are added as they stand. Answers are not interpreted,
/// so that tests see the wire.
class api_calls {
public:
    /// With the server's first key.
    explicit api_calls(const test_server& server) : api_calls(server, server.key().reveal()) {}
    api_calls(const test_server& server, std::string key)
        : port_(server.api_port()), ca_file_(server.ca_file()), key_(std::move(key)) {}

    http_answer operator()(const std::string& method, const std::string& target,
                           const std::string& body = "", const std::string& headers = "") const {
        std::string request = method + " /v2beta" + target +
                              " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n" + headers;
        if (!key_.empty()) request += "Authorization: Bearer " + key_ + "\r\n";
        request += "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
        return https(port_, ca_file_, request);
    }

    http_answer query(const std::string& database, const std::string& sql) const {
        const boost::json::object body{{"database_name", database}, {"query_string", sql}};
        return (*this)("POST", "/query", boost::json::serialize(body));
    }

private:
    std::uint16_t port_;
    std::string ca_file_;
    std::string key_;
};

inline boost::json::value body_of(const http_answer& answer) {
    return boost::json::parse(answer.body);
}

/// A string field of the answer's object.
inline std::string field_of(const http_answer& answer, const char* name) {
    return boost::json::value_to<std::string>(body_of(answer).at(name));
}

}  // namespace test
