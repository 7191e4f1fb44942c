// The command "serve": the service on this machine, until someone stops it.
#pragma once

#include "cli/arguments.hpp"

namespace bitdotio::cli {

/// An option of "serve", whose value holds a password.
inline constexpr const char* backend_option = "--backend";

/// The command and its options.
command serve_command();

/// Runs the server in the foreground until SIGINT, SIGTERM or SIGHUP; with a given certificate
/// SIGHUP reads that again instead. Once the server can be used, prints where it is and how to use
/// it, and then a line that begins with "ready".
///
/// Errors: errc::bad_input for invalid options; errc::system_failed if it cannot start.
void run_serve(const arguments& words);

}  // namespace bitdotio::cli
