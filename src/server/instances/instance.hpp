// One database's PostgreSQL: applies the dormancy rule to a real process.
#pragma once

#include "base/alarm.hpp"
#include "base/async_semaphore.hpp"
#include "base/strand.hpp"
#include "server/base/instance_event.hpp"
#include "server/hosts/database_host.hpp"
#include "server/instances/dormancy.hpp"
#include "server/instances/instance_keeper.hpp"
#include "server/instances/instance_log.hpp"
#include "server/instances/process.hpp"
#include "server/instances/programs.hpp"

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/steady_timer.hpp>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace bitdotio {

namespace asio = boost::asio;

class failure_report;
class event_log;

/// The settings that all instances of a host share.
struct instance_settings {
    instance_settings() = default;

    postgres_programs programs;
    system_user run_as;
    std::chrono::milliseconds sleep_after{};
    std::chrono::milliseconds idle_session_timeout{};
    std::chrono::milliseconds idle_in_transaction_timeout{};
    int max_connections = 0;
    std::chrono::milliseconds start_timeout{};
    /// Where the files of write_login_rules are.
    std::filesystem::path login_rules;
    /// Finds accounts that exist; may be empty, and is set before the first wake.
    std::shared_ptr<database_host::account_check> accounts =
        std::make_shared<database_host::account_check>();
    /// If false, a crash of the machine may lose committed data, or everything.
    bool durable = true;
    /// PostgreSQL's temp_file_limit, in bytes.
    std::uint64_t temporary_files = std::uint64_t{1} << 30;
    /// Called on the host's strand; may be empty.
    std::function<void(const instance_event&)> tell;
    /// Is told of internal failures; may be null.
    std::shared_ptr<const bitdotio::event_log> events;
};

/// The instance of one database and its life.
///
/// Thread safety: only on its strand, except `release`, `session`, `mend` and `socket_directory`.
class instance final : public held_database, public std::enable_shared_from_this<instance> {
public:
    /// Its only database.
    static constexpr const char* database = "main";

    instance(strand home, std::shared_ptr<const instance_settings> settings,
             std::shared_ptr<async_semaphore> wakes, std::filesystem::path data_directory,
             std::filesystem::path socket_directory, std::string mark);

    const std::filesystem::path& data_directory() const noexcept { return data_directory_; }
    const std::string& socket_directory() const noexcept { return socket_directory_; }

    /// See instance_host for these.
    asio::awaitable<lease> hold();
    /// The same if it is awake now.
    std::optional<lease> hold_awake();
    asio::awaitable<void> sleep_now();
    asio::awaitable<void> wait_until_asleep();
    bool is_asleep() const noexcept { return !living_; }

    /// Puts right what keys have changed, of an instance that somebody holds. Returns what was
    /// wrong, also what was put right since the last call.
    asio::awaitable<std::vector<std::string>> repair();
    asio::awaitable<void> end_sessions(std::vector<std::string> roles);

    /// Refuses waiting and new callers, and begins to stop: await `wait_until_asleep`.
    ///
    /// Parameters: `discards` if its data is removed afterwards.
    void close(bool discards = false);

    asio::awaitable<session_target> session(std::string role, std::string account) override;
    asio::awaitable<bool> mend() override;
    void release(std::uint64_t life) noexcept override;

private:
    struct waiter {
        explicit waiter(const asio::any_io_executor& executor);
        asio::steady_timer called;
        std::optional<std::uint64_t> life;
        std::optional<error> refused;
    };

    asio::awaitable<void> live();
    asio::awaitable<void> start();
    asio::awaitable<void> clear_after_crash();
    asio::awaitable<void> put_right_at_start(bool looks);
    asio::awaitable<void> put_right_at_end();
    asio::awaitable<void> drop_unknown_roles();
    asio::awaitable<instance_keeper::findings> do_repair(bool thorough);
    asio::awaitable<session_target> do_session(std::string role, std::string account);
    asio::awaitable<bool> do_mend();
    void obey();
    void lived();
    failure_report on_failure() const noexcept;
    void tell(instance_event event) const;
    std::string id() const;
    bool is_ready() const;
    command start_command() const;

    strand strand_;
    const std::shared_ptr<const instance_settings> settings_;
    const std::shared_ptr<async_semaphore> wakes_;
    const std::filesystem::path data_directory_;
    const std::string socket_directory_;
    const instance_keeper keeper_;
    const std::string mark_;  ///< the cluster_name, by which its processes are known
    dormancy rule_;
    std::optional<child> process_;
    std::shared_ptr<instance_log> log_;   ///< of the process
    bool living_ = false;                 ///< `live` is running
    bool crashed_ = true;                 ///< the last life is not known to have ended well
    std::string failure_;                 ///< why the last start failed
    std::set<std::string> roles_;         ///< of accounts, known to exist
    std::vector<std::string> put_right_;  ///< not yet told by `repair`
    std::chrono::steady_clock::time_point mended_{};
    std::list<std::shared_ptr<waiter>> waiters_;
    alarm next_event_;
    asio::steady_timer asleep_;  ///< cancelled to tell that it is asleep
};

}  // namespace bitdotio
