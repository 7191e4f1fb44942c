// Decides how a database over its storage limit may be used. A pure rule.
#pragma once

#include <cstdint>

namespace bitdotio {

/// How a database may be used, by what it holds.
enum class storage_state {
    writable,
    read_only,  ///< over its limit: sessions that could write are let in as the role "limited"
    closed,     ///< it still grew, by rights its owner had given before: no sessions at all
};

/// Decides the state after each measurement.
///
/// Thread safety: a value.
class storage_rule {
public:
    /// What the database's own housekeeping may add while nobody can write.
    static constexpr std::int64_t slack = 16 << 20;

    storage_state state() const noexcept { return state_; }

    /// Takes a measurement and returns the state from now on.
    ///
    /// Parameters: bytes, both at least 0.
    storage_state measured(std::int64_t used, std::int64_t limit) noexcept {
        if (used <= limit) {
            state_ = storage_state::writable;
        } else if (state_ == storage_state::writable) {
            state_ = storage_state::read_only;
            base_ = used;
        } else if (used < base_) {
            base_ = used;
        }
        if (state_ == storage_state::closed && used - base_ <= slack / 2) {
            state_ = storage_state::read_only;
        } else if (state_ == storage_state::read_only && used - base_ > slack) {
            state_ = storage_state::closed;
        }
        return state_;
    }

private:
    storage_state state_ = storage_state::writable;
    std::int64_t base_ = 0;  // the least it has held since it went over its limit
};

}  // namespace bitdotio
