// Keeps sessions by random keys, so that no client can cancel a session of another.
#include <bitdotio/error.hpp>

#include "server/gateway/session_registry.hpp"

#include <openssl/rand.h>

#include <utility>

namespace bitdotio {

namespace {

cancel_key random_key() {
    std::uint32_t numbers[2];
    if (RAND_bytes(reinterpret_cast<unsigned char*>(numbers), sizeof numbers) != 1) {
        throw error(errc::system_failed, "the system's random numbers are not available");
    }
    cancel_key key;
    // A number that a process could have: clients take others for those of a pooler.
    key.pid = numbers[0] % 4'194'303 + 1;
    key.secret = numbers[1];
    return key;
}

}  // namespace

asio::awaitable<cancel_key> session_registry::enter(std::weak_ptr<server_connection> session,
                                                    std::string id) {
    return on_strand(strand_, shared_from_this(), do_enter(std::move(session), std::move(id)));
}

asio::awaitable<cancel_key> session_registry::do_enter(std::weak_ptr<server_connection> session,
                                                       std::string id) {
    cancel_key key = random_key();
    while (entries_.contains(key)) {
        key = random_key();
    }
    entry& added = entries_[key];
    added.session = std::move(session);
    added.id = std::move(id);
    co_return key;
}

void session_registry::connected(cancel_key key, backend where) {
    auto connected = [self = shared_from_this(), key, where = std::move(where)]() mutable noexcept {
        if (const auto found = self->entries_.find(key); found != self->entries_.end()) {
            found->second.where = std::move(where);
        }
    };
    dispatch_work(strand_, std::move(connected));
}

void session_registry::leave(cancel_key key) {
    dispatch_work(strand_,
                  [self = shared_from_this(), key]() noexcept { self->entries_.erase(key); });
}

asio::awaitable<std::optional<session_registry::backend>> session_registry::find(cancel_key key) {
    return on_strand(strand_, shared_from_this(), do_find(key));
}

asio::awaitable<std::optional<session_registry::backend>> session_registry::do_find(
    cancel_key key) {
    const auto found = entries_.find(key);
    if (found == entries_.end()) co_return std::nullopt;
    co_return found->second.where;
}

asio::awaitable<std::vector<std::shared_ptr<server_connection>>> session_registry::sessions_of(
    std::string id) {
    return on_strand(strand_, shared_from_this(), do_sessions_of(std::move(id)));
}

asio::awaitable<std::vector<std::shared_ptr<server_connection>>> session_registry::do_sessions_of(
    std::string id) {
    std::vector<std::shared_ptr<server_connection>> sessions;
    for (const auto& [key, known] : entries_) {
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
