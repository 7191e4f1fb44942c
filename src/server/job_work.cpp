// Awake while it works on the database, and no longer.
#include "server/job_work.hpp"
#include "server/export_run.hpp"
#include "server/import_run.hpp"

#include <utility>

namespace bitdotio {

asio::awaitable<void> job_work::carry_out(job_record record, std::filesystem::path file,
                                          jobs::count_retry again) const {
    if (record.kind == job_kind::export_) {
        const lease awake = co_await cluster_->hold(record.database_id);
        co_await run_export(*threads_, awake.socket_directory(), record.export_, file);
        co_return;
    }
    import_order order;
    order.file = file;
    order.file_name = record.file_name;
    order.options = record.import;
    if (!record.file_url.empty()) {
        order.file_name = co_await fetch_url(*threads_, record.file_url, file, fetching_);
    }
    import_run run(*threads_, order);
    co_await run.look();
    const lease awake = co_await cluster_->hold(record.database_id);
    co_await run.load(awake.socket_directory(), again);
}

}  // namespace bitdotio
