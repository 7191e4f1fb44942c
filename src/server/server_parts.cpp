// Starts all parts of the server, and stops them in an order that loses nothing.
#include "server/server_parts.hpp"

#include <bitdotio/error.hpp>

#include "base/blocking.hpp"
#include "server/api/body_budget.hpp"
#include "server/api/http_listener.hpp"
#include "server/api/ops_routes.hpp"
#include "server/api/request_dispatcher.hpp"
#include "server/api/routes.hpp"
#include "server/backend/backend_host.hpp"
#include "server/checked_options.hpp"
#include "server/instances/instance_host.hpp"
#include "server/jobs/job_runner.hpp"
#include "service/profile.hpp"

#include <algorithm>
#include <exception>
#include <filesystem>
#include <utility>
#include <vector>

namespace bitdotio {

namespace {

// PostgreSQL has already sent its last message; clients only need time to read it.
constexpr std::chrono::milliseconds session_grace{500};

// The address where clients on this machine reach what listens on `address`.
std::string reachable(const std::string& address) {
    if (address == "0.0.0.0" || address == "localhost") return "127.0.0.1";
    if (address == "::") return "::1";
    return address;
}

// Removes the profile unless another server has put its own there meanwhile.
void remove_profile(const std::filesystem::path& file, const std::string& api_url) noexcept {
    try {
        const auto there = read_profile(file);
        if (there && there->api_url == api_url) std::filesystem::remove(file);
    } catch (const std::exception&) {  // another server's: it stays
    }
}

// The catalog does not live as long as the databases do.
asio::awaitable<std::vector<std::string>> accounts_among(std::weak_ptr<catalog> known,
                                                         std::vector<std::string> ids) {
    const auto all = known.lock();
    if (!all) co_return ids;
    co_return co_await all->accounts_among(std::move(ids));
}

}  // namespace

server_parts::server_parts(asio::any_io_executor executor, local_server_options wanted)
    : options(bounded(std::move(wanted))),
      strand(executor),
      stopped(strand, no_deadline),
      events(std::make_shared<event_log>(options.log)),
      http_tls(asio::ssl::context::tls_server),
      pg_tls(asio::ssl::context::tls_server) {}

server_parts::~server_parts() {
    if (state_ != state::stopped && profile_written) {
        remove_profile(options.profile_file, api_url);
    }
}

asio::awaitable<void> server_parts::start() {
    std::exception_ptr failure;
    try {
        co_await open_parts();
    } catch (...) {
        failure = std::current_exception();
    }
    if (failure) {
        co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
        co_await stop();
        std::rethrow_exception(failure);
    }
}

asio::awaitable<std::shared_ptr<database_host>> server_parts::open_host() {
    const asio::any_io_executor executor = strand.get_inner_executor();
    if (!options.backend.empty()) {
        backend_host_options elsewhere;
        elsewhere.backend = options.backend;
        elsewhere.data_directory = options.data_directory;
        elsewhere.max_connections = options.max_connections;
        co_return co_await backend_host::open(executor, elsewhere);
    }
    if (backend_host::has_backend(options.data_directory)) {
        throw error(errc::bad_input, "the databases of the data directory " +
                                         options.data_directory.string() +
                                         " are in a backend: name it, or another directory");
    }
    instance_host_options wanted;
    wanted.data_directory = options.data_directory;
    wanted.postgres_programs = options.postgres_programs;
    wanted.run_as = options.run_as;
    wanted.sleep_after = options.sleep_after;
    wanted.idle_session_timeout = options.idle_session_timeout;
    wanted.idle_in_transaction_timeout = options.idle_session_timeout;
    wanted.max_connections = options.max_connections;
    wanted.durable = options.durable;
    wanted.temporary_files = options.largest_temporary_files;
    wanted.tell = [events = events](const instance_event& event) { events->note(event); };
    wanted.events = events;
    co_return co_await instance_host::open(executor, wanted);
}

asio::awaitable<void> server_parts::open_parts() {
    check(options);
    const asio::any_io_executor executor = strand.get_inner_executor();
    databases = co_await open_host();
    catalog_options kept(databases->directory(), options.user);
    kept.storage_limit = options.storage_limit_bytes;
    kept.events = events;
    kept.calls = token_bucket::settings(options.call_burst, options.calls_per_second);
    catalog = co_await bitdotio::catalog::open(executor, kept);
    databases->know_accounts([known = std::weak_ptr(catalog)](std::vector<std::string> ids) {
        return accounts_among(known, std::move(ids));
    });
    co_await remove_orphans();
    quota = std::make_shared<storage_quota>(executor, catalog, databases,
                                            options.storage_check_interval);

    quota->report_to(events);
    disk = std::make_shared<disk_space>(executor, databases->directory(), options.disk_reserve);
    co_await open_certificate();

    open_gateway();
    const std::shared_ptr<const job_routes> about_jobs = co_await open_jobs();
    sessions = std::make_shared<query_sessions>(executor, kept_sessions(), events);
    const auto answers =
        std::make_shared<routes>(catalog, databases, quota, about_jobs, disk, sessions,
                                 options.query_timeout, options.largest_answer);
    sessions->make_room_by(postgres->room_maker());
    overview all(catalog, databases, quota, jobs, events, postgres->server(), disk);
    const auto operations =
        std::make_shared<ops_routes>(catalog, databases, std::move(all), options.user);
    const auto dispatcher = std::make_shared<request_dispatcher>(answers, operations, events);
    const auto memory = std::make_shared<body_budget>(executor, options.request_memory);
    http = make_http_server(executor, http_tls, dispatcher, memory);
    http->report_to(events);
    connection_limits crowd;
    crowd.most = static_cast<std::size_t>(options.max_clients);
    crowd.most_per_address = static_cast<std::size_t>(options.max_clients_per_address);
    http->limit(crowd);
    postgres->server()->limit(crowd);
    http->listen(options.listen, options.api_port);
    postgres->server()->listen(options.listen, options.postgres_port);
    host = certificate->name_for(reachable(options.listen));
    const bool is_v6 = host.find(':') != std::string::npos;
    api_url = "https://" + (is_v6 ? "[" + host + "]" : host) + ":" + std::to_string(http->port());
    http->open();
    postgres->server()->open();
    quota->watch();
    certificate->watch();
    co_await write_profile();
    server_event event("start");
    event.with("version", BITDOTIO_VERSION)
        .with("api", api_url)
        .with("postgres", host + ":" + std::to_string(postgres->server()->port()));
    events->tell(event);
}

// Before the jobs and the queries, which ask it for room.
void server_parts::open_gateway() {
    postgres.emplace(strand.get_inner_executor(), pg_tls, catalog, databases, quota);
    postgres->report_to(events);
    postgres->wait_for_wakes(options.wake_timeout);
    session_limits limits;
    limits.idle = options.idle_session_timeout;
    limits.idle_in_transaction = options.idle_session_timeout;
    limits.life = options.session_life;
    postgres->limit_sessions(limits);
    reserve_limits reserve;
    reserve.of_role = static_cast<std::size_t>(options.reserve_sessions);
    reserve.of_database = std::clamp<std::size_t>(
        static_cast<std::size_t>(options.max_connections) / 8, 1, reserve.of_database);
    if (limits.idle.count() > 0) reserve.life = std::min(reserve.life, limits.idle);
    postgres->limit_reserve(reserve);
}

asio::awaitable<void> server_parts::open_certificate() {
    certificate_source source;
    source.certificate_file = options.certificate_file;
    source.key_file = options.private_key_file;
    source.ca_file = options.certificate_authority_file;
    source.directory = databases->directory() / "tls";
    source.listen = options.listen;
    certificate = std::make_shared<certificate_store>(strand.get_inner_executor(), source,
                                                      options.certificate_check_interval, events);
    co_await certificate->reload();
    for (asio::ssl::context* each : {&http_tls, &pg_tls}) {
        SSL_CTX_set_min_proto_version(each->native_handle(), TLS1_2_VERSION);
        certificate->serve(each->native_handle());
    }
    ca_file = certificate->ca_file();
}

// Removes orphans: databases whose creation or removal a crash has cut short.
asio::awaitable<void> server_parts::remove_orphans() {
    const std::vector<std::string> known = co_await catalog->ids();
    const std::vector<std::string> there = co_await databases->ids();
    for (const std::string& id : there) {
        if (std::binary_search(known.begin(), known.end(), id)) continue;
        try {
            co_await databases->remove(id);
        } catch (const error&) {
            // In a backend, somebody else may be connected to it: the next start tries again.
            if (options.backend.empty()) throw;
        }
    }
}

asio::awaitable<std::shared_ptr<const job_routes>> server_parts::open_jobs() {
    const auto threads = std::make_shared<worker_threads>(6);
    fetch_limits limits;
    limits.largest = options.largest_import;
    if (options.allow_private_urls) {
        limits.may_reach = [](const asio::ip::address&) { return true; };
    }
    const auto work = std::make_shared<job_runner>(databases, quota, threads, disk, limits,
                                                   options.largest_export);
    work->report_to(events);
    work->make_room_by(postgres->room_maker());
    const job_queue::task doing = [work](job_record record, std::filesystem::path file,
                                         job_queue::count_retry again) {
        return work->carry_out(std::move(record), std::move(file), std::move(again));
    };
    const job_queue::fetch fetching = [work](job_record record, std::filesystem::path file) {
        return work->fetch(std::move(record), std::move(file));
    };
    const job_queue::listener ended = [events = events](const job_record& job) {
        events->job_ended(job.id, job.state == job_state::failed);
        server_event event("job_ended");
        event.with("job", job.id)
            .with("kind", std::string(kind_name(job)))
            .with("database_id", job.database_id)
            .with("state", std::string(state_name(job.state)));
        if (!job.error_type.empty()) event.with("error_type", job.error_type);
        events->tell(event);
    };
    const std::filesystem::path directory = databases->directory();
    std::optional<download_link> links;
    std::function<void()> open = [&] {
        links = download_link::open(directory / "download-secret");
    };
    co_await threads->run(open);
    jobs = co_await job_queue::open(strand.get_inner_executor(), threads, directory / "jobs",
                                    options.jobs_kept, doing, ended, events, job_limits_of(),
                                    fetching);
    co_return std::make_shared<const job_routes>(catalog, jobs, threads, disk, std::move(*links),
                                                 options.download_link_life,
                                                 options.largest_import);
}

// Kept sessions leave their database's connections to clients, and end before PostgreSQL ends them.
query_session_limits server_parts::kept_sessions() const {
    query_session_limits limits;
    limits.of_database =
        std::min(limits.of_database, static_cast<std::size_t>(options.max_connections) / 8);
    if (options.idle_session_timeout.count() > 0) {
        limits.idle = std::min(limits.idle, options.idle_session_timeout / 2);
    }
    return limits;
}

job_limits server_parts::job_limits_of() const {
    job_limits limits;
    limits.uploads_of_account = options.uploads_of_account;
    limits.uploads_in_all = options.uploads_in_all;
    limits.exports_of_account = options.exports_of_account;
    limits.exports_in_all = options.exports_in_all;
    limits.jobs_of_account = options.jobs_of_account;
    limits.jobs_in_all = options.jobs_in_all;
    return limits;
}

asio::awaitable<void> server_parts::write_profile() {
    if (options.profile_file.empty()) co_return;
    std::function<void()> work = [self = shared_from_this()] {
        profile shown;
        shown.api_url = self->api_url;
        shown.postgres_host = self->host;
        shown.postgres_port = self->postgres->server()->port();
        shown.ca_file = self->ca_file;
        shown.key = self->catalog->first_key().reveal();
        bitdotio::write_profile(self->options.profile_file, shown);
    };
    profile_written = true;
    co_await run_blocking(work);
}

asio::awaitable<void> server_parts::stop() {
    if (state_ == state::running) {
        state_ = state::stopping;
        std::exception_ptr failure;
        try {
            co_await close_parts();
        } catch (...) {
            failure = std::current_exception();
        }
        events->tell(server_event("stop"));
        state_ = state::stopped;
        stopped.cancel();
        if (failure) std::rethrow_exception(failure);
    }
    while (state_ != state::stopped) {
        boost::system::error_code ended;
        co_await stopped.async_wait(asio::redirect_error(asio::use_awaitable, ended));
    }
}

asio::awaitable<void> server_parts::close_parts() {
    if (profile_written) {
        std::function<void()> work = [self = shared_from_this()] {
            remove_profile(self->options.profile_file, self->api_url);
        };
        co_await run_blocking(work);
    }
    if (certificate) co_await certificate->close();
    // Both servers at once: idle connections end, busy ones share the same deadline.
    const time_point deadline = deadline_after(options.stop_grace);
    if (postgres) {
        postgres->server()->ask_to_leave();
        co_await postgres->close_reserve();
    }
    if (http) co_await http->close(options.stop_grace);
    if (sessions) co_await sessions->close();
    if (jobs) co_await jobs->close();
    if (quota) co_await quota->close();
    if (postgres) {
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(
            deadline - std::chrono::steady_clock::now());
        co_await postgres->server()->empty(std::max(left, std::chrono::milliseconds(0)));
    }
    // Ends the remaining sessions with PostgreSQL's own message, which the gateway still passes on.
    if (databases) co_await databases->stop();
    if (postgres) co_await postgres->server()->close(session_grace);
    if (catalog) co_await catalog->close();
    if (databases) co_await databases->close();  // and with it the directory of the catalog
}

asio::awaitable<std::string> server_parts::id_of(database_name name) const {
    const caller owner = co_await catalog->find_user(std::string(name.user()));
    const database found = co_await catalog->find(owner, std::move(name));
    co_return found.id;
}

}  // namespace bitdotio
