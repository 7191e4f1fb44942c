// Writes figures in the text form that Prometheus reads. A pure rule.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bitdotio {

/// Counts durations in buckets.
///
/// Thread safety: a value.
class duration_histogram {
public:
    /// Upper ends in seconds: a wake takes some 50 ms, one with crash recovery more.
    static constexpr std::array<double, 10> ends = {0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30};

    void add(double seconds) {
        ++count_;
        sum_ += seconds;
        for (std::size_t i = 0; i < ends.size(); ++i) {
            if (seconds <= ends[i]) ++at_most_[i];
        }
    }

    std::uint64_t count() const noexcept { return count_; }
    double sum() const noexcept { return sum_; }
    /// How many durations were at most `ends[i]`.
    std::uint64_t at_most(std::size_t i) const { return at_most_[i]; }

private:
    std::array<std::uint64_t, ends.size()> at_most_{};
    std::uint64_t count_ = 0;
    double sum_ = 0;
};

/// Writes families of metrics one after the other.
///
/// See: Prometheus, "Exposition formats", text format 0.0.4.
class metrics_text {
public:
    using labels = std::vector<std::pair<std::string_view, std::string>>;

    static constexpr std::string_view content_type = "text/plain; version=0.0.4; charset=utf-8";

    /// Begins a family; its samples follow.
    ///
    /// Parameters: `type` is "counter", "gauge" or "histogram".
    void family(std::string_view name, std::string_view type, std::string_view help);
    void sample(double value, const labels& about = {});
    void sample(const duration_histogram& what);

    /// Writes a family with one sample.
    void single(std::string_view name, std::string_view type, std::string_view help, double value) {
        family(name, type, help);
        sample(value);
    }

    const std::string& text() const noexcept { return text_; }

private:
    void line(std::string_view suffix, const labels& about, double value);

    std::string text_;
    std::string name_;
};

}  // namespace bitdotio
