// Gives each session a random secret, so that no client can cancel a session of another.
#include <bitdotio/error.hpp>

#include "server/gateway/session_registry.hpp"

#include <openssl/rand.h>

#include <utility>

namespace bitdotio {

namespace {

std::uint32_t random_secret() {
    std::uint32_t secret = 0;
    if (RAND_bytes(reinterpret_cast<unsigned char*>(&secret), sizeof secret) != 1) {
        throw error(errc::system_failed, "the system's random numbers are not available");
    }
    return secret;
}

}  // namespace

asio::awaitable<std::uint64_t> session_registry::enter(std::weak_ptr<server_connection> session,
                                                       std::string id) {
    return on_strand(strand_, shared_from_this(), do_enter(std::move(session), std::move(id)));
}

asio::awaitable<std::uint64_t> session_registry::do_enter(std::weak_ptr<server_connection> session,
                                                          std::string id) {
    const std::uint64_t number = ++last_number_;
    entry& added = entries_[number];
    added.session = std::move(session);
    added.id = std::move(id);
    co_return number;
}

asio::awaitable<cancel_key> session_registry::connected(std::uint64_t number, backend where) {
    return on_strand(strand_, shared_from_this(), do_connected(number, std::move(where)));
}

asio::awaitable<cancel_key> session_registry::do_connected(std::uint64_t number, backend where) {
    cancel_key key(where.key.pid, random_secret());
    while (backends_.contains(key)) {
        key.secret = random_secret();
    }
    entries_[number].key = key;
    backends_[key] = std::move(where);
    co_return key;
}

void session_registry::leave(std::uint64_t number) {
    dispatch_work(strand_, [self = shared_from_this(), number]() noexcept {
        const auto found = self->entries_.find(number);
        if (found == self->entries_.end()) return;
        if (found->second.key) self->backends_.erase(*found->second.key);
        self->entries_.erase(found);
    });
}

asio::awaitable<std::optional<session_registry::backend>> session_registry::find(cancel_key key) {
    return on_strand(strand_, shared_from_this(), do_find(key));
}

asio::awaitable<std::optional<session_registry::backend>> session_registry::do_find(
    cancel_key key) {
    const auto found = backends_.find(key);
    if (found == backends_.end()) co_return std::nullopt;
    co_return found->second;
}

asio::awaitable<std::vector<std::shared_ptr<server_connection>>> session_registry::sessions_of(
    std::string id) {
    return on_strand(strand_, shared_from_this(), do_sessions_of(std::move(id)));
}

asio::awaitable<std::vector<std::shared_ptr<server_connection>>> session_registry::do_sessions_of(
    std::string id) {
    std::vector<std::shared_ptr<server_connection>> sessions;
    for (const auto& [number, known] : entries_) {
        if (known.id != id) continue;
        if (auto session = known.session.lock()) sessions.push_back(std::move(session));
    }
    co_return sessions;
}

asio::awaitable<std::shared_ptr<treatment>> session_registry::treatment_of(std::string id) {
    return on_strand(strand_, shared_from_this(), do_treatment_of(std::move(id)));
}

asio::awaitable<std::shared_ptr<treatment>> session_registry::do_treatment_of(std::string id) {
    std::shared_ptr<treatment>& known = treatments_[id];
    if (!known) known = std::make_shared<treatment>();
    co_return known;
}

}  // namespace bitdotio
