// Kept-alive HTTPS sessions with one host, shared by the calls of a client.
#pragma once

#include "service/https_session.hpp"

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>

#include <array>
#include <atomic>
#include <cstddef>
#include <memory>

namespace bitdotio {

/// Thread safety: its functions may be called from any thread.
/// Lifetime: calls under way keep it alive.
class https_pool : public std::enable_shared_from_this<https_pool> {
public:
    https_pool(asio::any_io_executor executor, https_address address,
               std::shared_ptr<boost::asio::ssl::context> tls);
    ~https_pool();
    https_pool(const https_pool&) = delete;
    https_pool& operator=(const https_pool&) = delete;

    /// Sends a request over an idle session, or a new one; a session that the server closed in the
    /// meantime is replaced silently.
    ///
    /// Errors and cancellation: those of https_session::request.
    asio::awaitable<https_response> request(https_request request, time_point deadline);

    /// Closes the idle sessions; those in use close when they are done.
    void close() noexcept;

private:
    using session = std::unique_ptr<https_session>;

    session take();
    void keep(session used) noexcept;
    void drop_idle() noexcept;

    // More sessions than this are a burst, and not worth keeping.
    static constexpr std::size_t most_idle = 8;

    const asio::any_io_executor executor_;
    const https_address address_;
    const std::shared_ptr<boost::asio::ssl::context> tls_;
    // Each place is empty or owns a session. A call takes the first that it finds, and puts it into
    // the first place that is empty, so that few sessions serve few calls.
    std::array<std::atomic<https_session*>, most_idle> idle_{};
    std::atomic<bool> closed_{false};
};

}  // namespace bitdotio
