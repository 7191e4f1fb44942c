// Knows which sessions each database has, and where a cancel request has to go.
#pragma once

#include "base/deadline.hpp"
#include "base/strand.hpp"
#include "server/base/tcp_server.hpp"
#include "server/gateway/backend_link.hpp"
#include "server/gateway/splice.hpp"
#include "server/gateway/startup_packet.hpp"

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace bitdotio {

/// How tests have the gateway treat a database's clients.
struct treatment {
    answer_delay delay{0};
    std::atomic<bool> full{false};  ///< further sessions are refused
};

/// The sessions of the gateway, and the keys their clients cancel them by: PostgreSQL's own process
/// number, as pg_stat_activity and pg_terminate_backend know it, with a secret of the gateway's.
/// Databases may have processes of one number: the secret tells them apart.
///
/// Thread safety: every function may be called from any thread.
/// Lifetime: held by shared_ptr.
class session_registry : public std::enable_shared_from_this<session_registry> {
public:
    explicit session_registry(asio::any_io_executor executor) : strand_(executor) {}

    /// Where the session of a key really is.
    struct backend {
        backend() = default;

        backend_address server;
        cancel_key key;
    };

    /// Notes a session of the database `id`, and returns its number here.
    asio::awaitable<std::uint64_t> enter(std::weak_ptr<server_connection> session, std::string id);
    /// Notes where the session is, and returns the key by which its client can cancel it from now
    /// on.
    asio::awaitable<cancel_key> connected(std::uint64_t number, backend where);
    void leave(std::uint64_t number);

    asio::awaitable<std::optional<backend>> find(cancel_key key);
    asio::awaitable<std::vector<std::shared_ptr<server_connection>>> sessions_of(std::string id);
    /// The treatment that all sessions of the database share.
    asio::awaitable<std::shared_ptr<treatment>> treatment_of(std::string id);

private:
    struct entry {
        std::weak_ptr<server_connection> session;
        std::string id;
        std::optional<cancel_key> key;
    };

    asio::awaitable<std::uint64_t> do_enter(std::weak_ptr<server_connection> session,
                                            std::string id);
    asio::awaitable<cancel_key> do_connected(std::uint64_t number, backend where);
    asio::awaitable<std::optional<backend>> do_find(cancel_key key);
    asio::awaitable<std::vector<std::shared_ptr<server_connection>>> do_sessions_of(std::string id);
    asio::awaitable<std::shared_ptr<treatment>> do_treatment_of(std::string id);

    strand strand_;
    std::map<std::uint64_t, entry> entries_;
    std::map<cancel_key, backend> backends_;
    std::uint64_t last_number_ = 0;
    std::map<std::string, std::shared_ptr<treatment>> treatments_;
};

}  // namespace bitdotio
