// One kept-alive HTTPS session: request there, response back.
#pragma once

#include <bitdotio/error.hpp>

#include "deadline.hpp"

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

/// Where an API is.
struct https_address {
    https_address() = default;

    /// Takes "https://host[:port][/path]", also with an IPv6 address in brackets.
    ///
    /// Errors: errc::bad_input naming what is wrong.
    static https_address parse(const std::string& url);

    std::string host;
    std::uint16_t port = 443;
    std::string path;  ///< before every target; without a slash at its end
};

struct https_request {
    https_request() = default;

    std::string method = "GET";
    std::string target;  ///< path and query, percent-encoded
    std::string authorization;
    std::string user_agent;
    std::string body;  ///< JSON; none is sent if it is empty
};

struct https_response {
    https_response() = default;

    int status = 0;
    std::string body;
    std::optional<std::chrono::seconds> retry_after;
};

/// What all sessions of a client share: whom to trust.
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
    ///     and timeout with outcome unknown once anything may have been sent; errc::
    ///     protocol_violated for an answer that is not HTTP or larger than 64 MiB.
    /// Cancellation: terminal, partial, total; the session cannot be used again.
    asio::awaitable<https_response> request(https_request request, time_point deadline);

    /// Whether it can take another request, as far as is known without asking the peer.
    bool reusable() const noexcept;

private:
    class stream;
    std::shared_ptr<stream> stream_;
};

}  // namespace bitdotio
