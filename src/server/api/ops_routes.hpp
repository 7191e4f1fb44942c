// The operator's paths: metrics, status, and what `bit serve` asks of a running server.
#pragma once

#include "server/api/http_listener.hpp"
#include "server/api/overview.hpp"
#include "server/catalog/catalog.hpp"
#include "server/hosts/database_host.hpp"

#include <boost/asio/awaitable.hpp>

#include <exception>
#include <memory>
#include <optional>
#include <string>

namespace bitdotio {

/// Answers /metrics, /status and /server/…, only to the user of the server.
///
/// The key comes as "Authorization: Bearer", or as the password of HTTP Basic, which browsers ask
/// for. Calls that change something do not take Basic: a browser that knows the password would
/// send it along with whatever another site makes it send.
///
/// Thread safety: `answer` may be called from any thread, also concurrently.
class ops_routes {
public:
    /// Parameters: `user` is the one whose keys are let in.
    ops_routes(std::shared_ptr<catalog> known, std::shared_ptr<database_host> databases,
               overview all, std::string user)
        : catalog_(std::move(known)),
          databases_(std::move(databases)),
          overview_(std::move(all)),
          user_(std::move(user)) {}

    /// Notes who asks. Neither throws because of the request.
    asio::awaitable<std::optional<http_response>> admit(http_request& request) const;
    asio::awaitable<http_response> answer(http_request request) const;

private:
    asio::awaitable<std::optional<http_response>> judge(http_request& request) const;
    http_response refusal(const std::exception_ptr& thrown) const;
    asio::awaitable<http_response> dispatch(const http_request& request) const;
    asio::awaitable<caller> operator_of(const http_request& request, bool basic) const;
    asio::awaitable<http_response> show_status_page(caller who) const;
    asio::awaitable<http_response> set_awake(caller who, database_name name, bool awake) const;
    asio::awaitable<http_response> repair(caller who, database_name name) const;
    asio::awaitable<http_response> list_keys(caller who) const;
    asio::awaitable<http_response> create_key(caller who, std::string body) const;
    asio::awaitable<http_response> create_account(std::string body) const;
    asio::awaitable<http_response> change_account(caller who, const route& to) const;
    asio::awaitable<std::string> id_of_account(caller who, std::string name) const;

    std::shared_ptr<catalog> catalog_;
    std::shared_ptr<database_host> databases_;
    overview overview_;
    std::string user_;
};

}  // namespace bitdotio
