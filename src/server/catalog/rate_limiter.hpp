// Limits how often one key may call, and how often one address may show wrong keys. A pure rule.
#pragma once

#include <bitdotio/error.hpp>

#include "server/catalog/token_bucket.hpp"

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

namespace bitdotio {

/// Thrown to callers that come too often; its code is errc::rate_limited.
class too_often : public error {
public:
    too_often(const std::string& message, std::chrono::milliseconds wait)
        : error(errc::rate_limited, message), wait_(wait) {}

    /// How long to wait before the next attempt.
    std::chrono::milliseconds wait() const noexcept { return wait_; }

private:
    std::chrono::milliseconds wait_;
};

/// Counts calls by key and failed logins by address.
///
/// A right key is let in however many wrong ones came from its address: otherwise anybody at the
/// same address could lock its holder out. Keys are 256 random bits, so this does not help
/// guessers.
///
/// Thread safety: a value.
class rate_limiter {
public:
    using time_point = token_bucket::time_point;

    /// Parameters: `calls` of one key; failed logins of one address, by default 30 at once and one
    ///     every two seconds.
    explicit rate_limiter(token_bucket::settings calls,
                          token_bucket::settings failures = token_bucket::settings(30, 0.5))
        : calls_rule_(calls), failures_rule_(failures) {}

    /// Notes a call; returns how long to wait if it is one too many.
    std::optional<std::chrono::milliseconds> call(const std::string& key, time_point now) {
        return take(calls_, key, calls_rule_, now);
    }

    /// Notes a failed login; returns how long to wait if there were too many.
    ///
    /// Parameters: `address` as text. An IPv6 network of 64 bits counts as one address, because
    ///     whoever has one address there has them all.
    std::optional<std::chrono::milliseconds> failure(std::string_view address, time_point now) {
        return take(failures_, network_of(address), failures_rule_, now);
    }

    /// What counts as one address; a text that is not an address is taken as it is.
    static std::string network_of(std::string_view address);

    /// The most keys, and the most addresses, that it remembers.
    static constexpr std::size_t most = 10'000;
    std::size_t size() const noexcept { return calls_.size() + failures_.size(); }

private:
    using buckets = std::unordered_map<std::string, token_bucket>;

    static std::optional<std::chrono::milliseconds> take(buckets& from, const std::string& whose,
                                                         const token_bucket::settings& rule,
                                                         time_point now) {
        if (from.size() >= most && !from.contains(whose)) {
            std::erase_if(from, [&](const auto& entry) { return entry.second.is_full(rule, now); });
            if (from.size() >= most) {
                from.clear();  // a flood: memory is bounded, so all counts start again
            }
        }
        return from[whose].take(rule, now);
    }

    token_bucket::settings calls_rule_;
    token_bucket::settings failures_rule_;
    buckets calls_;
    buckets failures_;
};

}  // namespace bitdotio
