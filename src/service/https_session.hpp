// One kept-alive HTTPS session: sends requests, returns responses.
#pragma once

#include <bitdotio/error.hpp>

#include "base/deadline.hpp"
#include "service/https_address.hpp"

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

namespace boost::asio::ssl {
class context;
}

namespace bitdotio {

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

/// The TLS settings that all sessions of a client share: whom to trust.
///
/// Parameters: `ca_file` in PEM; empty for the authorities of the system.
/// Errors: errc::bad_input naming the file if it cannot be read.
std::shared_ptr<boost::asio::ssl::context> make_client_tls(const std::string& ca_file);

/// Thread safety: its functions may be called from any thread, one request at a time.
class https_session {
public:
    https_session(asio::any_io_executor executor, https_address address,
                  std::shared_ptr<boost::asio::ssl::context> tls);
    ~https_session();

    /// Sends a request and returns the whole answer, connecting first if it is new.
    ///
    /// Errors: errc::connect_failed and tls_failed with outcome not_sent; errc::connection_lost
    ///     and timeout with outcome unknown once anything may have been sent, timeout also if
    ///     the server sends or takes no 256 KiB within two minutes; errc::result_too_large for a
    ///     body of more than 64 MiB that is not for a sink; errc::protocol_violated for an answer
    ///     that is not HTTP, or whose header or other parts around its body are out of bounds;
    ///     what source and sink throw.
    /// Cancellation: terminal, partial, total; the session cannot be used again.
    asio::awaitable<https_response> request(https_request request, time_point deadline);

    /// Whether it can take another request, as far as is known without asking the peer.
    bool reusable() const noexcept;

private:
    class stream;
    std::shared_ptr<stream> stream_;
};

}  // namespace bitdotio
