// Starts, watches and stops one PostgreSQL as the dormancy rule says.
#include "server/instances/instance.hpp"

#include "base/blocking.hpp"
#include "server/base/event_log.hpp"
#include "server/instances/log_words.hpp"
#include "server/instances/orphan_processes.hpp"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <exception>
#include <limits>
#include <string_view>
#include <utility>

namespace bitdotio {

namespace {

// PostgreSQL reports its readiness only in a file, which is read this often.
constexpr std::chrono::milliseconds readiness_interval{1};
// The places kept for ourselves, so that sessions can be ended and limits lifted when it is full.
constexpr int reserved_connections = 2;

dormancy::settings rule_settings(const instance_settings& settings) {
    dormancy::settings result;
    result.sleep_after = settings.sleep_after;
    return result;
}

}  // namespace

instance::waiter::waiter(const asio::any_io_executor& executor) : called(executor, no_deadline) {}

instance::instance(strand home, std::shared_ptr<const instance_settings> settings,
                   std::shared_ptr<async_semaphore> wakes, std::filesystem::path data_directory,
                   std::filesystem::path socket_directory, std::string mark)
    : strand_(std::move(home)),
      settings_(std::move(settings)),
      wakes_(std::move(wakes)),
      data_directory_(std::move(data_directory)),
      socket_directory_(socket_directory.string()),
      keeper_(socket_directory_),
      mark_(std::move(mark)),
      rule_(rule_settings(*settings_)),
      next_event_(strand_),
      asleep_(strand_, no_deadline) {}

asio::awaitable<lease> instance::hold() {
    co_await asio::this_coro::reset_cancellation_state(asio::enable_total_cancellation());
    co_await asio::this_coro::throw_if_cancelled(false);
    const auto self = shared_from_this();
    const auto waiting = std::make_shared<waiter>(strand_);
    waiters_.push_back(waiting);
    rule_.wait();
    obey();
    if (!waiting->life && !waiting->refused) {
        boost::system::error_code ended;
        co_await waiting->called.async_wait(asio::redirect_error(asio::use_awaitable, ended));
    }
    if (waiting->life) {
        tell(instance_event());
        co_return lease(self, *waiting->life);
    }
    if (waiting->refused) {
        throw *waiting->refused;
    }
    waiters_.remove(waiting);
    rule_.forget();
    obey();
    throw error(errc::cancelled, "waiting for the database to wake was cancelled");
}

std::optional<lease> instance::hold_awake() {
    if (!rule_.admits_at_once()) return std::nullopt;
    rule_.wait();
    obey();
    tell(instance_event());
    return lease(shared_from_this(), rule_.life());
}

void instance::release(std::uint64_t life) noexcept {
    auto closed = [self = shared_from_this(), life] {
        self->rule_.connection_closed(life, std::chrono::steady_clock::now());
        self->obey();
    };
    post_work(strand_, guarded(std::move(closed), on_failure()));
}

asio::awaitable<void> instance::sleep_now() {
    const auto self = shared_from_this();
    rule_.sleep_now();
    obey();
    co_await wait_until_asleep();
}

asio::awaitable<void> instance::wait_until_asleep() {
    co_await asio::this_coro::reset_cancellation_state(asio::enable_total_cancellation());
    co_await asio::this_coro::throw_if_cancelled(false);
    const auto self = shared_from_this();
    const std::uint64_t life = rule_.life();
    while (living_ && rule_.life() == life) {
        boost::system::error_code ended;
        co_await asleep_.async_wait(asio::redirect_error(asio::use_awaitable, ended));
        const asio::cancellation_state state = co_await asio::this_coro::cancellation_state;
        if (state.cancelled() != asio::cancellation_type::none) {
            throw error(errc::cancelled, "waiting for the database to sleep was cancelled");
        }
    }
}

void instance::close(bool discards) {
    rule_.close(discards);
    obey();
}

// Carries out what the rule decides. Called after every event.
void instance::obey() {
    const auto now = std::chrono::steady_clock::now();
    const dormancy::orders orders = rule_.decide(now);
    if (orders.admit || orders.refuse) {
        const error refused(errc::database_asleep, rule_.is_broken(now)
                                                       ? "the database does not start"
                                                       : "the database is being closed");
        for (const auto& waiting : std::exchange(waiters_, {})) {
            if (orders.admit) {
                waiting->life = rule_.life();
            } else {
                waiting->refused = refused;
            }
            waiting->called.cancel();
        }
    }
    if (orders.start) {
        living_ = true;
        auto ended = [self = shared_from_this(),
                      report = on_failure()](std::exception_ptr thrown) noexcept {
            report(thrown);
            guarded([&] { self->lived(); }, report)();
        };
        spawn_alone(strand_, live(), std::move(ended));
    }
    if (orders.put_right) spawn_alone(strand_, put_right_at_end(), on_failure());
    if (process_) {
        switch (orders.stop) {
            case dormancy::stop::no: break;
            case dormancy::stop::fast: process_->signal(SIGINT); break;
            case dormancy::stop::immediate: process_->signal(SIGQUIT); break;
            case dormancy::stop::kill: process_->signal(SIGKILL); break;
        }
    }
    next_event_.set(orders.next, weak_from_this(), std::mem_fn(&instance::obey), on_failure());
}

failure_report instance::on_failure() const noexcept {
    return failure_report(settings_->events, "the life of a database");
}

std::string instance::id() const {
    return mark_.substr(0, mark_.find('@'));
}

void instance::tell(instance_event event) const {
    if (!settings_->tell) return;
    event.id = id();
    settings_->tell(event);
}

// Runs one life, from the order to start to the end of the process.
asio::awaitable<void> instance::live() {
    const auto self = shared_from_this();
    const auto begun = std::chrono::steady_clock::now();
    int status = 0;
    bool woke = false;
    try {
        co_await start();
        if (process_ && !process_->has_ended()) {
            woke = true;
            instance_event event;
            event.kind = instance_event::what::woke;
            event.took = std::chrono::steady_clock::now() - begun;
            tell(std::move(event));
            rule_.started(std::chrono::steady_clock::now());
            obey();
        }
        status = co_await process_->wait();
        failure_ = "PostgreSQL ended " + (status < 0 ? "by signal " + std::to_string(-status)
                                                     : "with code " + std::to_string(status));
    } catch (...) {
        failure_ = loggable_failure(std::current_exception());
        status = -1;
    }
    crashed_ = status != 0 && !rule_.discards();
    process_.reset();
    std::string words;
    if (const auto log = std::exchange(log_, nullptr)) words = co_await log->finish();
    if (crashed_) {
        const std::string last = log_words(words);
        failure_ += last.empty() ? "" : "; the end of its log: " + last;
    }
    // A stop that was asked for during the start is not a failed start.
    if (woke || rule_.current() != dormancy::state::falling_asleep) {
        instance_event event;
        event.kind = woke ? instance_event::what::slept : instance_event::what::failed;
        event.words = crashed_ || !woke ? failure_ : "";
        tell(std::move(event));
    }
}

// Ends a life, for whatever reason; another one can begin.
void instance::lived() {
    living_ = false;
    rule_.stopped(std::chrono::steady_clock::now());
    asleep_.cancel();
    obey();
}

// Returns when PostgreSQL accepts connections or has ended again.
asio::awaitable<void> instance::start() {
    const auto mine = co_await wakes_->enter();
    const bool looks = crashed_ || !rule_.was_left_right();
    if (crashed_) {
        co_await clear_after_crash();
    }
    if (rule_.current() == dormancy::state::waking) {  // the start is still wanted
        log_ = std::make_shared<instance_log>(strand_.get_inner_executor(),
                                              data_directory_ / "postgres.log", settings_->run_as);
        std::exception_ptr failure;
        try {
            process_ = co_await child::start(start_command());
        } catch (...) {
            failure = std::current_exception();
        }
        log_->begin(on_failure());
        if (failure) std::rethrow_exception(failure);
    }
    if (process_ && rule_.current() != dormancy::state::waking) {
        process_->signal(SIGINT);
    }
    asio::steady_timer pause(strand_);
    const time_point deadline = deadline_after(settings_->start_timeout);
    while (process_ && !is_ready() && !process_->has_ended()) {
        if (std::chrono::steady_clock::now() >= deadline) {
            process_->signal(SIGKILL);
            co_await process_->wait();
            throw error(errc::system_failed, "PostgreSQL did not accept connections in time");
        }
        pause.expires_after(readiness_interval);
        co_await pause.async_wait(asio::use_awaitable);
    }
    if (!process_) {
        throw error(errc::cancelled, "the start was no longer wanted");
    }
    if (!process_->has_ended() && rule_.current() == dormancy::state::waking) {
        co_await put_right_at_start(looks);
    }
}

// A killed postmaster leaves children that may still write, and files that say it runs.
asio::awaitable<void> instance::clear_after_crash() {
    std::function<void()> clear = [mark = mark_, data = data_directory_,
                                   socket = std::filesystem::path(socket_directory_)] {
        end_postgres_processes(mark, std::chrono::milliseconds(0));
        std::error_code ignored;
        std::filesystem::remove(data / "postmaster.pid", ignored);
        std::filesystem::remove(socket / ".s.PGSQL.5432", ignored);
        std::filesystem::remove(socket / ".s.PGSQL.5432.lock", ignored);
    };
    co_await run_blocking(std::move(clear));
    crashed_ = false;
}

bool instance::is_ready() const {
    // Lines 1 and 8: the process that wrote it, and its state. The file may be an earlier one's.
    const std::filesystem::path file = data_directory_ / "postmaster.pid";
    const int opened = ::open(file.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (opened < 0) {
        return false;
    }
    std::array<char, 2'048> room;
    const ssize_t size = ::read(opened, room.data(), room.size());
    ::close(opened);
    std::string_view text(room.data(), size > 0 ? static_cast<std::size_t>(size) : 0);
    if (!text.starts_with(std::to_string(process_->pid()) + "\n")) {
        return false;
    }
    for (int line = 1; line < 8; ++line) {
        const std::size_t end = text.find('\n');
        if (end == std::string_view::npos) {
            return false;
        }
        text.remove_prefix(end + 1);
    }
    return text.starts_with("ready");
}

command instance::start_command() const {
    const auto milliseconds = [](std::chrono::milliseconds time) {
        constexpr std::int64_t most = std::numeric_limits<std::int32_t>::max();  // PostgreSQL's
        return std::to_string(std::min<std::int64_t>(time.count(), most)) + "ms";
    };
    const std::string durability = settings_->durable ? "on" : "off";
    command what;
    what.directory = data_directory_;
    what.output_handle = log_->write_end();
    what.run_as = settings_->run_as;
    what.death_signal = SIGINT;  // fast: committed data is checkpointed
    what.arguments = {settings_->programs.postgres, "-D", data_directory_};
    for (const std::string& setting : {
             "cluster_name=" + mark_,
             std::string("listen_addresses="),
             "unix_socket_directories=\"" + socket_directory_ + "\"",  // a list, hence quoted
             std::string("unix_socket_permissions=0700"),
             std::string("port=5432"),
             // Small, because there are many instances.
             std::string("shared_buffers=16MB"),
             "max_connections=" + std::to_string(settings_->max_connections + reserved_connections),
             "superuser_reserved_connections=" + std::to_string(reserved_connections),
             "hba_file=" + (settings_->login_rules / login_rules_file).string(),
             "ident_file=" + (settings_->login_rules / login_names_file).string(),
             // A statement whose client is gone: the gateway cancels it, this is for when it
             // cannot.
             std::string("client_connection_check_interval=10s"),
             // No standby and no archive; a short recovery after a crash.
             std::string("wal_level=minimal"),
             std::string("max_wal_senders=0"),
             std::string("min_wal_size=2MB"),
             std::string("max_wal_size=64MB"),
             // These override any configuration file.
             "fsync=" + durability,
             "full_page_writes=" + durability,
             "synchronous_commit=" + durability,
             std::string("autovacuum=on"),
             std::string("timezone=UTC"),
             std::string("log_timezone=UTC"),
             // The log is about the instance, not about mistakes in its users' statements.
             std::string("logging_collector=off"),
             std::string("log_checkpoints=off"),
             std::string("log_min_messages=log"),
             // Sessions cannot lift it.
             "temp_file_limit=" +
                 std::to_string(std::clamp<std::uint64_t>(settings_->temporary_files / 1024, 1,
                                                          std::numeric_limits<int>::max())) +
                 "kB",
             "idle_session_timeout=" + milliseconds(settings_->idle_session_timeout),
             "idle_in_transaction_session_timeout=" +
                 milliseconds(settings_->idle_in_transaction_timeout),
         }) {
        what.arguments.push_back("-c");
        what.arguments.push_back(setting);
    }
    return what;
}

}  // namespace bitdotio
