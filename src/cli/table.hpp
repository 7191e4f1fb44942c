// The table of all commands and options: what is parsed, helped with, completed, and in the manual.
#pragma once

#include "cli/arguments.hpp"

#include <string>

namespace bitdotio::cli {

/// The program "bit".
program bit_program();

/// What a shell reads to complete the words of bit: "bash", "zsh" or "fish".
///
/// Errors: errc::bad_input for another shell.
std::string completion_script(const program& program, const std::string& shell);

/// The manual's page in roff, for bit(1).
std::string man_page(const program& program);

}  // namespace bitdotio::cli
