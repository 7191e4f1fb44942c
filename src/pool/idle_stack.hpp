// The idle resources of a pool: the last used on top, the oldest at the bottom, each with its age.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <utility>

namespace bitdotio {

/// A resource of a pool and what the pool knows about it.
template <class Resource>
struct pooled {
    using time_point = std::chrono::steady_clock::time_point;

    Resource what;
    std::uint64_t generation = 0;
    time_point dies{};   ///< the end of its lifetime
    time_point since{};  ///< when it began to rest
    time_point heard{};  ///< when its peer was last known to answer
    time_point opened{};
};

/// The idle resources of a pool, in the order in which they began to rest.
///
/// Thread safety: none.
template <class Resource>
class idle_stack {
public:
    using entry = pooled<Resource>;
    using time_point = typename entry::time_point;

    bool empty() const { return entries_.empty(); }
    std::size_t size() const { return entries_.size(); }
    const entry& top() const { return entries_.back(); }
    const entry& bottom() const { return entries_.front(); }

    /// Puts it on top, or back where its rest began if it was only taken to be probed.
    void put(entry one) {
        first_death_ = std::min(first_death_, one.dies);
        if (entries_.empty() || entries_.back().since <= one.since) {
            entries_.push_back(std::move(one));
            return;
        }
        const auto place = std::upper_bound(
            entries_.begin(), entries_.end(), one.since,
            [](time_point since, const entry& other) { return since < other.since; });
        entries_.insert(place, std::move(one));
    }

    /// The topmost that was not opened before `then`, as its place from the bottom.
    std::optional<std::size_t> newer_than(time_point then) const {
        for (std::size_t place = entries_.size(); place > 0; --place) {
            if (entries_[place - 1].opened >= then) {
                return place - 1;
            }
        }
        return std::nullopt;
    }
    const entry& at(std::size_t place) const { return entries_[place]; }

    entry take_top() {
        entry one = std::move(entries_.back());
        entries_.pop_back();
        return one;
    }

    entry take_at(std::size_t place) {
        entry one = std::move(entries_[place]);
        entries_.erase(entries_.begin() + static_cast<std::ptrdiff_t>(place));
        return one;
    }

    entry take_bottom() {
        entry one = std::move(entries_.front());
        entries_.pop_front();
        return one;
    }

    std::optional<entry> take(const Resource& what) {
        return take_first([&](const entry& one) { return one.what == what; });
    }

    /// Takes one whose lifetime is over.
    std::optional<entry> take_dead(time_point now) {
        if (entries_.empty() || now < first_death_) {
            return std::nullopt;
        }
        auto found = take_first([&](const entry& one) { return one.dies <= now; });
        if (!found) {
            first_death_ = time_point::max();
            for (const entry& one : entries_) {
                first_death_ = std::min(first_death_, one.dies);
            }
        }
        return found;
    }

    template <class Visitor>
    void each(Visitor&& visit) const {
        for (const entry& one : entries_) {
            visit(one);
        }
    }

    /// No lifetime here ends before this.
    time_point first_death() const { return entries_.empty() ? time_point::max() : first_death_; }

private:
    template <class Predicate>
    std::optional<entry> take_first(Predicate&& matches) {
        const auto found = std::find_if(entries_.begin(), entries_.end(), matches);
        if (found == entries_.end()) {
            return std::nullopt;
        }
        std::optional<entry> one(std::move(*found));
        entries_.erase(found);
        return one;
    }

    std::deque<entry> entries_;
    time_point first_death_ = time_point::max();
};

}  // namespace bitdotio
