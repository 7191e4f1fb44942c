// The calls of the API, each answered from catalog and cluster.
#pragma once

#include "server/catalog.hpp"
#include "server/cluster.hpp"
#include "server/http_listener.hpp"
#include "server/job_routes.hpp"
#include "server/router.hpp"

#include <boost/asio/awaitable.hpp>

#include <cstdint>
#include <memory>
#include <string>

namespace bitdotio {

/// Answers requests; every key sees its own user's databases only.
///
/// Thread safety: `answer` may be called from any thread, also at once.
class routes {
public:
    routes(std::shared_ptr<catalog> known, std::shared_ptr<cluster> instances,
           std::shared_ptr<const job_routes> about_jobs)
        : catalog_(std::move(known)),
          cluster_(std::move(instances)),
          jobs_(std::move(about_jobs)) {}

    /// Never throws for what the request is; errors become the API's error bodies.
    asio::awaitable<http_response> answer(http_request request) const;

private:
    asio::awaitable<http_response> dispatch(const http_request& request, const route& target) const;
    asio::awaitable<std::string> authorize(const std::string& header) const;
    asio::awaitable<http_response> list_databases(std::string user) const;
    asio::awaitable<http_response> create_database(std::string user, const std::string& body) const;
    asio::awaitable<http_response> get_database(std::string user, database_name name) const;
    asio::awaitable<http_response> update_database(std::string user, database_name name,
                                                   const std::string& body) const;
    asio::awaitable<http_response> delete_database(std::string user, database_name name) const;
    asio::awaitable<http_response> query(std::string user, const std::string& body,
                                         bool objects) const;
    asio::awaitable<std::int64_t> storage_of(std::string id) const;
    asio::awaitable<std::string> described(database known) const;

    std::shared_ptr<catalog> catalog_;
    std::shared_ptr<cluster> cluster_;
    std::shared_ptr<const job_routes> jobs_;
};

}  // namespace bitdotio
