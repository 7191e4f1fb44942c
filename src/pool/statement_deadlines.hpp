// The deadlines of many statements, most of which are over before theirs.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <optional>
#include <utility>
#include <vector>

namespace bitdotio {

/// Keeps who is to be told when.
///
/// Parameters: a `Statement` points to what has `is_over()`.
/// Thread safety: none.
template <class Statement>
class statement_deadlines {
public:
    using time_point = std::chrono::steady_clock::time_point;

    void add(time_point at, Statement who) {
        if (all_.size() >= sweep_at_) {
            std::erase_if(all_, [](const deadline& one) { return one.who->is_over(); });
            std::make_heap(all_.begin(), all_.end());
            sweep_at_ = std::max(least_sweep, 2 * all_.size());
        }
        all_.push_back({at, std::move(who)});
        std::push_heap(all_.begin(), all_.end());
    }

    /// The next of those that are not over.
    std::optional<time_point> next() {
        while (!all_.empty() && all_.front().who->is_over()) {
            drop_first();
        }
        return all_.empty() ? std::nullopt : std::optional(all_.front().at);
    }

    /// Calls `tell(who)` for each whose time has come.
    template <class Tell>
    void take_due(time_point now, Tell&& tell) {
        while (!all_.empty() && all_.front().at <= now) {
            const Statement who = drop_first();
            tell(who);
        }
    }

    /// How many are kept, with some that are over.
    std::size_t size() const noexcept { return all_.size(); }

private:
    static constexpr std::size_t least_sweep = 64;

    struct deadline {
        time_point at;
        Statement who;
        bool operator<(const deadline& other) const { return at > other.at; }  // the next on top
    };

    Statement drop_first() {
        std::pop_heap(all_.begin(), all_.end());
        Statement who = std::move(all_.back().who);
        all_.pop_back();
        return who;
    }

    std::vector<deadline> all_;  // a heap
    std::size_t sweep_at_ = least_sweep;
};

}  // namespace bitdotio
