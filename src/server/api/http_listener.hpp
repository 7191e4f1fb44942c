// Serves HTTPS/1.1: passes requests to a handler and sends its answers.
#pragma once

#include "server/api/router.hpp"
#include "server/base/tcp_server.hpp"

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace boost::asio::ssl {
class context;
}

namespace bitdotio {

/// A body that comes piece by piece, so that memory does not depend on its size.
class body_stream {
public:
    body_stream() = default;
    virtual ~body_stream() = default;
    body_stream(const body_stream&) = delete;
    body_stream& operator=(const body_stream&) = delete;

    /// The next bytes; none at the end, and again after it.
    virtual asio::awaitable<std::string> next() = 0;
};

/// A request as routes need it. Headers that are not there are empty.
struct http_request {
    http_request() = default;

    std::string method;
    std::string target;  ///< path and query, still percent-encoded
    route to;            ///< what method and target mean
    std::string host;
    std::string authorization;
    std::string content_type;
    std::string range;
    std::string if_range;
    std::string peer;  ///< the client's address, without the port
    std::string body;
    /// Receives the account's name once the key is known, for the log.
    std::shared_ptr<std::string> account;
    /// Replaces `body` if the route says so; lives until the answer is returned. Its reader limits
    /// it; a stream that is not read to its end ends the connection.
    std::shared_ptr<body_stream> stream;
};

/// An answer; its body is JSON unless it says something else.
struct http_response {
    http_response() = default;
    http_response(int status_, std::string body_) : status(status_), body(std::move(body_)) {}

    int status = 200;
    std::string body;
    std::string allow;  ///< the header of that name, left out if empty
    std::string content_type = "application/json";
    std::vector<std::pair<std::string, std::string>> headers;  ///< further ones
    /// Replaces `body`: exactly `length` bytes.
    std::shared_ptr<body_stream> stream;
    std::uint64_t length = 0;
};

using http_handler = std::function<asio::awaitable<http_response>(http_request)>;

/// Makes an HTTPS server: connections are kept alive; headers, bodies and times are limited.
///
/// Parameters: `handler` runs on the connection's strand; what it throws is answered with 500.
///     Bodies that are not streamed are limited to 8 MiB.
/// Lifetime: `tls` must outlive the server.
std::shared_ptr<tcp_server> make_http_server(asio::any_io_executor executor,
                                             asio::ssl::context& tls, http_handler handler);

}  // namespace bitdotio
