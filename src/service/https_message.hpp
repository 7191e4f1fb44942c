// A request of HTTP and its answer, and the header that a request is sent with.
#pragma once

#include <bitdotio/error.hpp>

#include "service/https_address.hpp"

#include <boost/asio/awaitable.hpp>

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

namespace bitdotio {

namespace asio = boost::asio;

/// A body that comes from somewhere piece by piece.
class body_source {
public:
    body_source() = default;
    virtual ~body_source() = default;
    body_source(const body_source&) = delete;
    body_source& operator=(const body_source&) = delete;

    /// The number of bytes.
    virtual std::uint64_t size() const = 0;
    /// The next bytes; none at the end.
    virtual asio::awaitable<std::string> next() = 0;
};

/// Where a body goes piece by piece.
class body_sink {
public:
    body_sink() = default;
    virtual ~body_sink() = default;
    body_sink(const body_sink&) = delete;
    body_sink& operator=(const body_sink&) = delete;

    virtual asio::awaitable<void> write(std::string piece) = 0;
};

struct https_request {
    https_request() = default;

    std::string method = "GET";
    std::string target;         ///< path and query, percent-encoded
    std::string authorization;  ///< not sent if it is empty
    std::string user_agent;
    std::string body;  ///< none is sent if it is empty
    std::string content_type = "application/json";
    std::shared_ptr<body_source> source;  ///< in place of `body`
    /// Takes the body of an answer with status 200, of any size.
    std::shared_ptr<body_sink> sink;
};

struct https_response {
    https_response() = default;

    int status = 0;
    std::string body;
    std::string server;    ///< what runs there, as it calls itself
    std::string location;  ///< where a redirection leads, without what may be secret in it
    std::optional<std::chrono::seconds> retry_after;
};

/// The header of a request to `address`, octet by octet, with the empty line that ends it.
///
/// Errors: errc::bad_input with outcome not_sent if a part has a line break or another control
///     character, which would begin a header of its own; the error names the part and does not
///     repeat it.
std::string header_of(const https_address& address, const https_request& request);

}  // namespace bitdotio
