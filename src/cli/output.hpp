// What the commands print: JSON, or text for people.
#pragma once

#include "cli/terminal.hpp"

#include <chrono>
#include <cstdint>
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

}  // namespace bitdotio::cli
