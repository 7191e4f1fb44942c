// What a handle keeps open on its connection: a stream of rows, a COPY, a level of a transaction.
#pragma once

#include <cstdint>
#include <memory>
#include <utility>

namespace bitdotio {

class postgres_session;
class transaction_scope;

namespace wire {

void abandon_part(postgres_session& owner, std::uint64_t stream) noexcept;
void abandon_part(transaction_scope& owner, std::uint64_t level) noexcept;

/// One part of `Owner`, abandoned if this is destroyed before its end. Not for use by others.
///
/// Thread safety: as its handle.
template <class Owner>
class open_part {
public:
    /// No part.
    open_part() noexcept = default;
    /// Parameters: `number` as the owner counts its parts; `lease` is kept as long as the part is
    ///     open.
    open_part(std::shared_ptr<Owner> owner, std::uint64_t number,
              std::shared_ptr<void> lease = nullptr) noexcept
        : owner_(std::move(owner)), lease_(std::move(lease)), number_(number) {}
    open_part(open_part&&) noexcept = default;
    open_part& operator=(open_part&& other) noexcept {
        if (this != &other) {
            abandon();
            owner_ = std::move(other.owner_);
            lease_ = std::move(other.lease_);
            number_ = other.number_;
        }
        return *this;
    }
    ~open_part() { abandon(); }

    explicit operator bool() const noexcept { return owner_ != nullptr; }
    Owner* operator->() const noexcept { return owner_.get(); }
    const std::shared_ptr<Owner>& owner() const noexcept { return owner_; }
    std::uint64_t number() const noexcept { return number_; }

    /// Notes that the part has ended by itself.
    void end() noexcept {
        owner_.reset();
        lease_.reset();
    }

    /// Abandons the part and hands out its lease.
    std::shared_ptr<void> abandon() noexcept {
        if (const auto owner = std::exchange(owner_, nullptr)) {
            abandon_part(*owner, number_);
        }
        return std::exchange(lease_, nullptr);
    }

private:
    std::shared_ptr<Owner> owner_;
    std::shared_ptr<void> lease_;
    std::uint64_t number_ = 0;
};

}  // namespace wire

}  // namespace bitdotio
