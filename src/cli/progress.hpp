// A bar on the terminal for what takes its time; nothing where standard error is none.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

namespace bitdotio::cli {

/// The line of the bar: `what`, how much of the whole, the rate and what is left of the time, cut
/// to the width. A rule without a terminal.
std::string progress_line(const std::string& what, std::uint64_t done,
                          std::optional<std::uint64_t> whole, std::chrono::milliseconds since,
                          std::size_t columns);

/// Draws at most ten times a second; the width is asked for each time, so a terminal may be
/// resized. The line is taken away at the end.
class progress {
public:
    /// Parameters: `whole` in bytes; nothing if it is not known.
    explicit progress(std::string what, std::optional<std::uint64_t> whole = std::nullopt);
    ~progress();
    progress(const progress&) = delete;
    progress& operator=(const progress&) = delete;

    void add(std::uint64_t bytes);
    /// Shows a text in place of the bar.
    void say(const std::string& text);
    std::uint64_t done() const noexcept { return done_; }

private:
    void draw(const std::string& line);

    const std::string what_;
    const std::optional<std::uint64_t> whole_;
    const bool shown_;
    const std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
    std::chrono::steady_clock::time_point drawn_{};
    std::uint64_t done_ = 0;
    bool dirty_ = false;
};

}  // namespace bitdotio::cli
