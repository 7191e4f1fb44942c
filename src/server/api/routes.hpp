// Answers the calls of the API from catalog and databases.
#pragma once

#include "server/api/http_listener.hpp"
#include "server/api/job_routes.hpp"
#include "server/api/query_runner.hpp"
#include "server/api/query_sessions.hpp"
#include "server/catalog/catalog.hpp"
#include "server/catalog/storage_quota.hpp"
#include "server/hosts/database_host.hpp"

#include <boost/asio/awaitable.hpp>

#include <chrono>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <string>

namespace bitdotio {

/// Answers requests; catalog::find and its siblings decide what a key may see and do.
///
/// Thread safety: `answer` may be called from any thread, also concurrently.
class routes {
public:
    /// How many of the largest answers may wait on disk at once.
    static constexpr std::uint64_t largest_answers = 16;

    /// Parameters: `query_timeout` ends a query of the API, whose answer has at most
    ///     `largest_answer` bytes.
    routes(std::shared_ptr<catalog> known, std::shared_ptr<database_host> databases,
           std::shared_ptr<storage_quota> quota, std::shared_ptr<const job_routes> about_jobs,
           std::shared_ptr<disk_space> disk, std::shared_ptr<query_sessions> sessions,
           std::chrono::milliseconds query_timeout, std::uint64_t largest_answer)
        : catalog_(std::move(known)),
          databases_(std::move(databases)),
          quota_(std::move(quota)),
          jobs_(std::move(about_jobs)),
          disk_(std::move(disk)),
          sessions_(std::move(sessions)),
          query_timeout_(query_timeout),
          largest_answer_(largest_answer),
          room_(std::make_shared<answer_budget>(
              largest_answer > std::numeric_limits<std::uint64_t>::max() / largest_answers
                  ? std::numeric_limits<std::uint64_t>::max()
                  : largest_answer * largest_answers)) {}

    /// Notes who asks. Neither throws because of the request; errors become the API's error bodies.
    asio::awaitable<std::optional<http_response>> admit(http_request& request) const;
    asio::awaitable<http_response> answer(http_request request) const;

private:
    asio::awaitable<std::optional<http_response>> judge(http_request& request) const;
    asio::awaitable<http_response> dispatch(const http_request& request) const;
    asio::awaitable<caller> authorize(const http_request& request) const;
    asio::awaitable<http_response> list_databases(caller who) const;
    asio::awaitable<http_response> create_database(caller who, const std::string& body) const;
    asio::awaitable<http_response> get_database(caller who, database_name name) const;
    asio::awaitable<http_response> update_database(caller who, database_name name,
                                                   const std::string& body) const;
    asio::awaitable<http_response> delete_database(caller who, database_name name) const;
    asio::awaitable<http_response> query(caller who, const http_request& request) const;
    query_terms terms_of(data_format format) const;
    asio::awaitable<query_answer> run(const database& known, std::string account, std::string sql,
                                      data_format format) const;
    asio::awaitable<query_answer> free(const database& known, std::string account, std::string sql,
                                       data_format format, freeing what) const;
    asio::awaitable<void> vacuum(std::string id, std::string account) const;
    asio::awaitable<query_answer> run_awake(std::string id, std::string role, std::string account,
                                            std::string sql, query_terms terms) const;
    asio::awaitable<http_response> about_accounts(caller who, const route& to) const;
    asio::awaitable<std::string> described(database known) const;

    std::shared_ptr<catalog> catalog_;
    std::shared_ptr<database_host> databases_;
    std::shared_ptr<storage_quota> quota_;
    std::shared_ptr<const job_routes> jobs_;
    std::shared_ptr<disk_space> disk_;
    std::shared_ptr<query_sessions> sessions_;
    std::chrono::milliseconds query_timeout_;
    std::uint64_t largest_answer_;
    std::shared_ptr<answer_budget> room_;
};

}  // namespace bitdotio
