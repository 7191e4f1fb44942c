// Leases move, and end once.
#include "server/hosts/database_host.hpp"

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

session_target lease::session(const std::string& role) const {
    return owner_->session(role);
}

void lease::release() noexcept {
    if (const auto owner = std::exchange(owner_, nullptr)) {
        owner->release(life_);
    }
}

}  // namespace bitdotio
