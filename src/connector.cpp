// Resolving, dialling, and waiting for a database to wake.
#include "connector.hpp"

#include "backoff.hpp"
#include "failure.hpp"
#include "postgres_session.hpp"

#include <bitdotio/connection.hpp>

#include <boost/asio/ip/tcp.hpp>

#include <random>
#include <utility>

namespace bitdotio {

namespace {

// Where Debian and its kin keep the authorities of the system; libpq 15 has no name for them.
constexpr const char* system_ca_file = "/etc/ssl/certs/ca-certificates.crt";

bool is_unix_socket(const std::string& host) {
    return host.starts_with('/');
}

error resolve_error(const host_port& host, const boost::system::error_code& failure) {
    const bool later = failure == asio::error::host_not_found_try_again;
    return error(later ? errc::database_asleep : errc::connect_failed,
                 "cannot resolve host \"" + host.host + "\": " + failure.message())
        .with(phase::resolving)
        .with(outcome::not_sent);
}

// However the last try failed: who waited for the database asks whether it woke.
error still_asleep(const error& last) {
    return last.with_code(errc::database_asleep)
        .with_message(std::string("the database did not wake in time; the last try to connect: ") +
                      last.what());
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

connector::connector(asio::any_io_executor executor, connect_options options)
    : executor_(std::move(executor)) {
    if (options.hosts.empty()) {
        throw error(errc::bad_input, "connect_options::hosts is empty; name at least one host");
    }
    for (const host_port& host : options.hosts) {
        if (host.host.empty() || host.port == 0) {
            throw error(errc::bad_input,
                        "connect_options::hosts has an entry without a host or "
                        "with port 0");
        }
    }
    if (options.connect_timeout.count() <= 0 || options.cancel_timeout.count() <= 0) {
        throw error(errc::bad_input,
                    "connect_timeout and cancel_timeout of connect_options must be above 0 ms");
    }
    if (options.wake_timeout.count() < 0 || options.statement_timeout.count() < 0) {
        throw error(errc::bad_input,
                    "wake_timeout and statement_timeout of connect_options must not be negative");
    }
    options_ = std::make_shared<const connect_options>(std::move(options));
}

asio::awaitable<std::vector<connector::address>> connector::resolve(host_port host) const {
    std::vector<address> found;
    boost::system::error_code literal;
    asio::ip::make_address(host.host, literal);
    if (is_unix_socket(host.host) || !literal) {
        found.push_back({host.host, is_unix_socket(host.host) ? "" : host.host, host.port});
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
        found.push_back({host.host, entry.endpoint().address().to_string(), host.port});
    }
    co_return found;
}

asio::awaitable<std::shared_ptr<postgres_session>> connector::dial_address(address target) const {
    const connect_options& options = *options_;
    libpq_parameters parameters{
        {"host", target.host},
        {"hostaddr", target.numeric},
        {"port", std::to_string(target.port)},
        {"dbname", options.database},
        {"user", options.user},
        {"password", options.password},
        {"application_name", options.application_name},
        {"client_encoding", "UTF8"},
        // A GSSAPI attempt costs a round trip and ends in the same TLS.
        {"gssencmode", "disable"},
        // Keepalives alone and the user timeout alone each leave one way to hang.
        {"keepalives_idle", "10"},
        {"keepalives_interval", "5"},
        {"keepalives_count", "3"},
        {"tcp_user_timeout", "15000"},
    };
    if (options.tls == tls_mode::disable || target.numeric.empty()) {
        parameters.emplace_back("sslmode", "disable");
    } else {
        parameters.emplace_back("sslmode", "verify-full");
        parameters.emplace_back("sslrootcert",
                                options.ca_file.empty() ? system_ca_file : options.ca_file);
    }
    const auto session = std::make_shared<postgres_session>(executor_, options);
    co_await session->open(std::move(parameters), deadline_after(options.connect_timeout));
    co_return session;
}

asio::awaitable<std::shared_ptr<postgres_session>> connector::dial() const {
    std::optional<error> last;
    for (const host_port& host : options_->hosts) {
        std::vector<address> addresses;
        try {
            addresses =
                co_await with_deadline(resolve(host), deadline_after(options_->connect_timeout));
        } catch (const error& failure) {
            if (failure.code() == errc::cancelled) {
                throw;
            }
            last = failure;
        }
        for (const address& target : addresses) {
            try {
                co_return co_await dial_address(target);
            } catch (const error& failure) {
                if (judge_dial(failure) == dial_verdict::fatal) {
                    throw;
                }
                last = failure;
            }
        }
    }
    throw last.value_or(error(errc::connect_failed, "no host has an address"));
}

asio::awaitable<std::shared_ptr<postgres_session>> connector::open() const {
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
            if (verdict == dial_verdict::fatal || waited + delay > options_->wake_timeout) {
                const error last =
                    verdict == dial_verdict::waking ? still_asleep(failure) : failure;
                throw last.with_attempts(static_cast<int>(failed));
            }
        }
        pause.expires_after(delay);
        boost::system::error_code aborted;
        co_await pause.async_wait(asio::redirect_error(asio::use_awaitable, aborted));
        if (aborted) {
            throw dial_cancelled();
        }
    }
}

asio::awaitable<connection> connection::open(connect_options options) {
    const connector target(co_await asio::this_coro::executor, std::move(options));
    co_return connection(co_await target.open());
}

}  // namespace bitdotio
