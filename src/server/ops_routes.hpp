// The paths of who runs the server: metrics, status, and what `bit serve` asks of a running one.
#pragma once

#include "server/catalog.hpp"
#include "server/database_host.hpp"
#include "server/http_listener.hpp"
#include "server/overview.hpp"

#include <boost/asio/awaitable.hpp>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace bitdotio {

/// Answers /metrics, /status and /server/…, to the user of the server alone.
///
/// The key comes as "Authorization: Bearer", or as the password of HTTP Basic, which browsers ask
/// for. What changes something takes no Basic: a browser that knows the password would send it
/// along with whatever another site makes it send.
///
/// Thread safety: `answer` may be called from any thread, also at once.
class ops_routes {
public:
    /// Parameters: `user` is whose keys are let in.
    ops_routes(std::shared_ptr<catalog> known, std::shared_ptr<database_host> instances,
               overview all, std::string user)
        : catalog_(std::move(known)),
          cluster_(std::move(instances)),
          overview_(std::move(all)),
          user_(std::move(user)) {}

    /// Whether a path is one of these.
    static bool knows(std::string_view target);

    /// Never throws for what the request is.
    asio::awaitable<http_response> answer(http_request request) const;

private:
    using words = std::vector<std::string>;

    asio::awaitable<http_response> dispatch(const http_request& request) const;
    asio::awaitable<caller> operator_of(const http_request& request, bool basic) const;
    asio::awaitable<http_response> about_databases(caller who, words path,
                                                   std::string method) const;
    asio::awaitable<http_response> about_keys(caller who, words path, std::string method,
                                              std::string body) const;
    asio::awaitable<http_response> about_accounts(caller who, words path, std::string method,
                                                  std::string body) const;
    asio::awaitable<std::string> id_of_account(caller who, std::string name) const;

    std::shared_ptr<catalog> catalog_;
    std::shared_ptr<database_host> cluster_;
    overview overview_;
    std::string user_;
};

}  // namespace bitdotio
