// The gateway's connection to a database's PostgreSQL: finds its host, secures it, logs in.
#pragma once

#include "base/deadline.hpp"
#include "server/base/tls_socket.hpp"
#include "server/gateway/startup_packet.hpp"
#include "server/hosts/database_host.hpp"

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/ssl/context.hpp>

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace bitdotio {

/// Where one server is, and how the connection to it is secured.
struct backend_address {
    backend_address() = default;

    asio::generic::stream_protocol::endpoint endpoint;
    std::string host;  ///< as its certificate must name it; empty for a Unix socket
    tls_mode mode = tls_mode::disable;
    std::shared_ptr<asio::ssl::context> tls;
};

/// What a server says when a session begins, from AuthenticationOk on; or its refusal.
struct backend_greeting {
    backend_greeting() = default;

    std::string bytes;
    /// The key that cancels the session, and its place in `bytes`, if the server sent one.
    std::optional<cancel_key> key;
    std::size_t key_at = 0;
};

/// A stream of bytes to PostgreSQL, once `open` has begun a session.
///
/// Thread safety: only on its executor, a strand.
/// See: PostgreSQL manual, 55.2.1 "Start-up".
class backend_link {
public:
    using executor_type = tls_socket::executor_type;

    explicit backend_link(asio::any_io_executor executor)
        : stream_(tls_socket::socket(std::move(executor))) {}

    /// Begins the session that `wish` asks for, as the user and in the database of `where`, at the
    /// first of its hosts that accepts it and is not a standby. If `where` waits, all hosts are
    /// tried again until then.
    ///
    /// A server may ask for no password, for a clear one, or for SCRAM-SHA-256. If it refuses for
    /// its own reasons, the refusal is the greeting, for the client to read.
    ///
    /// Errors: errc::connection_lost saying how the last server failed; errc::connect_failed,
    ///     errc::tls_failed and errc::protocol_violated if waiting is of no use.
    /// Cancellation: terminal.
    asio::awaitable<backend_greeting> open(session_target where, startup_message wish,
                                           time_point deadline);

    /// Where the session is.
    const backend_address& address() const noexcept { return address_; }

    /// Whether the server has said nothing that was not read, and has not hung up.
    bool is_silent() noexcept;

    /// Asks the server there to stop what a session runs; returns when it has taken the request.
    asio::awaitable<void> cancel(backend_address where, cancel_key key);

    executor_type get_executor() noexcept { return stream_.get_executor(); }
    tls_socket& stream() noexcept { return stream_; }
    void shutdown(asio::socket_base::shutdown_type what, boost::system::error_code& failure) {
        stream_.plain().shutdown(what, failure);
    }
    void close(boost::system::error_code& failure) { stream_.plain().close(failure); }

private:
    struct attempt;

    asio::awaitable<std::vector<backend_address>> resolve(const session_target& where,
                                                          host_port host);
    asio::awaitable<bool> try_all(attempt& now, time_point deadline);
    asio::awaitable<bool> try_one(attempt& now, backend_address where, time_point deadline);
    asio::awaitable<void> begin(attempt& now, backend_address where, int asked);
    asio::awaitable<void> connect(backend_address where);
    asio::awaitable<void> secure();
    asio::awaitable<void> authenticate(attempt& now);
    asio::awaitable<void> authenticate_by_scram(attempt& now, std::string password);
    asio::awaitable<void> read_greeting(attempt& now);
    asio::awaitable<std::string> receive(attempt& now);
    asio::awaitable<void> send(std::string bytes);

    tls_socket stream_;
    backend_address address_;
};

}  // namespace bitdotio
