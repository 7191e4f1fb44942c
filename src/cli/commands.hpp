// The commands that call the API: each asks, and prints the answer.
#pragma once

#include "cli/arguments.hpp"

#include <string>

namespace bitdotio::cli {

/// The program's option for the key, which every command of the API reads.
inline constexpr const char* key_option = "--key";
/// An option of "serve", whose value holds a password.
inline constexpr const char* backend_option = "--backend";

/// The commands "query" and "db …".
std::vector<command> api_commands();

/// Prints JSON on one line, or indented if standard output is a terminal.
///
/// Errors: errc::system_failed if it cannot be written.
void print_json(const std::string& json);

/// Runs the one that `words` names and prints its answer.
///
/// Errors: errc::bad_input for invalid values, before anything is sent; those of client.
void run_api_command(const arguments& words);

}  // namespace bitdotio::cli
