// Serves HTTPS/1.1: lets requests be judged by their headers, then answered.
#pragma once

#include "server/api/router.hpp"
#include "server/base/tcp_server.hpp"
#include "server/catalog/catalog_rules.hpp"

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
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
    std::chrono::steady_clock::time_point begun;
    /// Who asks, once the request is admitted; nobody for what needs no key.
    std::optional<caller> who;
    /// How long the body is, if it says so.
    std::optional<std::uint64_t> declared;
    std::string body;
    /// Becomes true if the client goes while its request is under way.
    std::shared_ptr<bool> gone = std::make_shared<bool>(false);
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

/// What a server does with its requests.
class http_service {
public:
    http_service() = default;
    virtual ~http_service() = default;
    http_service(const http_service&) = delete;
    http_service& operator=(const http_service&) = delete;

    /// Judges a request by its header, before a byte of its body is read, and notes in it who asks.
    /// Returns the refusal if there is one.
    virtual asio::awaitable<std::optional<http_response>> admit(http_request& request) const = 0;
    /// Answers an admitted request. It is cancelled if the client goes meanwhile, see
    /// `serves_gone`.
    virtual asio::awaitable<http_response> answer(http_request request) const = 0;
};

/// Whether a call is carried out although its client has gone: all are but those that wait long,
/// for a statement, for a database to wake or for a body.
bool serves_gone(api_call call) noexcept;

class body_budget;

/// How long a client may take. None of these starts anew with a byte that comes: a client that
/// sends, or takes, a byte now and then is cut like one that is silent.
struct http_times {
    http_times() = default;

    /// For a handshake, one header, one body in memory, or one answer from memory.
    std::chrono::milliseconds exchange{30'000};
    /// Between two requests: longer than clients keep their connections, so that clients hang up
    /// and no request meets a server that is closing.
    std::chrono::milliseconds idle{90'000};
    /// For each piece of a streamed body, either way.
    std::chrono::milliseconds piece{120'000};
    /// How long a request waits for room for its body.
    std::chrono::milliseconds room{10'000};
    /// How long a client may go on with a body that was refused before the connection is cut.
    std::chrono::milliseconds refused{10'000};
};

/// Makes an HTTPS server: connections are kept alive; headers, bodies, times and memory are
/// limited, see http_bounds.
///
/// A client that ends its side of the connection, or of TLS, while its request is under way is
/// taken for gone within two seconds, as by most servers.
///
/// Parameters: `service` runs on the connection's strand; what it throws is answered with 500.
///     `memory` is for the bodies of all its connections together, as far as they are not streamed.
/// Lifetime: `tls` must outlive the server.
std::shared_ptr<tcp_server> make_http_server(asio::any_io_executor executor,
                                             asio::ssl::context& tls,
                                             std::shared_ptr<const http_service> service,
                                             std::shared_ptr<body_budget> memory,
                                             http_times times = http_times());

}  // namespace bitdotio
