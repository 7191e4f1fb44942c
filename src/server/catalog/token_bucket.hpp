// A token bucket: limits how often something may happen. A pure rule.
#pragma once

#include <algorithm>
#include <chrono>
#include <cmath>
#include <optional>

namespace bitdotio {

/// Allows `burst` events at once and `per_second` in the long run.
///
/// Thread safety: a value.
class token_bucket {
public:
    using time_point = std::chrono::steady_clock::time_point;

    struct settings {
        settings(double burst_, double per_second_) : burst(burst_), per_second(per_second_) {}

        double burst;
        double per_second;  ///< 0 or less: no limit
    };

    /// Takes a token and returns nothing. Without a token, takes nothing and returns how long until
    /// there is one, at least a millisecond.
    std::optional<std::chrono::milliseconds> take(const settings& rule, time_point now) {
        const auto missing = wait(rule, now);
        if (!missing) {
            used_ += 1;
        }
        return missing;
    }

    /// What `take` would return, without taking.
    std::optional<std::chrono::milliseconds> wait(const settings& rule, time_point now) {
        if (rule.per_second <= 0) {
            return std::nullopt;
        }
        // Time that goes backwards neither fills nor empties.
        const double passed = std::chrono::duration<double>(now - since_).count();
        if (passed > 0) {
            used_ = std::max(0.0, used_ - passed * rule.per_second);
            since_ = now;
        }
        const double excess = used_ + 1 - std::max(1.0, rule.burst);
        if (excess <= 1e-9) {  // a rounding error
            return std::nullopt;
        }
        const double milliseconds = std::ceil(excess / rule.per_second * 1000 - 1e-3);
        return std::chrono::milliseconds(static_cast<std::int64_t>(std::max(1.0, milliseconds)));
    }

    /// Whether it is like a new one, so that it need not be remembered.
    bool is_full(const settings& rule, time_point now) const {
        token_bucket filled = *this;
        filled.wait(rule, now);
        return filled.used_ <= 0;
    }

private:
    double used_ = 0;
    time_point since_{};
};

}  // namespace bitdotio
