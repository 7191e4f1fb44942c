// HTTPS/1.1 at the door: what arrives as a request is handed on, what comes back is sent.
#pragma once

#include "server/door.hpp"

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace boost::asio::ssl {
class context;
}

namespace bitdotio {

/// A request as routes need it.
struct http_request {
    http_request() = default;

    std::string method;
    std::string target;         ///< path and query, still percent-encoded
    std::string authorization;  ///< the header of that name, empty if there is none
    std::string peer;           ///< the client's address, without the port
    std::string body;
};

/// An answer; its body is JSON.
struct http_response {
    http_response() = default;
    http_response(int status_, std::string body_) : status(status_), body(std::move(body_)) {}

    int status = 200;
    std::string body;
    std::string allow;  ///< the header of that name, left out if empty
    std::vector<std::pair<std::string, std::string>> headers;  ///< further ones
};

using http_handler = std::function<asio::awaitable<http_response>(http_request)>;

/// A door for HTTPS: connections are kept alive, headers, bodies and patience are limited.
///
/// Parameters: `handler` runs on the connection's strand; what it throws is answered with 500.
/// Lifetime: `tls` must outlive the door.
std::shared_ptr<door> make_http_door(asio::any_io_executor executor, asio::ssl::context& tls,
                                     http_handler handler);

}  // namespace bitdotio
