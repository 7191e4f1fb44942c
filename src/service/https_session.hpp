// One kept-alive HTTPS session: sends requests, returns responses.
#pragma once

#include <bitdotio/error.hpp>

#include "base/deadline.hpp"
#include "service/https_address.hpp"
#include "service/https_message.hpp"

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>

#include <memory>
#include <string>

namespace boost::asio::ssl {
class context;
}

namespace bitdotio {

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

    /// Whether the last answer left it open for another request.
    bool is_kept_alive() const noexcept;
    /// Whether it can take another request, as far as is known without asking the peer: it is kept
    /// alive, and the server has said nothing since.
    bool reusable() const noexcept;

private:
    class stream;
    std::shared_ptr<stream> stream_;
};

}  // namespace bitdotio
