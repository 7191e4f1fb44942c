// How often something may happen: a bucket of tokens that fills with time. A pure rule.
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
        double per_second;  ///< 0 or less: no limit at all
    };

    /// Takes a token. Nothing if there was one; else how long until there is, at least a
    /// millisecond, and nothing was taken.
    std::optional<std::chrono::milliseconds> take(const settings& rule, time_point now) {
        const auto missing = wait(rule, now);
        if (!missing) {
            used_ += 1;
        }
        return missing;
    }

    /// What `take` would say, without taking.
    std::optional<std::chrono::milliseconds> wait(const settings& rule, time_point now) {
        if (rule.per_second <= 0) {
            return std::nullopt;
        }
        // Time that goes backwards fills nothing, and empties nothing.
        const double passed = std::chrono::duration<double>(now - since_).count();
        if (passed > 0) {
            used_ = std::max(0.0, used_ - passed * rule.per_second);
            since_ = now;
        }
        const double excess = used_ + 1 - std::max(1.0, rule.burst);
        if (excess <= 1e-9) {  // what is left of rounding
            return std::nullopt;
        }
        const double milliseconds = std::ceil(excess / rule.per_second * 1000 - 1e-3);
        return std::chrono::milliseconds(static_cast<std::int64_t>(std::max(1.0, milliseconds)));
    }

    /// Whether it is as good as new: it need not be remembered.
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
