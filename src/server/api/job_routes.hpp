// Answers the API's calls about imports and exports, and their downloads.
#pragma once

#include "server/api/download_link.hpp"
#include "server/api/http_listener.hpp"
#include "server/base/disk_space.hpp"
#include "server/catalog/catalog.hpp"
#include "server/jobs/job_queue.hpp"

#include <boost/asio/awaitable.hpp>

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

namespace bitdotio {

/// Answers the calls about jobs.
///
/// Thread safety: `answer` and `download` may be called from any thread, also concurrently.
class job_routes {
public:
    /// Parameters: `disk` is where files of jobs are; `link_life` is how long a link to a download
    /// works; `largest` is the largest
    ///     file that is taken.
    job_routes(std::shared_ptr<catalog> known, std::shared_ptr<job_queue> all,
               std::shared_ptr<worker_threads> threads, std::shared_ptr<disk_space> disk,
               download_link links, std::chrono::milliseconds link_life, std::uint64_t largest);

    /// Judges an import by its header, for the caller who is noted in it.
    ///
    /// Errors: as routes answers them.
    asio::awaitable<std::optional<http_response>> judge_import(const http_request& request) const;
    /// Parameters: `who` owns the key of the request.
    /// Errors: as routes answers them.
    asio::awaitable<http_response> answer(caller who, const http_request& request) const;
    /// Answers a download, for which the link is enough.
    asio::awaitable<http_response> download(const http_request& request) const;

private:
    asio::awaitable<database> importable(caller who, const http_request& request) const;
    asio::awaitable<http_response> start_import(caller who, const http_request& request) const;
    asio::awaitable<http_response> start_export(caller who, const http_request& request) const;
    asio::awaitable<http_response> status(caller who, job_kind kind,
                                          const http_request& request) const;
    std::string body_of(const job_record& record, const http_request& request) const;

    std::shared_ptr<catalog> catalog_;
    std::shared_ptr<job_queue> jobs_;
    std::shared_ptr<worker_threads> threads_;
    std::shared_ptr<disk_space> disk_;
    download_link links_;
    std::chrono::milliseconds link_life_;
    std::uint64_t largest_;
};

}  // namespace bitdotio
