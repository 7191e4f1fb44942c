// Kept-alive HTTPS sessions with one host, shared by the calls of a client.
#pragma once

#include "service/https_session.hpp"

#include <boost/asio/strand.hpp>

#include <memory>
#include <vector>

namespace bitdotio {

/// Thread safety: its functions may be called from any thread.
/// Lifetime: calls under way keep it alive.
class https_pool : public std::enable_shared_from_this<https_pool> {
public:
    https_pool(asio::any_io_executor executor, https_address address,
               std::shared_ptr<boost::asio::ssl::context> tls);

    /// Sends a request over an idle session, or a new one; a session that the server closed in the
    /// meantime is replaced silently.
    ///
    /// Errors and cancellation: those of https_session::request.
    asio::awaitable<https_response> request(https_request request, time_point deadline);

    /// Closes the idle sessions; those in use close when they are done.
    asio::awaitable<void> close();

private:
    using session = std::unique_ptr<https_session>;

    asio::awaitable<session> take();
    void keep(session used);
    asio::awaitable<void> do_close();

    asio::any_io_executor executor_;
    asio::strand<asio::any_io_executor> strand_;
    const https_address address_;
    const std::shared_ptr<boost::asio::ssl::context> tls_;
    std::vector<session> idle_;
    bool closed_ = false;
};

}  // namespace bitdotio
