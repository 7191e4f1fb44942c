// Decides how a database over its storage limit may be used. A pure rule.
#pragma once

#include <algorithm>
#include <cstdint>

namespace bitdotio {

/// How a database may be used, by what it holds.
enum class storage_state {
    writable,
    read_only,  ///< over its limit: sessions that could write are let in as the role "limited"
    closed,     ///< it still grew, by rights its owner had given before: no sessions at all
};

/// What a statement that frees space does to the files while it runs.
enum class freeing {
    drops,    ///< DROP: nothing of a user's is called
    deletes,  ///< DELETE, TRUNCATE: triggers and functions may write
    copies,   ///< VACUUM: with FULL, tables and indexes are there twice
};

/// Decides the state after each measurement, and what a statement that frees space may take up.
///
/// All such statements together leave a database no larger than `slack` above the least it has held
/// over its limit, but for the one that is caught: from then on only DROP is taken.
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
        if (state_ != storage_state::closed) drops_only_ = false;
        return state_;
    }

    /// The most the database may hold while a statement that frees space, and is no DROP, runs.
    ///
    /// Parameters: `used` is what it holds when that begins.
    std::int64_t ceiling(freeing what, std::int64_t used) const noexcept {
        // A closed database is above the first figure: its housekeeping gets a little room.
        const std::int64_t most = std::max(base_ + slack, used + slack / 16);
        return what == freeing::copies ? most + used : most;
    }

    /// Takes the measurement after such a statement.
    ///
    /// Parameters: `before` is what the database held when that began.
    storage_state freed(std::int64_t before, std::int64_t used, std::int64_t limit) noexcept {
        measured(used, limit);
        drops_only_ |= state_ == storage_state::closed && used > before;
        return state_;
    }

    /// Whether of the statements that free space only DROP is taken, because another wrote more
    /// than it freed.
    bool takes_drops_only() const noexcept { return drops_only_; }

private:
    storage_state state_ = storage_state::writable;
    bool drops_only_ = false;
    std::int64_t base_ = 0;  // the least it has held since it went over its limit
};

}  // namespace bitdotio
