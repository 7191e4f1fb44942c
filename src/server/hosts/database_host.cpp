// Moves calls onto the strand; leases move, and end once.
#include "server/hosts/database_host.hpp"

#include "base/spawn.hpp"

#include <utility>

namespace bitdotio {

lease::lease(std::shared_ptr<held_database> owner, std::uint64_t life) noexcept
    : owner_(std::move(owner)), life_(life) {}

lease::lease(lease&& other) noexcept : owner_(std::move(other.owner_)), life_(other.life_) {}

lease& lease::operator=(lease&& other) noexcept {
    if (this != &other) {
        release();
        owner_ = std::move(other.owner_);
        life_ = other.life_;
    }
    return *this;
}

lease::~lease() {
    release();
}

asio::awaitable<session_target> lease::session(std::string role, std::string account) const {
    return owner_->session(std::move(role), std::move(account));
}

asio::awaitable<bool> lease::mend() const {
    return owner_->mend();
}

void lease::release() noexcept {
    if (const auto owner = std::exchange(owner_, nullptr)) {
        owner->release(life_);
    }
}

asio::awaitable<void> database_host::create(std::string id) {
    return on_strand(strand_, shared_from_this(), do_create(std::move(id)));
}

asio::awaitable<void> database_host::remove(std::string id) {
    return on_strand(strand_, shared_from_this(), do_remove(std::move(id)));
}

asio::awaitable<std::vector<std::string>> database_host::ids() {
    return on_strand(strand_, shared_from_this(), do_ids());
}

asio::awaitable<lease> database_host::hold(std::string id) {
    const auto self = shared_from_this();
    std::optional<lease> held;
    strand_.run_now([&] { held = hold_awake(id); });
    if (held) co_return std::move(*held);
    co_return co_await on_strand(strand_, self, do_hold(std::move(id)));
}

asio::awaitable<void> database_host::sleep_now(std::string id) {
    return on_strand(strand_, shared_from_this(), do_sleep_now(std::move(id)));
}

asio::awaitable<void> database_host::wait_until_asleep(std::string id) {
    return on_strand(strand_, shared_from_this(), do_wait_until_asleep(std::move(id)));
}

asio::awaitable<bool> database_host::is_asleep(std::string id) {
    return on_strand(strand_, shared_from_this(), do_is_asleep(std::move(id)));
}

asio::awaitable<void> database_host::end_sessions(std::string id, std::vector<std::string> roles) {
    return on_strand(strand_, shared_from_this(), do_end_sessions(std::move(id), std::move(roles)));
}

asio::awaitable<std::vector<std::string>> database_host::repair(std::string id) {
    return on_strand(strand_, shared_from_this(), do_repair(std::move(id)));
}

asio::awaitable<std::int64_t> database_host::storage_bytes(std::string id) {
    return on_strand(strand_, shared_from_this(), do_storage_bytes(std::move(id)));
}

asio::awaitable<void> database_host::stop() {
    return on_strand(strand_, shared_from_this(), do_stop());
}

asio::awaitable<void> database_host::close() {
    return on_strand(strand_, shared_from_this(), do_close());
}

}  // namespace bitdotio
