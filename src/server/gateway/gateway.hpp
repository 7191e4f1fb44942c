// The Postgres endpoint: a TCP server that joins its connections to PostgreSQL.
#pragma once

#include "server/base/tcp_server.hpp"
#include "server/catalog/catalog.hpp"
#include "server/gateway/gateway_session.hpp"
#include "server/gateway/session_registry.hpp"
#include "server/hosts/database_host.hpp"

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/ssl/context.hpp>

#include <chrono>
#include <functional>
#include <memory>
#include <string>

namespace bitdotio {

/// The gateway between clients of the service and the databases' PostgreSQL instances.
///
/// Thread safety: every function may be called from any thread.
/// Lifetime: `tls` must outlive the server; await `server()->close()`.
class gateway {
public:
    /// Prepares `tls` for the protocol: ALPN "postgresql", no session tickets.
    gateway(asio::any_io_executor executor, asio::ssl::context& tls, std::shared_ptr<catalog> known,
            std::shared_ptr<database_host> instances, std::shared_ptr<storage_quota> quota);

    /// Sets how long a client waits for its database to wake; call it before the server opens.
    void wait_for_wakes(std::chrono::milliseconds timeout) { around_->wake_timeout = timeout; }

    /// Sets who is told of sessions let in and refused; call it before the server opens.
    void report_to(std::shared_ptr<event_log> events) {
        around_->events = events;
        server_->report_to(std::move(events));
    }
    /// Sets how long sessions may rest and live; call it before the server opens.
    void limit_sessions(session_limits limits) { around_->limits = limits; }
    /// Sets how many sessions are begun ahead of their clients; call it before the server opens.
    void limit_reserve(reserve_limits limits) { around_->reserve->limit(limits); }

    /// Ends the sessions of a database that wait for clients, because somebody else needs their
    /// place; see session_reserve::make_room.
    std::function<asio::awaitable<bool>(std::string)> room_maker() const {
        return [reserve = around_->reserve](std::string id) {
            return reserve->make_room(std::move(id));
        };
    }

    const std::shared_ptr<tcp_server>& server() const noexcept { return server_; }

    /// Ends the sessions that wait for clients. Call it before the databases stop.
    ///
    /// Cancellation: none.
    asio::awaitable<void> close_reserve() { return around_->reserve->close(); }

    /// Cuts all sessions of the database with this id (TCP reset).
    asio::awaitable<void> hang_up(std::string id);
    /// Delays everything its clients are told by this time.
    asio::awaitable<void> delay(std::string id, std::chrono::milliseconds time);
    /// Refuses further sessions of the database with 53300, or stops refusing them.
    asio::awaitable<void> fill(std::string id, bool full);

private:
    std::shared_ptr<session_registry> registry_;
    std::shared_ptr<gateway_context> around_;
    std::shared_ptr<tcp_server> server_;
};

}  // namespace bitdotio
