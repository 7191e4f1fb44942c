// The commands for a running server: "serve status", "serve sleep", …
#pragma once

#include "cli/arguments.hpp"

#include <string_view>

namespace bitdotio::cli {

std::vector<command> operate_commands();

/// Whether a command is one of these.
bool is_operate_command(std::string_view name);

/// Runs it against the server of the profile and prints its answer, as the commands of the API do.
///
/// Errors: errc::connect_failed if no server runs; those of its answer.
void run_operate_command(const arguments& words);

}  // namespace bitdotio::cli
