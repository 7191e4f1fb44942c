// Lays out the data directory and keeps the instances in it.
#include "server/instances/instance_host.hpp"

#include "base/blocking.hpp"
#include "server/instances/orphan_processes.hpp"

#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>
#include <thread>
#include <utility>

namespace bitdotio {

namespace {

namespace fs = std::filesystem;

// <data>/postgres belongs to the user PostgreSQL runs as:
//   template/  the source of all databases          db/<id>/  their data directories
//   s/<n>/     their sockets, in short paths        trash/    directories being removed
//   pg_hba.conf, pg_ident.conf   who may log in
constexpr const char* postgres_part = "postgres";
constexpr std::size_t file_workers = 2;

// How long an instance left by a killed server may take to end by itself.
constexpr std::chrono::seconds orphan_patience{10};
// The limit for ending sessions by their roles.
constexpr std::chrono::seconds ending_patience{10};

// The mark by which the processes of this data directory are known.
std::string mark_of(const fs::path& directory) {
    std::uint64_t hash = 0xcbf29ce484222325;  // FNV-1a
    for (const char c : directory.string()) {
        hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
    }
    constexpr char digits[] = "0123456789abcdef";
    std::string mark = "@";
    for (int shift = 60; shift >= 0; shift -= 4) {
        mark.push_back(digits[(hash >> shift) & 0xf]);
    }
    return mark;
}

void make_directory(const fs::path& path, const system_user& owner) {
    if ((::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) ||
        (owner.change && ::lchown(path.c_str(), owner.uid, owner.gid) != 0)) {
        throw error(errc::system_failed,
                    "cannot make the directory " + path.string() + ": " + std::strerror(errno));
    }
}

void check_socket_path(const fs::path& data) {
    const fs::path longest = data / postgres_part / "s" / "99999" / ".s.PGSQL.5432";
    const std::size_t length = longest.string().size();
    const std::size_t room = sizeof(sockaddr_un::sun_path) - 1;
    if (length > room) {
        throw error(errc::system_failed,
                    "the path of the data directory " + data.string() +
                        " is too long for the "
                        "sockets in it: it may have " +
                        std::to_string(room - (length - data.string().size())) +
                        " characters; name another (a temporary one is made in TMPDIR)");
    }
}

bool is_id(const std::string& text) {
    return !text.empty() && text.size() <= 36 &&
           text.find_first_not_of("0123456789abcdef-") == std::string::npos;
}

// All blocking work on a data directory.
struct prepared_directory {
    std::optional<data_directory> directory;
    std::shared_ptr<instance_settings> settings;
    bool has_template = false;
    std::vector<std::string> ids;
};

void prepare(prepared_directory& result, const instance_host_options& options) {
    if (options.max_connections < 1 || options.max_connections > 10'000) {
        throw error(errc::bad_input, "a database can have from 1 to 10000 connections, not " +
                                         std::to_string(options.max_connections));
    }
    const system_user run_as = unprivileged_user(options.run_as);
    result.directory.emplace(data_directory::open(options.data_directory));
    const fs::path data = result.directory->path();
    check_socket_path(data);
    end_postgres_processes(mark_of(data), orphan_patience);

    const fs::path part = data / postgres_part;
    make_directory(part, run_as);
    for (const char* passing : {"s", "trash"}) {
        fs::remove_all(part / passing);
        make_directory(part / passing, run_as);
    }
    make_directory(part / "db", run_as);
    for (const auto& entry : fs::directory_iterator(part / "db")) {
        const std::string name = entry.path().filename();
        if (is_id(name)) {
            result.ids.push_back(name);
        } else {
            fs::remove_all(entry.path());  // a copy that was not finished
        }
    }

    const std::string version = version_of(part / "template");
    result.has_template = !version.empty();
    result.settings = std::make_shared<instance_settings>();
    result.settings->programs = find_postgres_programs(options.postgres_programs, version);
    result.settings->run_as = run_as;
    result.settings->login_rules = part;
    write_login_rules(part, run_as);
    result.settings->sleep_after = options.sleep_after;
    result.settings->idle_session_timeout = options.idle_session_timeout;
    result.settings->idle_in_transaction_timeout = options.idle_in_transaction_timeout;
    result.settings->max_connections = options.max_connections;
    result.settings->start_timeout = options.start_timeout;
    result.settings->durable = options.durable;
    result.settings->temporary_files = options.temporary_files;
    result.settings->tell = options.tell;
    result.settings->events = options.events;
}

error unknown(const std::string& id) {
    return error(errc::not_found, "there is no database with the id \"" + id + "\"");
}

}  // namespace

asio::awaitable<std::shared_ptr<instance_host>> instance_host::open(asio::any_io_executor executor,
                                                                    instance_host_options options) {
    const auto strand = bitdotio::strand(executor);
    return on_strand(strand, nullptr, do_open(strand, std::move(options)));
}

asio::awaitable<std::shared_ptr<instance_host>> instance_host::do_open(
    bitdotio::strand strand, instance_host_options options) {
    co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
    const auto result = std::make_shared<prepared_directory>();
    std::function<void()> work = [result, options = std::move(options)] {
        try {
            prepare(*result, options);
        } catch (const fs::filesystem_error& failure) {
            throw error(errc::system_failed, failure.what());
        }
    };
    co_await run_blocking(std::move(work));
    auto made =
        std::make_shared<instance_host>(strand, std::move(*result->directory), result->settings);
    if (!result->has_template) {
        co_await make_template(result->settings->programs, result->settings->run_as,
                               made->directory() / postgres_part / "template");
    }
    for (const std::string& id : result->ids) {
        co_await made->add(id);
    }
    co_return made;
}

instance_host::instance_host(bitdotio::strand strand, data_directory directory,
                             std::shared_ptr<const instance_settings> settings)
    : database_host(std::move(strand)),
      directory_(std::move(directory)),
      settings_(std::move(settings)),
      mark_(mark_of(directory_.path())),
      wakes_(
          std::make_shared<async_semaphore>(2 * std::max(1U, std::thread::hardware_concurrency()))),
      file_work_(file_workers) {}

instance_host::~instance_host() {
    if (closed_) {
        return;
    }
    try {
        if (directory_.is_temporary()) {
            end_postgres_processes(mark_, std::chrono::milliseconds(0));
        } else {
            ask_postgres_to_stop(mark_);
        }
    } catch (const std::exception&) {
        // Processes that could not be killed stop with ours.
    }
}

fs::path instance_host::directory_of(const std::string& id) const {
    return directory_.path() / postgres_part / "db" / id;
}

std::shared_ptr<instance> instance_host::find(const std::string& id) const {
    check_open();
    const auto found = instances_.find(id);
    if (found == instances_.end()) {
        throw unknown(id);
    }
    return found->second;
}

void instance_host::check_open() const {
    if (closed_) {
        throw error(errc::conflict, "the server has been stopped");
    }
}

asio::awaitable<void> instance_host::add(std::string id) {
    const fs::path sockets =
        directory_.path() / postgres_part / "s" / std::to_string(next_socket_++);
    std::function<void()> make = [sockets, owner = settings_->run_as] {
        make_directory(sockets, owner);
    };
    co_await run_blocking(std::move(make));
    instances_[id] = std::make_shared<instance>(strand(), settings_, wakes_, directory_of(id),
                                                sockets, id + mark_);
}

asio::awaitable<void> instance_host::do_create(std::string id) {
    co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
    if (!is_id(id)) {
        throw error(errc::bad_input, "\"" + id + "\" is not a UUID in lower case");
    }
    const auto mine = co_await file_work_.enter();
    check_open();
    if (instances_.contains(id) || !being_made_.insert(id).second) {
        throw error(errc::conflict, "there is a database with the id \"" + id + "\" already");
    }
    std::exception_ptr failure;
    try {
        co_await clone_template(settings_->run_as, directory_.path() / postgres_part / "template",
                                directory_of(id), !directory_.is_temporary());
        co_await add(id);
    } catch (...) {
        failure = std::current_exception();
    }
    being_made_.erase(id);
    if (failure) {
        std::rethrow_exception(failure);
    }
}

asio::awaitable<void> instance_host::do_remove(std::string id) {
    co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
    find(id);
    const auto mine = co_await file_work_.enter();
    const auto removed = find(id);  // it may be gone by now
    instances_.erase(id);
    removed->close();
    co_await removed->wait_until_asleep();
    std::function<void()> erase = [from = removed->data_directory(),
                                   sockets = fs::path(removed->socket_directory()),
                                   to = directory_.path() / postgres_part / "trash" / id] {
        fs::rename(from, to);  // at once: half a database must never be found
        fs::remove_all(to);
        fs::remove_all(sockets);
    };
    try {
        co_await run_blocking(std::move(erase));
    } catch (const fs::filesystem_error& cause) {
        throw error(errc::system_failed, cause.what());
    }
}

asio::awaitable<std::vector<std::string>> instance_host::do_ids() {
    std::vector<std::string> result;
    for (const auto& [id, _] : instances_) {
        result.push_back(id);
    }
    co_return result;
}

asio::awaitable<lease> instance_host::do_hold(std::string id) {
    co_return co_await find(id)->hold();
}

std::optional<lease> instance_host::hold_awake(const std::string& id) {
    return find(id)->hold_awake();
}

asio::awaitable<void> instance_host::do_sleep_now(std::string id) {
    co_await find(id)->sleep_now();
}

asio::awaitable<void> instance_host::do_wait_until_asleep(std::string id) {
    co_await find(id)->wait_until_asleep();
}

asio::awaitable<bool> instance_host::do_is_asleep(std::string id) {
    co_return find(id)->is_asleep();
}

asio::awaitable<void> instance_host::do_end_sessions(std::string id,
                                                     std::vector<std::string> roles) {
    const auto one = find(id);
    const lease awake = co_await one->hold();
    co_await with_deadline(one->end_sessions(std::move(roles)), deadline_after(ending_patience));
}

asio::awaitable<std::vector<std::string>> instance_host::do_repair(std::string id) {
    const auto one = find(id);
    const lease awake = co_await one->hold();
    co_return co_await one->repair();
}

asio::awaitable<std::int64_t> instance_host::do_storage_bytes(std::string id) {
    const auto sum = std::make_shared<std::int64_t>(0);
    std::function<void()> measure = [sum, data = find(id)->data_directory()] {
        // Tables and indexes, and the notifications that listeners have not taken yet.
        for (const fs::path& part : {data / "base", data / "pg_notify"}) {
            // Files come and go while it runs: a file that is gone counts as nothing.
            std::error_code gone;
            for (fs::recursive_directory_iterator at(part, gone), end; !gone && at != end;
                 at.increment(gone)) {
                // template1, which nobody can enter, and the temporary files of sorts and joins.
                const fs::path name = at.depth() == 0 ? at->path().filename() : fs::path();
                if (name == "1" || name == "pgsql_tmp") {
                    at.disable_recursion_pending();
                }
                std::error_code ignored;
                if (at->is_regular_file(ignored)) {
                    const std::uintmax_t size = at->file_size(ignored);
                    *sum += ignored ? 0 : static_cast<std::int64_t>(size);
                }
            }
        }
    };
    co_await run_blocking(std::move(measure));
    co_return *sum;
}

asio::awaitable<void> instance_host::do_stop() {
    co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
    if (closed_) {
        co_return;
    }
    closed_ = true;
    const bool discards = directory_.is_temporary();
    for (const auto& [id, each] : instances_) {
        each->close(discards);
    }
    // Waits for callers that make or remove files now; those still waiting are refused.
    std::vector<async_semaphore::pass> all;
    while (all.size() < file_workers) {
        all.push_back(co_await file_work_.enter());
    }
    for (const auto& [id, each] : instances_) {
        each->close(discards);  // also those that were made meanwhile
    }
    for (const auto& [id, each] : instances_) {
        co_await each->wait_until_asleep();
    }
}

asio::awaitable<void> instance_host::do_close() {
    co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
    co_await do_stop();
    std::function<void()> end = [this] { directory_.close(); };
    co_await run_blocking(std::move(end));
}

}  // namespace bitdotio
