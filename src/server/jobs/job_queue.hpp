// The jobs of a server: kept on disk, run a few at a time, shared fairly among accounts.
#pragma once

#include "base/strand.hpp"
#include "server/jobs/fair_turns.hpp"
#include "server/jobs/job_limits.hpp"
#include "server/jobs/job_record.hpp"
#include "server/jobs/worker_threads.hpp"

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/steady_timer.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace bitdotio {

namespace asio = boost::asio;

class event_log;

/// A job's record is "<directory>/<id>.json", its file "<directory>/<id>.data": what was sent for
/// an import, what an export wrote. Every change of state is on disk before anyone sees it.
///
/// At the start, a job that was under way has failed, and those that waited wait again. Jobs that
/// ended more than `kept` ago are removed, file and record, and the oldest earlier where job_limits
/// says so. What a job was asked to do is forgotten when it is over.
///
/// Thread safety: its functions may be called from any thread.
/// Lifetime: await `close()`.
class job_queue : public std::enable_shared_from_this<job_queue> {
public:
    /// Counts another attempt of the job.
    using count_retry = std::function<asio::awaitable<void>()>;
    /// Runs a job, whose file is `file`. What it throws is why the job failed.
    using task =
        std::function<asio::awaitable<void>(job_record, std::filesystem::path file, count_retry)>;
    /// Fetches the file of a job that has an address for it; returns its name. It comes before the
    /// job's turn, because a slow address must not keep other jobs waiting.
    using fetch =
        std::function<asio::awaitable<std::string>(job_record, std::filesystem::path file)>;
    /// Is called with each job that has ended; must not throw.
    using listener = std::function<void(const job_record&)>;

    /// Parameters: `events` is told of failures outside jobs; it may be null.
    /// Errors: errc::system_failed naming the directory or file.
    static asio::awaitable<std::shared_ptr<job_queue>> open(
        asio::any_io_executor executor, std::shared_ptr<worker_threads> threads,
        std::filesystem::path directory, std::chrono::milliseconds kept, task doing,
        listener tell = nullptr, std::shared_ptr<event_log> events = nullptr,
        job_limits limits = {}, fetch fetching = nullptr);

    /// The path where a job's file is or will be.
    std::filesystem::path file_of(const std::string& id) const;

    /// Counts bytes that were sent for an import, before they are written to its file. They count
    /// until the job is over or `drop_upload`.
    ///
    /// Errors: no_room if the account, or all together, have sent too much.
    asio::awaitable<void> take_upload(std::string id, std::string account, std::uint64_t bytes);
    /// Removes the file of an import that will not be added.
    ///
    /// Cancellation: none.
    asio::awaitable<void> drop_upload(std::string id);
    /// Refuses a further job of `account`, before its file is taken, if too many are not over.
    ///
    /// Errors: too_often if they are the account's own; errc::server_busy if they are everybody's.
    asio::awaitable<void> check_room(std::string account);

    /// Adds a job, which waits for its turn.
    ///
    /// Parameters: `wanted` has everything but state and times; its file is there if it needs one.
    /// Errors: errc::server_busy while closing; those of check_room; no_room if too many jobs are
    ///     kept and none of the account's is over; errc::system_failed.
    asio::awaitable<job_record> add(job_record wanted);

    /// Finds a job; nothing if there is no such job.
    asio::awaitable<std::optional<job_record>> find(std::string id);

    /// The jobs that are kept, the newest first.
    asio::awaitable<std::vector<job_record>> all();

    /// Stops running jobs, which then have failed; waiting ones begin after a restart.
    ///
    /// Cancellation: none.
    asio::awaitable<void> close();

    /// Use `open`.
    job_queue(asio::any_io_executor executor, std::shared_ptr<worker_threads> threads,
              std::filesystem::path directory, std::chrono::milliseconds kept, task doing,
              listener tell, std::shared_ptr<const event_log> events, job_limits limits,
              fetch fetching);

private:
    struct upload {
        std::string account;
        std::uint64_t bytes = 0;
    };

    asio::awaitable<void> do_take_upload(std::string id, std::string account, std::uint64_t bytes);
    asio::awaitable<void> do_drop_upload(std::string id);
    bool forget_oldest(const std::string& account, bool only_files);
    void make_room_for(const job_record& wanted);
    void make_room_for_file(job_record& done);
    asio::awaitable<void> do_open();
    asio::awaitable<void> do_check_room(std::string account);
    asio::awaitable<job_record> do_add(job_record wanted);
    asio::awaitable<std::optional<job_record>> do_find(std::string id);
    asio::awaitable<std::vector<job_record>> do_all();
    asio::awaitable<void> do_close();
    asio::awaitable<void> keep(job_record record);
    asio::awaitable<void> run(std::string id);
    asio::awaitable<void> carry_out(std::string id);
    asio::awaitable<void> retry(std::string id);
    void fail_by(job_record& record, const std::exception_ptr& thrown) const;
    void refuse_if_full(const std::string& account) const;
    asio::awaitable<void> fetch_file(std::string id);
    asio::awaitable<void> finish(std::string id, std::exception_ptr thrown);
    void begin(const std::string& id);
    void load();
    void sweep();

    strand strand_;
    const std::filesystem::path directory_;
    const std::chrono::milliseconds kept_;
    const task task_;
    const fetch fetch_;
    const listener tell_;
    const std::shared_ptr<const event_log> events_;
    const std::shared_ptr<worker_threads> threads_;
    const job_limits limits_;
    std::map<std::string, job_record> known_;
    std::map<std::string, upload> uploads_;  ///< by the id of their import
    fair_turns fetches_;
    fair_turns turns_;
    std::map<std::string, std::shared_ptr<asio::cancellation_signal>> begun_;
    std::set<std::string> removed_;  ///< files to be removed
    asio::steady_timer ended_;       ///< cancelled whenever a job ends
    bool closing_ = false;
};

}  // namespace bitdotio
