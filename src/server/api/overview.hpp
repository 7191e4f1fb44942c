// The state of a whole server at one moment: for its metrics, its status page and its operators.
#pragma once

#include "server/base/disk_space.hpp"
#include "server/base/event_log.hpp"
#include "server/base/tcp_server.hpp"
#include "server/catalog/catalog.hpp"
#include "server/catalog/storage_quota.hpp"
#include "server/hosts/database_host.hpp"
#include "server/jobs/job_queue.hpp"
#include "server/jobs/job_record.hpp"

#include <boost/asio/awaitable.hpp>

#include <memory>
#include <string>
#include <vector>

namespace bitdotio {

/// What is shown of a server.
struct server_view {
    server_view() = default;

    struct database_line {
        database about;
        bool is_awake = false;
        event_log::database_figures figures;
    };

    std::chrono::system_clock::time_point now;
    std::chrono::system_clock::time_point started;
    event_log::figures figures;
    std::vector<database_line> databases;
    std::vector<job_record> jobs;  ///< the newest first
    disk_space::figures disk;

    /// The name of a job's database; its id if it is gone.
    std::string name_of(const std::string& database_id) const;
};

/// Collects the state of a server.
///
/// Thread safety: its functions may be called from any thread, also concurrently.
class overview {
public:
    overview(std::shared_ptr<catalog> known, std::shared_ptr<database_host> instances,
             std::shared_ptr<storage_quota> quota, std::shared_ptr<job_queue> all,
             std::shared_ptr<event_log> events, std::shared_ptr<tcp_server> postgres,
             std::shared_ptr<disk_space> disk)
        : catalog_(std::move(known)),
          databases_(std::move(instances)),
          quota_(std::move(quota)),
          jobs_(std::move(all)),
          events_(std::move(events)),
          postgres_(std::move(postgres)),
          disk_(std::move(disk)) {}

    /// The caller's databases, and all sessions and jobs. Sizes are as measured last.
    asio::awaitable<server_view> look(caller who) const;

    /// All figures as Prometheus reads them. Databases and users are not named.
    asio::awaitable<std::string> metrics() const;

private:
    asio::awaitable<bool> is_asleep(std::string id) const;

    std::shared_ptr<catalog> catalog_;
    std::shared_ptr<database_host> databases_;
    std::shared_ptr<storage_quota> quota_;
    std::shared_ptr<job_queue> jobs_;
    std::shared_ptr<event_log> events_;
    std::shared_ptr<tcp_server> postgres_;
    std::shared_ptr<disk_space> disk_;
};

/// A view as the JSON of `GET /server/status`.
std::string encode(const server_view& view);

/// "IMPORT" or "EXPORT", and the API's words for a job's state.
std::string_view kind_name(const job_record& job);
std::string_view state_name(job_state state);

}  // namespace bitdotio
