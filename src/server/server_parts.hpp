// The parts of a server, and how they hang together.
#pragma once

#include <bitdotio/local_server.hpp>

#include "base/deadline.hpp"
#include "base/strand.hpp"
#include "server/api/query_sessions.hpp"
#include "server/base/disk_space.hpp"
#include "server/base/event_log.hpp"
#include "server/catalog/catalog.hpp"
#include "server/catalog/storage_quota.hpp"
#include "server/gateway/gateway.hpp"
#include "server/hosts/database_host.hpp"
#include "server/jobs/job_queue.hpp"
#include "server/tls/certificate_store.hpp"

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/steady_timer.hpp>

#include <memory>
#include <optional>
#include <string>

namespace bitdotio {

class job_routes;

/// All parts of one server. They are public: local_server's verbs act on them.
///
/// Thread safety: `start`, `stop` on `strand`; the members are set when `start` has returned, and
///     each says itself what it may be asked from where.
/// Lifetime: held by shared_ptr; await `stop`.
class server_parts : public std::enable_shared_from_this<server_parts> {
public:
    server_parts(asio::any_io_executor executor, local_server_options wanted);
    ~server_parts();
    server_parts(const server_parts&) = delete;
    server_parts& operator=(const server_parts&) = delete;

    /// Opens all parts, or none: what was opened is closed if one fails.
    ///
    /// Errors: those of local_server::start.
    asio::awaitable<void> start();
    /// Closes all parts; returns when they are closed, whoever asked first.
    asio::awaitable<void> stop();
    /// Errors: errc::not_found.
    asio::awaitable<std::string> id_of(database_name name) const;

    const local_server_options options;
    bitdotio::strand strand;
    asio::steady_timer stopped;  // cancelled when the server has stopped
    const std::shared_ptr<event_log> events;
    std::shared_ptr<certificate_store> certificate;
    asio::ssl::context http_tls;
    asio::ssl::context pg_tls;
    std::shared_ptr<bitdotio::catalog> catalog;
    std::shared_ptr<database_host> databases;
    std::shared_ptr<storage_quota> quota;
    std::shared_ptr<query_sessions> sessions;
    std::shared_ptr<disk_space> disk;
    std::shared_ptr<job_queue> jobs;
    std::shared_ptr<tcp_server> http;
    std::optional<gateway> postgres;
    bool profile_written = false;

    std::string api_url;
    std::string host;
    std::string ca_file;

private:
    enum class state { running, stopping, stopped };

    asio::awaitable<void> open_parts();
    asio::awaitable<std::shared_ptr<database_host>> open_host();
    asio::awaitable<void> remove_orphans();
    void open_gateway();
    asio::awaitable<void> open_certificate();
    asio::awaitable<std::shared_ptr<const job_routes>> open_jobs();
    job_limits job_limits_of() const;
    query_session_limits kept_sessions() const;
    asio::awaitable<void> write_profile();
    asio::awaitable<void> close_parts();

    state state_ = state::running;
};

}  // namespace bitdotio
