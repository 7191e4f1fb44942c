// The commands for a running server: "serve status", "serve sleep", …
#pragma once

#include "cli/arguments.hpp"
#include "service/profile.hpp"

#include <string>
#include <vector>

namespace bitdotio::cli {

std::vector<command> operate_commands();

/// Runs it against the server of the profile and prints its answer, as the commands of the API do.
///
/// Errors: errc::connect_failed if no server runs; those of its answer.
void run_operate_command(const arguments& words);

/// Sends one request to a server's own paths with the key of the profile, and returns the answer.
///
/// Errors: errc::connect_failed if no server runs; those of its answer.
std::string ask_server(const profile& where, const std::string& method, const std::string& target,
                       const std::string& body = "");

}  // namespace bitdotio::cli
