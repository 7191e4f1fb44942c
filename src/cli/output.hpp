// What the commands print: JSON, or text for people.
#pragma once

#include "base/rfc3339.hpp"
#include "cli/terminal.hpp"

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

namespace bitdotio::cli {

/// Whether to print JSON: standard output is no terminal, or --json is given.
bool wants_json(const arguments& words);

/// Prints JSON on one line, or indented if standard output is a terminal.
///
/// Errors: as print.
void print_json(const std::string& json);

/// "1.5 MiB"
std::string size_text(std::uint64_t bytes);
/// "312 ms", "1.4 s", "2 min 5 s"
std::string time_text(std::chrono::steady_clock::duration time);
/// "2024-05-06"; empty for none.
std::string day_text(const std::optional<api::instant>& when);

}  // namespace bitdotio::cli
