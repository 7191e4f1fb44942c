// What programs and tests ask of a running server.
#include <bitdotio/error.hpp>
#include <bitdotio/local_server.hpp>

#include "base/spawn.hpp"
#include "server/server_parts.hpp"

#include <boost/asio/this_coro.hpp>

#include <memory>
#include <utility>

namespace bitdotio {

class local_server::impl final : public server_parts {
public:
    using server_parts::server_parts;
};

asio::awaitable<local_server> local_server::start(local_server_options options) {
    const auto shared =
        std::make_shared<impl>(co_await asio::this_coro::executor, std::move(options));
    co_await on_strand(shared->strand, shared, shared->start());
    co_return local_server(shared);
}

local_server::local_server(std::shared_ptr<impl> shared) : impl_(std::move(shared)) {}

local_server::local_server(local_server&&) noexcept = default;

local_server& local_server::operator=(local_server&& other) noexcept {
    std::swap(impl_, other.impl_);
    return *this;
}

namespace {

asio::awaitable<void> stop_shared(std::shared_ptr<server_parts> shared) {
    co_await shared->stop();
}

}  // namespace

local_server::~local_server() {
    if (!impl_) return;
    try {
        // In the background; if the executor no longer runs, its end ends the parts.
        spawn_alone(impl_->strand, stop_shared(impl_), failure_report(impl_->events, "the stop"));
    } catch (...) {  // out of memory: the parts end with the executor
    }
}

const std::shared_ptr<local_server::impl>& local_server::running() const {
    if (!impl_) {
        throw error(errc::protocol_violated,
                    "the local_server was never started, or was moved from");
    }
    return impl_;
}

const std::string& local_server::api_url() const {
    return running()->api_url;
}

const std::string& local_server::postgres_host() const {
    return running()->host;
}

std::uint16_t local_server::postgres_port() const {
    return running()->postgres->server()->port();
}

const std::string& local_server::ca_file() const {
    return running()->ca_file;
}

const api_key& local_server::key() const {
    return running()->catalog->first_key();
}

client_options local_server::client_options() const {
    bitdotio::client_options options;
    options.key = key();
    options.api_url = api_url();
    options.postgres_host = postgres_host();
    options.postgres_port = postgres_port();
    options.ca_file = ca_file();
    return options;
}

asio::awaitable<service_account> local_server::create_account(
    std::string name, role what, std::vector<database_name> databases) {
    const auto shared = running();
    co_return co_await shared->catalog->create_account(shared->options.user, std::move(name), what,
                                                       std::move(databases));
}

asio::awaitable<service_account> local_server::grant(std::string account_id, database_name name) {
    const auto shared = running();
    co_return co_await shared->catalog->grant(shared->options.user, std::move(account_id),
                                              std::move(name));
}

asio::awaitable<service_account> local_server::revoke(std::string account_id, database_name name) {
    const auto shared = running();
    co_return co_await shared->catalog->revoke(shared->options.user, std::move(account_id),
                                               std::move(name));
}

asio::awaitable<void> local_server::remove_account(std::string account_id) {
    const auto shared = running();
    co_await shared->catalog->remove_account(shared->options.user, std::move(account_id));
}

asio::awaitable<void> local_server::sleep(database_name name) {
    const auto shared = running();
    co_await shared->databases->sleep_now(co_await shared->id_of(std::move(name)));
}

asio::awaitable<void> local_server::wait_until_asleep(database_name name) {
    const auto shared = running();
    co_await shared->databases->wait_until_asleep(co_await shared->id_of(std::move(name)));
}

asio::awaitable<bool> local_server::is_asleep(database_name name) {
    const auto shared = running();
    co_return co_await shared->databases->is_asleep(co_await shared->id_of(std::move(name)));
}

asio::awaitable<void> local_server::refuse_next(int count) {
    running()->postgres->server()->refuse_next(count);
    co_return;
}

asio::awaitable<void> local_server::hang_up(database_name name) {
    const auto shared = running();
    co_await shared->postgres->hang_up(co_await shared->id_of(std::move(name)));
}

asio::awaitable<void> local_server::reload_certificate() {
    const auto shared = running();
    co_await shared->certificate->reload();
}

asio::awaitable<void> local_server::wake(database_name name) {
    const auto shared = running();
    const lease awake = co_await shared->databases->hold(co_await shared->id_of(std::move(name)));
}

asio::awaitable<void> local_server::delay(database_name name, std::chrono::milliseconds time) {
    const auto shared = running();
    co_await shared->postgres->delay(co_await shared->id_of(std::move(name)), time);
}

asio::awaitable<void> local_server::fill(database_name name, bool full) {
    const auto shared = running();
    co_await shared->postgres->fill(co_await shared->id_of(std::move(name)), full);
}

asio::awaitable<std::uint64_t> local_server::accepted_connections() {
    co_return running()->postgres->server()->accepted();
}

asio::awaitable<void> local_server::stop() {
    const auto shared = impl_;
    if (!shared) {
        co_return;
    }
    co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
    co_await on_strand(shared->strand, shared, shared->stop());
}

}  // namespace bitdotio
