// Runs jobs; a database is kept awake only while its job works on it.
#include "server/jobs/job_runner.hpp"
#include "server/base/event_log.hpp"
#include "server/formats/job_failure.hpp"
#include "server/hosts/session_role.hpp"
#include "server/jobs/export_run.hpp"

#include <algorithm>
#include <exception>
#include <optional>
#include <utility>

namespace bitdotio {

namespace {

job_failure over_its_limit() {
    return job_failure("storage_limit_exceeded",
                       "the database is over its storage limit, and read-only: free space with "
                       "DELETE, TRUNCATE or DROP, or raise storage_limit_bytes");
}

}  // namespace

asio::awaitable<void> job_runner::carry_out(job_record record, std::filesystem::path file,
                                            job_queue::count_retry again) const {
    if (record.kind == job_kind::import_) {
        co_await import_file(std::move(record), std::move(file), std::move(again));
        co_return;
    }
    const storage_state now = co_await quota_->state(record.database_id);
    if (now == storage_state::closed) throw over_its_limit();
    const std::uint64_t spare = co_await spare_room();
    const lease awake = co_await databases_->hold(record.database_id);
    connection session = co_await open(awake, record, "bitdotio export");
    co_await run_export(*threads_, std::move(session), record.export_, file,
                        std::min(largest_export_, spare), counter(record.id));
}

asio::awaitable<connection> job_runner::open(const lease& awake, const job_record& record,
                                             const char* purpose) const {
    session_target where = co_await awake.session(session_role(record.role), record.user);
    co_return co_await open_session(std::move(where), purpose, record.database_id, make_room_);
}

// What a job may take of the disk. It has waited since it was let in.
asio::awaitable<std::uint64_t> job_runner::spare_room() const {
    const disk_space::figures now = co_await disk_->look();
    if (now.spare() == 0) throw job_failure("no_room", "the disk of the server is nearly full");
    co_return now.spare();
}

asio::awaitable<std::string> job_runner::fetch(job_record record,
                                               std::filesystem::path file) const {
    const std::uint64_t spare = co_await spare_room();
    fetch_limits within = fetching_;
    within.largest = std::min(within.largest, spare);
    co_return co_await fetch_url(*threads_, std::move(record.file_url), std::move(file), within);
}

asio::awaitable<void> job_runner::import_file(job_record record, std::filesystem::path file,
                                              job_queue::count_retry again) const {
    import_order order;
    order.file = file;
    order.file_name = record.file_name;
    order.options = record.import;
    order.moved = counter(record.id);
    order.died = obituary(record.id);
    co_await spare_room();
    import_run run(*threads_, order);
    std::exception_ptr failure;
    try {
        co_await look_and_load(run, record, std::move(again));
    } catch (...) {
        failure = std::current_exception();
    }
    co_await run.close();
    if (failure) std::rethrow_exception(failure);
}

asio::awaitable<void> job_runner::look_and_load(import_run& run, job_record record,
                                                job_queue::count_retry again) const {
    co_await run.look();
    const storage_state before = co_await quota_->state(record.database_id);
    if (before != storage_state::writable) throw over_its_limit();
    const time_point begin = std::chrono::steady_clock::now();
    std::optional<error> failure;
    try {
        co_await load(run, record, std::move(again));
    } catch (const job_failure&) {
        throw;
    } catch (const error& thrown) {
        failure = thrown;
    }
    // Rows of a failed import also take space, until they are vacuumed.
    co_await quota_->check(record.database_id);
    if (!failure) co_return;
    // PostgreSQL's last message may be lost with the connection.
    if (failure->sqlstate() == "57P01" || failure->code() == errc::connection_lost ||
        failure->code() == errc::database_asleep) {
        const bool past_limit = co_await quota_->has_ended_writers(record.database_id, begin);
        if (past_limit) throw over_its_limit();
    }
    throw *failure;
}

std::function<void(std::size_t)> job_runner::counter(const std::string& job) const {
    if (!events_) return nullptr;
    return [events = events_, job](std::size_t size) { events->moved(job, size); };
}

jailed_file::listener job_runner::obituary(const std::string& job) const {
    if (!events_) return nullptr;
    return [events = events_, job](const std::string& how, double processor_seconds) {
        server_event event("import_reader_died");
        event.with("job", job).with("reason", how).with("processor_seconds", processor_seconds);
        events->tell(event);
    };
}

asio::awaitable<void> job_runner::load(import_run& run, job_record record,
                                       job_queue::count_retry again) const {
    const lease awake = co_await databases_->hold(record.database_id);
    // The size is measured on schedule while it runs, and once more before anybody sees a row.
    import_run::step within_limit = [this, id = record.database_id]() -> asio::awaitable<void> {
        const storage_state now = co_await quota_->check(id);
        if (now != storage_state::writable) throw over_its_limit();
    };
    connection session = co_await open(awake, record, "bitdotio import");
    co_await run.load(std::move(session), std::move(again), std::move(within_limit));
}

}  // namespace bitdotio
