// Runs jobs: an import fetches and loads, an export writes.
#pragma once

#include "server/base/disk_space.hpp"
#include "server/catalog/storage_quota.hpp"
#include "server/hosts/database_host.hpp"
#include "server/hosts/instance_session.hpp"
#include "server/jobs/import_run.hpp"
#include "server/jobs/job_queue.hpp"
#include "server/jobs/url_fetch.hpp"
#include "server/jobs/worker_threads.hpp"

#include <boost/asio/awaitable.hpp>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <utility>

namespace bitdotio {

/// Runs jobs on a host's databases, in the PostgreSQL role of the account that asked, and within
/// the storage limit.
///
/// Thread safety: `carry_out` may be called from any thread, also concurrently.
class job_runner {
public:
    job_runner(std::shared_ptr<database_host> instances, std::shared_ptr<storage_quota> quota,
               std::shared_ptr<worker_threads> threads, std::shared_ptr<disk_space> disk,
               fetch_limits fetching, std::uint64_t largest_export)
        : databases_(std::move(instances)),
          quota_(std::move(quota)),
          threads_(std::move(threads)),
          disk_(std::move(disk)),
          fetching_(fetching),
          largest_export_(largest_export) {}

    /// Sets who is told of jobs' progress; call it before the first job.
    void report_to(std::shared_ptr<event_log> events) { events_ = std::move(events); }

    /// Sets what is asked for room in a database that has no place for a job's session; call it
    /// before the first job.
    void make_room_by(room_maker make) { make_room_ = std::move(make); }

    /// Errors: why the job fails; see kind_of.
    /// Cancellation: terminal.
    asio::awaitable<void> carry_out(job_record record, std::filesystem::path file,
                                    job_queue::count_retry again) const;

    /// Fetches the file of an import that has an address for it; returns its name.
    ///
    /// Errors: as fetch_url.
    /// Cancellation: terminal.
    asio::awaitable<std::string> fetch(job_record record, std::filesystem::path file) const;

private:
    asio::awaitable<void> import_file(job_record record, std::filesystem::path file,
                                      job_queue::count_retry again) const;
    asio::awaitable<std::uint64_t> spare_room() const;
    asio::awaitable<connection> open(const lease& awake, const job_record& record,
                                     const char* purpose) const;
    asio::awaitable<void> look_and_load(import_run& run, job_record record,
                                        job_queue::count_retry again) const;
    jailed_file::listener obituary(const std::string& job) const;
    std::function<void(std::size_t)> counter(const std::string& job) const;
    asio::awaitable<void> load(import_run& run, job_record record,
                               job_queue::count_retry again) const;

    std::shared_ptr<database_host> databases_;
    std::shared_ptr<storage_quota> quota_;
    std::shared_ptr<worker_threads> threads_;
    std::shared_ptr<disk_space> disk_;
    fetch_limits fetching_;
    std::uint64_t largest_export_;
    std::shared_ptr<event_log> events_;
    room_maker make_room_;
};

}  // namespace bitdotio
