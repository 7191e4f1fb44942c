// Lays out JSON, sizes and times.
#include "cli/output.hpp"

#include "service/json_text.hpp"

#include <unistd.h>
#include <array>
#include <cstdio>

namespace bitdotio::cli {

namespace {

std::string one_decimal(double value, const char* unit) {
    std::array<char, 64> text{};
    const int size = std::snprintf(text.data(), text.size(), "%.1f %s", value, unit);
    return std::string(text.data(), static_cast<std::size_t>(size));
}

}  // namespace

bool wants_json(const arguments& words) {
    return words.has("--json") || !is_terminal(STDOUT_FILENO);
}

void print_json(const std::string& json) {
    print_data((is_terminal(STDOUT_FILENO) ? api::indented(json) : json) + "\n");
}

std::string size_text(std::uint64_t bytes) {
    if (bytes < 1024) return std::to_string(bytes) + " B";
    double value = static_cast<double>(bytes);
    const char* unit = "B";
    for (const char* const next : {"KiB", "MiB", "GiB", "TiB"}) {
        if (value < 1024) break;
        value /= 1024;
        unit = next;
    }
    return one_decimal(value, unit);
}

std::string time_text(std::chrono::steady_clock::duration time) {
    const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(time).count();
    if (ms < 10) {
        return one_decimal(std::chrono::duration<double, std::milli>(time).count(), "ms");
    }
    if (ms < 1'000) return std::to_string(ms) + " ms";
    if (ms < 60'000) return one_decimal(static_cast<double>(ms) / 1'000, "s");
    return std::to_string(ms / 60'000) + " min " + std::to_string(ms / 1'000 % 60) + " s";
}

std::string day_text(const std::optional<api::instant>& when) {
    return when ? api::encode_date(*when) : "";
}

}  // namespace bitdotio::cli
