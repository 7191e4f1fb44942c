// Resolves names, dials, and waits for a database to wake.
#include "postgres/connector.hpp"

#include "base/backoff.hpp"
#include "base/blocking.hpp"
#include "postgres/conninfo.hpp"
#include "postgres/conninfo_files.hpp"
#include "postgres/dial_parameters.hpp"
#include "postgres/failure.hpp"
#include "postgres/postgres_session.hpp"

#include <boost/asio/ip/tcp.hpp>

#include <algorithm>
#include <random>
#include <string_view>
#include <tuple>
#include <utility>

namespace bitdotio {

namespace {

std::string place(const host_port& host) {
    return (host.host.empty() ? host.address : host.host) + ":" + std::to_string(host.port);
}

error resolve_error(const host_port& host, const boost::system::error_code& failure) {
    const bool later = failure == asio::error::host_not_found_try_again;
    return error(later ? errc::database_asleep : errc::connect_failed,
                 "cannot resolve host \"" + host.host + "\": " + failure.message())
        .with(phase::resolving)
        .with(outcome::not_sent);
}

// Keeps the code database_asleep however the last try failed: the caller asks whether it woke.
error still_asleep(const error& last) {
    return last.with_code(errc::database_asleep)
        .with_message(std::string("the database did not wake in time; the last try to connect: ") +
                      last.what());
}

// Waiting may help: a standby may be about to be promoted, a primary to come back as a standby.
error of_other_role(session_attributes wanted, const std::string& places) {
    return error(errc::database_asleep,
                 "no server of the wanted role: target_session_attrs asks for " +
                     std::string(describe(wanted)) + "; of another role: " + places)
        .with(phase::connecting)
        .with(outcome::not_sent);
}

// No host would do: says which were of another role, and how the last of the others failed.
error no_host(const std::optional<error>& last, session_attributes wanted,
              const std::string& other_roles) {
    if (other_roles.empty()) {
        return last.value_or(error(errc::connect_failed, "no host has an address"));
    }
    const error role = of_other_role(wanted, other_roles);
    if (!last) {
        return role;
    }
    // A host that cannot be found must not hide one that may change its role.
    const error& remedy = judge_dial(*last) == dial_verdict::fatal ? role : *last;
    return remedy.with_message(std::string(last->what()) + "; " + role.what());
}

error dial_cancelled() {
    return error(errc::cancelled, "connecting was cancelled")
        .with(phase::connecting)
        .with(outcome::not_sent);
}

}  // namespace

double random_fraction() {
    thread_local std::minstd_rand engine{std::random_device{}()};
    return std::uniform_real_distribution<double>(0, 1)(engine);
}

connector::connector(asio::any_io_executor executor, connect_options options,
                     std::optional<strand> shared)
    : executor_(std::move(executor)),
      shared_(std::move(shared)),
      cancels_(std::make_shared<cancel_queue>(executor_)) {
    check(options);
    options_ = std::make_shared<const connect_options>(std::move(options));
}

std::uint64_t connector::cancels_sent() const noexcept {
    return cancels_->sent();
}

asio::awaitable<std::vector<connector::address>> connector::resolve(host_port host) const {
    std::vector<address> found;
    boost::system::error_code literal;
    asio::ip::make_address(host.host, literal);
    if (!host.address.empty() || is_unix_socket(host.host) || !literal) {
        const bool numeric = host.address.empty() && !literal;
        found.emplace_back(host, numeric ? host.host : host.address);
        co_return found;
    }
    asio::ip::tcp::resolver resolver(co_await asio::this_coro::executor);
    boost::system::error_code failure;
    const std::string service = std::to_string(host.port);
    const auto results = co_await resolver.async_resolve(
        host.host, service, asio::redirect_error(asio::use_awaitable, failure));
    if (failure == asio::error::operation_aborted) {
        throw dial_cancelled();
    }
    if (failure) {
        throw resolve_error(host, failure);
    }
    for (const auto& entry : results) {
        found.emplace_back(host, entry.endpoint().address().to_string());
    }
    if (options_->load_balance_hosts) {
        shuffle(found, random_fraction);
    }
    co_return found;
}

// Asks the program for credentials. An `error` that a callback throws is
// the caller's word on what to do about it.
asio::awaitable<void> connector::ask(login& who) const {
    const time_point deadline = deadline_after(options_->connect_timeout);
    std::optional<error> failed;
    try {
        credentials given =
            co_await with_deadline(options_->ask_credentials(++who.asked), deadline);
        who.user = given.user.empty() ? options_->user : std::move(given.user);
        who.password = std::move(given.password);
    } catch (const error& failure) {
        failed = failure;
    } catch (const std::exception& failure) {
        failed.emplace(errc::authentication_failed, failure.what());
    } catch (...) {
        failed.emplace(errc::authentication_failed, "ask_credentials threw something unknown");
    }
    const asio::cancellation_state state = co_await asio::this_coro::cancellation_state;
    if (state.cancelled() != asio::cancellation_type::none) {
        throw dial_cancelled();
    }
    if (!failed) {
        co_return;
    }
    if (std::chrono::steady_clock::now() >= deadline) {
        failed.emplace(errc::authentication_failed,
                       "connect_options::ask_credentials gave none within connect_timeout");
    }
    throw failed->with_message(std::string("cannot obtain credentials: ") + failed->what())
        .with(phase::connecting)
        .with(outcome::not_sent);
}

// Credentials that were refused may have been changed in the meantime: they are asked for once
// more.
asio::awaitable<connector::session> connector::dial_as(address target, login& who) const {
    try {
        co_return co_await dial_address(target, who);
    } catch (const error& failure) {
        if (failure.sqlstate() != "28P01" || who.asked == 0) {
            throw;
        }
        if (who.asked > 1) {
            throw failure.with_attempts(who.asked);
        }
    }
    co_await ask(who);
    try {
        co_return co_await dial_address(target, who);
    } catch (const error& failure) {
        throw failure.with_attempts(who.asked);
    }
}

asio::awaitable<connector::session> connector::dial_address(address target,
                                                            const login& who) const {
    connect_options options = *options_;
    options.user = who.user;
    std::string password = who.password;
    const password_file& passwords = who.passwords;
    if (password.empty() && !passwords.text.empty()) {
        const std::string& host =
            target.named.host.empty() ? target.named.address : target.named.host;
        password = password_in(passwords.text, host, std::to_string(target.named.port),
                               options.database, options.user)
                       .value_or("");
    }
    strand home = shared_ ? *shared_ : strand(executor_);
    const auto opened = make_for_this_process<postgres_session>(std::move(home), options, cancels_);
    try {
        co_await opened->open(dial_parameters(options, target.named, target.numeric, password),
                              deadline_after(options.connect_timeout));
    } catch (const error& failure) {
        if (failure.code() == errc::authentication_failed && !passwords.ignored.empty()) {
            throw failure.with_message(failure.what() + ("; " + passwords.ignored));
        }
        throw;
    }
    co_return opened;
}

// Servers before PostgreSQL 14, and poolers, may not report their role: they are asked for it.
asio::awaitable<suitability> connector::look_at(session candidate) const {
    server_role role = candidate->role();
    const suitability reported = judge_role(options_->target_session_attrs, role);
    if (reported != suitability::unknown) {
        co_return reported;
    }
    statement question(
        "SELECT pg_catalog.pg_is_in_recovery(), "
        "pg_catalog.current_setting('transaction_read_only') = 'on'");
    question.timeout(options_->connect_timeout);
    const result answer = co_await candidate->run(std::move(question), params());
    const auto [standby, read_only] = answer.one<std::tuple<bool, bool>>();
    role.standby = standby;
    role.read_only = read_only;
    co_return judge_role(options_->target_session_attrs, role);
}

asio::awaitable<void> connector::read_passwords(std::shared_ptr<password_file> passwords) const {
    std::function<void()> work = [passwords, options = options_] {
        *passwords = read_password_file(options->password_file);
    };
    co_await run_blocking(std::move(work));
}

asio::awaitable<connector::session> connector::dial() const {
    login who{options_->user, options_->password};
    if (options_->ask_credentials) {
        co_await ask(who);
    } else if (options_->password.empty() && !options_->password_file.empty()) {
        const auto passwords = std::make_shared<password_file>();
        co_await on_strand(asio::make_strand(executor_), options_, read_passwords(passwords));
        who.passwords = *passwords;
    }
    std::vector<host_port> hosts = options_->hosts;
    if (options_->load_balance_hosts) {
        shuffle(hosts, random_fraction);
    }
    std::optional<error> last;
    std::string other_roles;
    session second_best;
    for (const host_port& host : hosts) {
        std::vector<address> addresses;
        try {
            addresses =
                co_await with_deadline(resolve(host), deadline_after(options_->connect_timeout));
        } catch (const error& failure) {
            if (failure.code() == errc::cancelled) {
                throw;
            }
            // A host that cannot be found must not hide one that is waking.
            if (!last || judge_dial(*last) == dial_verdict::fatal) {
                last = failure;
            }
        }
        for (const address& target : addresses) {
            try {
                session candidate = co_await dial_as(target, who);
                const suitability verdict = co_await look_at(candidate);
                if (verdict == suitability::suits) {
                    co_return candidate;
                }
                if (verdict == suitability::second_best && !second_best) {
                    second_best = std::move(candidate);
                    break;
                }
                candidate->close();
                if (!other_roles.ends_with(place(host))) {
                    other_roles += (other_roles.empty() ? "" : ", ") + place(host);
                }
            } catch (const error& failure) {
                const bool fatal = judge_dial(failure) == dial_verdict::fatal;
                if (failure.code() == errc::cancelled || (fatal && !second_best)) {
                    throw;
                }
                last = failure;
            }
        }
    }
    if (second_best) {
        co_return second_best;
    }
    throw no_host(last, options_->target_session_attrs, other_roles);
}

asio::awaitable<connector::session> connector::open() const {
    const auto begin = std::chrono::steady_clock::now();
    const auto executor = co_await asio::this_coro::executor;
    asio::steady_timer pause(executor);
    for (std::size_t failed = 1;; ++failed) {
        std::chrono::milliseconds delay{0};
        try {
            co_return co_await dial();
        } catch (const error& failure) {
            const dial_verdict verdict = judge_dial(failure);
            const auto waited = std::chrono::duration_cast<std::chrono::milliseconds>(
                std::chrono::steady_clock::now() - begin);
            delay = verdict == dial_verdict::busy ? busy_delay(failed, random_fraction())
                                                  : wake_delay(failed, waited, random_fraction());
            if (verdict == dial_verdict::fatal || waited >= options_->wake_timeout) {
                const error last =
                    verdict == dial_verdict::waking ? still_asleep(failure) : failure;
                throw last.with_attempts(static_cast<int>(failed) + failure.attempts() - 1);
            }
            // The last try is made when the time is up, not a pause before.
            delay = std::min(delay, options_->wake_timeout - waited);
        }
        pause.expires_after(delay);
        boost::system::error_code aborted;
        co_await pause.async_wait(asio::redirect_error(asio::use_awaitable, aborted));
        if (aborted) {
            throw dial_cancelled();
        }
    }
}

}  // namespace bitdotio
