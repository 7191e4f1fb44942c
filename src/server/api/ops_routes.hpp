// The paths of who runs the server: metrics, status, and what `bit serve` asks of a running one.
#pragma once

#include "server/api/http_listener.hpp"
#include "server/api/overview.hpp"
#include "server/api/path_table.hpp"
#include "server/catalog/catalog.hpp"
#include "server/hosts/database_host.hpp"

#include <boost/asio/awaitable.hpp>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace bitdotio {

/// What an operator's request asks for.
struct ops_route {
    ops_route() = default;

    enum class call {
        unknown_path,
        wrong_method,  ///< `allow` says which would be right
        metrics,
        status_page,
        status,
        wake,
        sleep,
        list_keys,
        create_key,
        revoke_key,
        list_accounts,
        create_account,
        remove_account,
        grant,
        revoke,
    };

    call what = call::unknown_path;
    std::string allow;     ///< methods of this path, for the header Allow
    std::string database;  ///< "user/db", decoded, not yet checked
    std::string key;       ///< the id of a key, decoded, not yet checked
    std::string account;   ///< the name or the id of a service account, decoded, not yet checked

    /// The paths of operators.
    static const std::vector<documented_path<call>>& paths();

    /// A trailing slash makes no difference.
    static ops_route find(std::string_view method, std::string_view target);
};

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
    asio::awaitable<http_response> dispatch(const http_request& request) const;
    asio::awaitable<caller> operator_of(const http_request& request, bool basic) const;
    asio::awaitable<http_response> show_status_page(caller who) const;
    asio::awaitable<http_response> set_awake(caller who, database_name name, bool awake) const;
    asio::awaitable<http_response> list_keys(caller who) const;
    asio::awaitable<http_response> create_key(caller who, std::string body) const;
    asio::awaitable<http_response> create_account(std::string body) const;
    asio::awaitable<http_response> change_account(caller who, ops_route target) const;
    asio::awaitable<std::string> id_of_account(caller who, std::string name) const;

    std::shared_ptr<catalog> catalog_;
    std::shared_ptr<database_host> cluster_;
    overview overview_;
    std::string user_;
};

}  // namespace bitdotio
