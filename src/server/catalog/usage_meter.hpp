// Rows queried, counted by database and calendar month. A pure rule.
#pragma once

#include <bitdotio/models.hpp>

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>

namespace bitdotio {

/// A database's id and the first day of a month.
using usage_period = std::pair<std::string, std::chrono::sys_days>;

/// Finds a period without a copy of its database's id.
struct usage_order {
    using is_transparent = void;
    using view = std::pair<std::string_view, std::chrono::sys_days>;

    bool operator()(const view& one, const view& other) const noexcept { return one < other; }
};

/// Rows queried in each period.
using usage_counts = std::map<usage_period, std::int64_t, usage_order>;

/// The first day, in UTC, of the month that a time lies in.
inline std::chrono::sys_days month_of(std::chrono::sys_seconds when) {
    const std::chrono::year_month_day day(std::chrono::floor<std::chrono::days>(when));
    return day.year() / day.month() / 1;
}

/// Counts, and knows what has changed since it was last asked.
///
/// Thread safety: a value.
class usage_meter {
public:
    usage_meter() = default;
    explicit usage_meter(usage_counts counted) : counted_(std::move(counted)) {}

    void count(const std::string& id, std::int64_t rows, std::chrono::sys_seconds now) {
        const usage_period period(id, month_of(now));
        counted_[period] += rows;
        fresh_[period] = counted_[period];
    }

    /// The usage of the month that `now` lies in, and of the month before.
    usage current(const std::string& id, std::chrono::sys_seconds now) const {
        return of(id, month_of(now));
    }
    usage previous(const std::string& id, std::chrono::sys_seconds now) const {
        return of(id, month_of(month_of(now) - std::chrono::days(1)));
    }

    /// The sums that changed since the last call and must be written.
    usage_counts take_fresh() { return std::exchange(fresh_, {}); }
    bool has_fresh() const noexcept { return !fresh_.empty(); }
    /// Puts sums back that could not be written, except those that have changed meanwhile.
    void put_back(usage_counts fresh) { fresh_.merge(fresh); }

    void forget(const std::string& id) {
        const auto of_it = [&](const auto& entry) { return entry.first.first == id; };
        std::erase_if(counted_, of_it);
        std::erase_if(fresh_, of_it);
    }

private:
    usage of(const std::string& id, std::chrono::sys_days first) const {
        const std::chrono::year_month_day day(first);
        usage told;
        told.period_start = first;
        told.period_end =
            std::chrono::sys_days((day.year() / day.month() + std::chrono::months(1)) / 1);
        if (const auto found = counted_.find(usage_order::view(id, first));
            found != counted_.end()) {
            told.rows_queried = found->second;
        }
        return told;
    }

    usage_counts counted_;
    usage_counts fresh_;
};

}  // namespace bitdotio
