// Records who holds a pool's connections, since when, and who has held one for too long.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <optional>
#include <source_location>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bitdotio {

/// The leases of a pool, by the address of what is lent.
///
/// Thread safety: none.
class lease_book {
public:
    using time_point = std::chrono::steady_clock::time_point;
    using duration = std::chrono::steady_clock::duration;

    struct lease {
        const void* what;
        std::source_location where;
        time_point since;
        bool reported = false;
    };

    void lend(const void* what, std::source_location where, time_point now) {
        leases_.push_back({what, where, now});
    }

    /// Ends a lease and returns how long it lasted.
    duration take_back(const void* what, time_point now) {
        last_return_ = now;
        const auto found = std::find_if(leases_.begin(), leases_.end(),
                                        [&](const lease& one) { return one.what == what; });
        if (found == leases_.end()) {
            return duration::zero();
        }
        const duration held = now - found->since;
        *found = leases_.back();
        leases_.pop_back();
        return held;
    }

    /// The leases of `limit` and longer that have not been reported.
    std::vector<lease> take_leaks(time_point now, duration limit) {
        std::vector<lease> leaks;
        for (lease& one : leases_) {
            if (!one.reported && one.since + limit <= now) {
                one.reported = true;
                leaks.push_back(one);
            }
        }
        return leaks;
    }

    /// When the next lease reaches `limit`.
    std::optional<time_point> next_leak(duration limit) const {
        std::optional<time_point> next;
        for (const lease& one : leases_) {
            if (!one.reported && (!next || one.since + limit < *next)) {
                next = one.since + limit;
            }
        }
        return next;
    }

    /// Whether nothing has come back since `then`.
    bool stands_still_since(time_point then) const { return !last_return_ || *last_return_ < then; }

    /// The longest leases, as "place (31 s)", for an error.
    std::string describe(time_point now) const {
        constexpr std::size_t shown = 3;
        std::vector<lease> longest = leases_;
        std::sort(longest.begin(), longest.end(),
                  [](const lease& a, const lease& b) { return a.since < b.since; });
        std::string text;
        for (std::size_t i = 0; i < std::min(shown, longest.size()); ++i) {
            text += (i == 0 ? "" : ", ") + place_of(longest[i].where) + " (" +
                    in_words(now - longest[i].since) + ")";
        }
        if (longest.size() > shown) {
            text += " and " + std::to_string(longest.size() - shown) + " more";
        }
        return text;
    }

    const std::vector<lease>& all() const { return leases_; }

    /// "pool_user.cpp:12", without the directories of the machine it was compiled on.
    static std::string place_of(const std::source_location& where) {
        const std::string_view file = where.file_name();
        return std::string(file.substr(file.find_last_of('/') + 1)) + ":" +
               std::to_string(where.line());
    }

    /// "1.5 s", "30 ms"
    static std::string in_words(duration time) {
        const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(time).count();
        if (ms < 1'000) {
            return std::to_string(ms) + " ms";
        }
        const std::string tenths = ms < 10'000 ? "." + std::to_string(ms % 1'000 / 100) : "";
        return std::to_string(ms / 1'000) + tenths + " s";
    }

private:
    std::vector<lease> leases_;
    std::optional<time_point> last_return_;
};

}  // namespace bitdotio
