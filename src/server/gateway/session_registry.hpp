// Knows which sessions each database has, and where a cancel request has to go.
#pragma once

#include "base/deadline.hpp"
#include "server/base/tcp_server.hpp"
#include "server/gateway/backend_link.hpp"
#include "server/gateway/splice.hpp"
#include "server/gateway/startup_packet.hpp"

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/strand.hpp>

#include <atomic>
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

/// The sessions of the gateway, by the key each was given.
///
/// Thread safety: every function may be called from any thread.
/// Lifetime: held by shared_ptr.
class session_registry : public std::enable_shared_from_this<session_registry> {
public:
    explicit session_registry(asio::any_io_executor executor)
        : strand_(asio::make_strand(executor)) {}

    /// Where the session of a key really is.
    struct backend {
        backend_address server;
        cancel_key key;
    };

    /// Notes a session of the database `id` and returns the key its client will know it by.
    asio::awaitable<cancel_key> enter(std::weak_ptr<server_connection> session, std::string id);
    /// Notes PostgreSQL's own key of the session: from now on it can be cancelled.
    void connected(cancel_key key, backend where);
    void leave(cancel_key key);

    asio::awaitable<std::optional<backend>> find(cancel_key key);
    asio::awaitable<std::vector<std::shared_ptr<server_connection>>> sessions_of(std::string id);
    /// The treatment that all sessions of the database share.
    asio::awaitable<std::shared_ptr<treatment>> treatment_of(std::string id);

private:
    struct entry {
        std::weak_ptr<server_connection> session;
        std::string id;
        std::optional<backend> where;
    };

    asio::awaitable<cancel_key> do_enter(std::weak_ptr<server_connection> session, std::string id);
    asio::awaitable<std::optional<backend>> do_find(cancel_key key);
    asio::awaitable<std::vector<std::shared_ptr<server_connection>>> do_sessions_of(std::string id);
    asio::awaitable<std::shared_ptr<treatment>> do_treatment_of(std::string id);

    asio::strand<asio::any_io_executor> strand_;
    std::map<cancel_key, entry> entries_;
    std::map<std::string, std::shared_ptr<treatment>> treatments_;
};

}  // namespace bitdotio
