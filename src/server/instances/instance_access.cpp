// Opens an awake instance to accounts: their roles, and what keys have changed put right.
#include "server/base/event_log.hpp"
#include "server/instances/instance.hpp"
#include "server/instances/instance_roles.hpp"

#include <algorithm>
#include <exception>
#include <optional>
#include <utility>

namespace bitdotio {

namespace {

// How often a refused session may have the instance looked at.
constexpr std::chrono::seconds mending_interval{1};
// How many things put right are remembered until an operator asks.
constexpr std::size_t most_put_right = 100;

}  // namespace

asio::awaitable<session_target> instance::session(std::string role, std::string account) {
    const auto self = shared_from_this();
    co_return co_await on_strand(strand_, self, do_session(std::move(role), std::move(account)));
}

asio::awaitable<session_target> instance::do_session(std::string role, std::string account) {
    const std::string as = instance_roles::account_role(role, account);
    if (!roles_.contains(as)) {
        std::optional<error> failure;
        try {
            co_await keeper_.make_role(role, as);
        } catch (const error& thrown) {
            failure = thrown;
        }
        if (failure && failure->code() == errc::cancelled) throw *failure;
        // The words of a connection tell of our files.
        if (failure) {
            throw error(errc::database_asleep, "PostgreSQL could not make the account's role")
                .with(failure->phase());
        }
        roles_.insert(as);
    }
    session_target target;
    // The directory, as libpq takes it for `host`: the socket in it is ".s.PGSQL.5432".
    target.connect.hosts.emplace_back(socket_directory_, std::uint16_t{5432});
    target.connect.user = as;
    target.connect.database = database;
    target.connect.tls = tls_mode::disable;
    // A held database is awake: one that is stopped anyway does not come back for this session.
    target.connect.wake_timeout = std::chrono::milliseconds(0);
    target.options = instance_roles::settings(role, settings_->idle_session_timeout,
                                              settings_->idle_in_transaction_timeout);
    co_return target;
}

asio::awaitable<bool> instance::mend() {
    const auto self = shared_from_this();
    co_return co_await on_strand(strand_, self, do_mend());
}

asio::awaitable<bool> instance::do_mend() {
    const auto now = std::chrono::steady_clock::now();
    if (now - mended_ < mending_interval) co_return false;
    mended_ = now;
    try {
        const instance_keeper::findings found = co_await do_repair(false);
        co_return !found.put_right.empty();
    } catch (const error&) {  // it does not answer us either
    }
    co_return false;
}

asio::awaitable<std::vector<std::string>> instance::repair() {
    const auto self = shared_from_this();
    co_await do_repair(true);
    co_return std::exchange(put_right_, {});
}

asio::awaitable<void> instance::end_sessions(std::vector<std::string> roles) {
    const auto self = shared_from_this();
    co_await keeper_.end_sessions(std::move(roles));
}

asio::awaitable<instance_keeper::findings> instance::do_repair(bool thorough) {
    instance_keeper::findings found = co_await keeper_.repair(thorough);
    roles_ = std::set<std::string>(found.roles.begin(), found.roles.end());
    for (const std::string& each : found.put_right) {
        const bool is_new =
            std::find(put_right_.begin(), put_right_.end(), each) == put_right_.end();
        if (is_new && put_right_.size() < most_put_right) put_right_.push_back(each);
        if (!settings_->events) continue;
        server_event event("repaired");
        event.with("database_id", id()).with("what", each);
        settings_->events->tell(event);
    }
    co_return found;
}

// Before the first client. A failure is no reason to keep the database from its clients.
asio::awaitable<void> instance::put_right_at_start(bool looks) {
    std::exception_ptr failure;
    try {
        if (looks) {
            co_await with_deadline(do_repair(false), deadline_after(settings_->start_timeout));
        }
        co_await drop_unknown_roles();
    } catch (...) {
        failure = std::current_exception();
    }
    if (failure && rule_.current() == dormancy::state::waking && !process_->has_ended()) {
        on_failure()(failure);
    }
}

// Before it is stopped, while nobody waits: the next start has one thing less to do then. If that
// fails, the start does it.
asio::awaitable<void> instance::put_right_at_end() {
    const auto self = shared_from_this();
    const std::uint64_t life = rule_.life();
    bool good = false;
    try {
        const time_point deadline = deadline_after(settings_->start_timeout);
        const bool alone = co_await with_deadline(keeper_.is_alone(), deadline);
        if (alone) co_await with_deadline(do_repair(false), deadline);
        good = alone;
    } catch (...) {  // stopped or killed meanwhile, or no connection is left
    }
    rule_.righted(life, good);
    obey();
}

asio::awaitable<void> instance::drop_unknown_roles() {
    const database_host::account_check& known = *settings_->accounts;
    if (!known || roles_.empty()) co_return;
    std::vector<std::string> ids;
    for (const std::string& role : roles_) {
        ids.push_back(instance_roles::account_of(role));
    }
    const std::vector<std::string> there = co_await known(std::move(ids));
    const std::set<std::string> accounts(there.begin(), there.end());
    std::vector<std::string> gone;
    for (const std::string& role : roles_) {
        const std::string account = instance_roles::account_of(role);
        if (account != instance_roles::no_account && !accounts.contains(account)) {
            gone.push_back(role);
        }
    }
    if (gone.empty()) co_return;
    for (const std::string& role : gone) {
        roles_.erase(role);
    }
    co_await keeper_.drop_roles(std::move(gone));
}

}  // namespace bitdotio
