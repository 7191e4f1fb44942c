// Whether an idle session is watched, for whom, and which event is still of interest.
#pragma once

#include <cstdint>
#include <functional>
#include <utility>

namespace bitdotio {

/// One watch at a time: an event that was on its way when its watch ended says nothing.
///
/// Thread safety: none; it belongs to its session.
class idle_watch {
public:
    /// Who is told of the end; the watch itself begins with `begin`.
    void tell(std::function<void()> whom) noexcept { whom_ = std::move(whom); }

    /// Begins a watch and returns its number, which its event must bear.
    std::uint64_t begin() noexcept {
        under_way_ = true;
        return ++number_;
    }
    /// Ends it, with nobody to be told any more. True if an event was waited for.
    bool end() noexcept {
        ++number_;
        whom_ = nullptr;
        return std::exchange(under_way_, false);
    }
    /// An event has come; false if its watch has ended before.
    bool has_come(std::uint64_t number) noexcept {
        if (number != number_) {
            return false;
        }
        under_way_ = false;
        return true;
    }

    const std::function<void()>& whom() const noexcept { return whom_; }
    std::function<void()> take_whom() noexcept { return std::exchange(whom_, nullptr); }

private:
    std::function<void()> whom_;
    std::uint64_t number_ = 0;
    bool under_way_ = false;
};

}  // namespace bitdotio
