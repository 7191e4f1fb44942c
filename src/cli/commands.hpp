// The groups of commands, each from a file of its own, and what they share.
#pragma once

#include "cli/service.hpp"

#include <string>
#include <vector>

namespace bitdotio::cli {

std::vector<command> database_commands();  ///< "db …"
std::vector<command> transfer_commands();  ///< "import", "export"
std::vector<command> key_commands();       ///< "key …", "service-account …"
std::vector<command> status_commands();    ///< "status"
std::vector<command> connect_commands();   ///< "psql", "connection-string", "ping"
std::vector<command> copy_commands();      ///< "copy-in", "copy-out"
std::vector<command> shell_commands();     ///< "completion", "help", "version"

inline const option yes_option{"-y", "--yes", "", "Do not ask."};

/// Asks on a terminal, unless --yes is given.
///
/// Errors: errc::cancelled if the answer is not yes.
void confirm(const arguments& words, const std::string& question);

/// Prints a server's list of keys: as a table on a terminal, else as it came.
void print_keys(const arguments& words, const std::string& body);
/// The same of a list of service accounts.
void print_accounts(const arguments& words, const std::string& body);
/// Prints a server's status: as lines and tables on a terminal, else as it came.
void print_server_status(const arguments& words, const std::string& body);

}  // namespace bitdotio::cli
