// Passes bytes between two streams, until one side ends or the session's time is up.
#pragma once

#include "server/base/tls_socket.hpp"
#include "server/gateway/backend_link.hpp"
#include "server/gateway/session_watch.hpp"

#include <boost/asio/awaitable.hpp>
#include <boost/asio/steady_timer.hpp>

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>

namespace bitdotio {

namespace asio = boost::asio;

/// How long PostgreSQL's answers are held back, in milliseconds: 0 except in tests.
using answer_delay = std::atomic<std::int64_t>;

/// Passes the bytes of one session across.
///
/// Thread safety: only on the strand of its streams.
/// Lifetime: the streams must outlive it.
class splice {
public:
    /// Parameters: `watch` has seen what went across before; `count_rows` is given the rows that
    ///     went to the client, from time to time.
    splice(tls_socket& client, backend_link& backend, session_watch watch,
           std::shared_ptr<const answer_delay> delay, std::function<void(std::int64_t)> count_rows);

    /// Returns when the client has all that `backend` said, when the client is gone, or when the
    /// session has to end: then `client` waits for our own last message, and PostgreSQL has
    /// nothing under way, except after a flood. A client that only stops sending still gets its
    /// answers: one that says so by TLS's close_notify, and has not said goodbye before.
    ///
    /// Cancellation: terminal; both streams are then to be closed.
    asio::awaitable<session_watch::ending> run();

    /// Makes `run` return as soon as no statement is running, because the server is stopping.
    void retire();

private:
    enum class part { upstream, downstream, limits, client_gone };
    struct until_over;

    asio::awaitable<part> pump_up();
    asio::awaitable<part> pump_down();
    asio::awaitable<part> keep_limits();
    asio::awaitable<void> hold_back();
    void count();

    tls_socket& client_;
    backend_link& backend_;
    session_watch watch_;
    const std::shared_ptr<const answer_delay> delay_;
    const std::function<void(std::int64_t)> count_rows_;
    asio::steady_timer alarm_;  ///< cancelled when the limits must be checked
    session_watch::ending ending_ = session_watch::ending::none;
};

}  // namespace bitdotio
