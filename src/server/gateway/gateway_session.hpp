// One client of the Postgres endpoint: admitted by its key, joined to its database's PostgreSQL.
#pragma once

#include "server/base/event_log.hpp"
#include "server/base/tcp_server.hpp"
#include "server/base/tls_socket.hpp"
#include "server/catalog/catalog.hpp"
#include "server/catalog/storage_quota.hpp"
#include "server/gateway/backend_link.hpp"
#include "server/gateway/session_registry.hpp"
#include "server/gateway/session_reserve.hpp"
#include "server/gateway/splice.hpp"
#include "server/gateway/startup_packet.hpp"
#include "server/hosts/database_host.hpp"

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace bitdotio {

/// What all sessions of a gateway share.
struct gateway_context {
    gateway_context() = default;

    asio::ssl::context* tls = nullptr;
    std::shared_ptr<bitdotio::catalog> catalog;
    std::shared_ptr<database_host> databases;
    std::shared_ptr<storage_quota> quota;
    std::shared_ptr<session_registry> registry;
    std::shared_ptr<session_reserve> reserve;
    std::shared_ptr<bitdotio::event_log> events = std::make_shared<bitdotio::event_log>(nullptr);
    std::chrono::milliseconds wake_timeout{60'000};
    session_limits limits;
};

/// A session, from its first byte to its last.
///
/// See: PostgreSQL manual, 55.2.1 "Start-up", 55.2.8 "Canceling Requests in Progress".
class gateway_session final : public server_connection,
                              public std::enable_shared_from_this<gateway_session> {
public:
    gateway_session(asio::ip::tcp::socket socket, std::shared_ptr<const gateway_context> around);

    asio::any_io_executor executor() override { return client_.get_executor(); }
    asio::awaitable<void> serve() override;
    void leave() override;
    void cut() noexcept override;

private:
    // Runs until the key and the database are known; false if the client was refused.
    asio::awaitable<bool> admit();
    asio::awaitable<opening> receive_opening();
    asio::awaitable<void> secure(bool direct);
    // In session_login.cpp.
    asio::awaitable<bool> log_in();
    asio::awaitable<caller> admit_with_password();
    asio::awaitable<caller> admit_by_scram(scram_secret terms);
    asio::awaitable<std::string> receive_answer(std::string expected);
    asio::awaitable<void> pass_on_cancel(cancel_key key);

    // Runs while the database is awake.
    asio::awaitable<void> converse();
    asio::awaitable<void> converse_with(lease awake, std::uint64_t number);
    asio::awaitable<void> hand_across();
    asio::awaitable<bool> connect_backend(const lease& awake, std::uint64_t number,
                                          std::string role);
    asio::awaitable<backend_greeting> begin_session(const session_target& where);

    asio::awaitable<std::string> receive(std::size_t size);
    asio::awaitable<void> send(std::string bytes);
    asio::awaitable<void> refuse(std::string_view sqlstate, std::string message,
                                 std::string_view hint);
    std::string words_of(const error& thrown) const;

    const std::shared_ptr<const gateway_context> around_;
    const std::string peer_;  // the client's address, without the port
    tls_socket client_;
    std::unique_ptr<backend_link> backend_;
    startup_message wish_;
    std::string account_;  // the account whose key it has shown
    std::string account_id_;
    std::string declined_;   // the SQLSTATE with which PostgreSQL itself refused it
    database database_;      // as its caller may use it
    bool secured_ = false;   // TLS is established
    bool admitted_ = false;  // its key and its database are known
    bool leaving_ = false;   // the server is closing
    bool joined_ = false;    // client and PostgreSQL are connected
    std::optional<cancel_key> backend_key_;
    std::shared_ptr<treatment> treated_;
    session_watch watch_;
    std::optional<splice> traffic_;
};

}  // namespace bitdotio
