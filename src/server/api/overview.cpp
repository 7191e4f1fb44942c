// Collects the state of all parts.
#include "server/api/overview.hpp"

#include <bitdotio/error.hpp>

#include "base/blocking.hpp"
#include "base/rfc3339.hpp"
#include "service/api_codec.hpp"
#include "service/json_fields.hpp"

#include <boost/json.hpp>

#include <unistd.h>
#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>

namespace bitdotio {

namespace {

namespace json = boost::json;
using api::text;

struct process_figures {
    double resident_bytes = 0;
    double open_descriptors = 0;
};

// Reads files of /proc: nothing here waits for a disk.
process_figures look_at_process() {
    process_figures told;
    std::ifstream memory("/proc/self/statm");
    std::uint64_t total = 0;
    std::uint64_t resident = 0;
    memory >> total >> resident;
    told.resident_bytes =
        static_cast<double>(resident) * static_cast<double>(::sysconf(_SC_PAGESIZE));
    std::error_code gone;
    for (std::filesystem::directory_iterator at("/proc/self/fd", gone), end; !gone && at != end;
         at.increment(gone)) {
        ++told.open_descriptors;
    }
    told.open_descriptors = std::max(0.0, told.open_descriptors - 1);  // the one reading this
    return told;
}

double number(std::uint64_t count) {
    return static_cast<double>(count);
}

json::string time_text(std::chrono::system_clock::time_point when) {
    return json::string(api::encode_time(std::chrono::floor<std::chrono::microseconds>(when)));
}

}  // namespace

std::string_view kind_name(const job_record& job) {
    return job.kind == job_kind::import_ ? "IMPORT" : "EXPORT";
}

std::string_view state_name(job_state state) {
    switch (state) {
        case job_state::received: return "RECEIVED";
        case job_state::processing: return "PROCESSING";
        case job_state::done: return "DONE";
        case job_state::failed: return "FAILED";
    }
    return "";
}

std::string server_view::name_of(const std::string& database_id) const {
    const auto found =
        std::find_if(databases.begin(), databases.end(),
                     [&](const database_line& line) { return line.about.id == database_id; });
    return found == databases.end() ? database_id : found->about.name.full();
}

// A database may be deleted between two steps.
asio::awaitable<bool> overview::is_asleep(std::string id) const {
    try {
        co_return co_await databases_->is_asleep(std::move(id));
    } catch (const error& failure) {
        if (failure.code() != errc::not_found) throw;
    }
    co_return true;
}

asio::awaitable<server_view> overview::look(caller who) const {
    server_view view;
    view.now = event_log::clock::now();
    view.started = events_->started();
    view.figures = events_->look();
    const std::vector<database> known = co_await catalog_->list(std::move(who));
    std::vector<std::string> ids;
    for (const database& each : known) {
        ids.push_back(each.id);
    }
    const std::vector<std::int64_t> used = co_await quota_->used_by(std::move(ids));
    for (std::size_t i = 0; i < known.size(); ++i) {
        const database& each = known[i];
        server_view::database_line line;
        line.about = each;
        line.about.storage_usage_bytes = used[i];
        const bool asleep = co_await is_asleep(each.id);
        line.is_awake = !asleep;
        const auto figures = view.figures.databases.find(each.id);
        if (figures != view.figures.databases.end()) line.figures = figures->second;
        view.databases.push_back(std::move(line));
    }
    view.jobs = co_await jobs_->all();
    view.disk = co_await disk_->look();
    co_return view;
}

asio::awaitable<std::string> overview::metrics() const {
    const std::vector<std::string> ids = co_await catalog_->ids();
    std::uint64_t asleep = 0;
    for (const std::string& id : ids) {
        const bool sleeps = co_await is_asleep(id);
        asleep += sleeps;
    }
    const std::vector<job_record> all = co_await jobs_->all();
    std::array<std::uint64_t, 4> by_state{};
    for (const job_record& job : all) {
        ++by_state[static_cast<std::size_t>(job.state)];
    }
    const event_log::figures told = events_->look();
    const process_figures process = look_at_process();
    const disk_space::figures disk = co_await disk_->look();
    const double begun =
        std::chrono::duration<double>(events_->started().time_since_epoch()).count();

    metrics_text out;
    out.family("bitdotio_build_info", "gauge", "The version that runs; always 1.");
    out.sample(1, {{"version", BITDOTIO_VERSION}});
    out.single("process_start_time_seconds", "gauge", "When the server started, in Unix time.",
               begun);
    out.family("bitdotio_databases", "gauge", "Databases by state.");
    out.sample(number(ids.size() - asleep), {{"state", "awake"}});
    out.sample(number(asleep), {{"state", "asleep"}});
    out.single("bitdotio_wakes_total", "counter", "Databases woken.", number(told.wakes));
    out.single("bitdotio_wake_failures_total", "counter", "Starts of databases that failed.",
               number(told.failed_wakes));
    out.family("bitdotio_wake_duration_seconds", "histogram",
               "From the order to start a database until it took connections.");
    out.sample(told.wake_durations);
    out.single("bitdotio_sessions_open", "gauge", "Sessions of clients at the Postgres endpoint.",
               number(told.visits.size()));
    out.single("bitdotio_connections_accepted_total", "counter",
               "Connections accepted by the Postgres endpoint, refused ones included.",
               number(postgres_->accepted()));
    out.single("bitdotio_sessions_admitted_total", "counter",
               "Sessions let into a database at the Postgres endpoint.",
               number(told.sessions_admitted));
    out.family("bitdotio_sessions_refused_total", "counter",
               "Clients sent away at the Postgres endpoint, by SQLSTATE.");
    for (const auto& [sqlstate, count] : told.refused) {
        out.sample(number(count), {{"sqlstate", sqlstate}});
    }
    out.family("bitdotio_api_requests_total", "counter", "Answered HTTP requests by status class.");
    for (std::size_t digit = 1; digit < told.answers.size(); ++digit) {
        out.sample(number(told.answers[digit]), {{"code", std::to_string(digit) + "xx"}});
    }
    out.family("bitdotio_jobs", "gauge", "Imports and exports that are kept, by state.");
    for (const job_state state :
         {job_state::received, job_state::processing, job_state::done, job_state::failed}) {
        out.sample(number(by_state[static_cast<std::size_t>(state)]),
                   {{"state", std::string(state_name(state))}});
    }
    out.family("bitdotio_jobs_ended_total", "counter", "Imports and exports that ended.");
    out.sample(number(told.jobs_done), {{"state", "DONE"}});
    out.sample(number(told.jobs_failed), {{"state", "FAILED"}});
    out.single("bitdotio_rows_queried_total", "counter",
               "Rows handed to clients, over the API and at the Postgres endpoint.",
               number(told.rows_queried));
    out.single("bitdotio_disk_free_bytes", "gauge",
               "What is free on the disk of the data directory.", number(disk.free));
    out.single("bitdotio_disk_reserve_bytes", "gauge",
               "Imports, exports and new databases are refused while less is free.",
               number(disk.reserve));
    out.single("bitdotio_certificate_expiry_timestamp_seconds", "gauge",
               "When the certificate expires, in Unix time.",
               static_cast<double>(told.certificate_expires));
    out.single("process_resident_memory_bytes", "gauge",
               "Resident memory of the server's process, without those of PostgreSQL.",
               process.resident_bytes);
    out.single("process_open_fds", "gauge", "Open file descriptors of the server's process.",
               process.open_descriptors);
    co_return out.text();
}

std::string encode(const server_view& view) {
    json::object body;
    body["version"] = BITDOTIO_VERSION;
    body["started"] = time_text(view.started);
    body["disk"] = json::object{{"free_bytes", view.disk.free},
                                {"reserve_bytes", view.disk.reserve},
                                {"size_bytes", view.disk.size}};
    json::array databases;
    for (const server_view::database_line& line : view.databases) {
        json::object entry;
        entry["id"] = text(line.about.id);
        entry["name"] = text(line.about.name.full());
        entry["state"] = line.is_awake ? "awake" : "asleep";
        entry["connections"] = line.figures.sessions;
        entry["wakes"] = line.figures.wakes;
        entry["failed_wakes"] = line.figures.failed_wakes;
        entry["storage_usage_bytes"] = line.about.storage_usage_bytes;
        entry["storage_limit_bytes"] = line.about.storage_limit_bytes.value_or(0);
        entry["last_used"] =
            line.figures.last_used ? json::value(time_text(*line.figures.last_used)) : nullptr;
        databases.push_back(std::move(entry));
    }
    body["databases"] = std::move(databases);
    json::array connections;
    for (const auto& [number, visit] : view.figures.visits) {
        json::object entry;
        entry["database"] = text(visit.facts.database);
        entry["account"] = text(visit.facts.account);
        entry["peer"] = text(visit.facts.peer);
        entry["since"] = time_text(visit.since);
        connections.push_back(std::move(entry));
    }
    body["connections"] = std::move(connections);
    json::array jobs;
    for (const job_record& job : view.jobs) {
        json::object entry;
        entry["id"] = text(job.id);
        entry["kind"] = text(kind_name(job));
        entry["database"] = text(view.name_of(job.database_id));
        entry["state"] = text(state_name(job.state));
        entry["retries"] = job.retries;
        const auto moved = view.figures.moved.find(job.id);
        if (moved != view.figures.moved.end()) entry["bytes_moved"] = moved->second;
        entry["created"] = job.date_created ? json::value(time_text(*job.date_created)) : nullptr;
        entry["finished"] =
            job.date_finished ? json::value(time_text(*job.date_finished)) : nullptr;
        if (!job.error_type.empty()) entry["error_type"] = text(job.error_type);
        jobs.push_back(std::move(entry));
    }
    body["jobs"] = std::move(jobs);
    return json::serialize(body);
}

}  // namespace bitdotio
