// Finds and ends orphan processes, left by a killed server or postmaster.
#pragma once

#include <chrono>
#include <string>
#include <vector>

namespace bitdotio {

/// The processes of PostgreSQL instances whose cluster_name contains `mark`, also those that have
/// lost their postmaster. It blocks.
///
/// PostgreSQL shows its cluster_name in the title of each of its processes, and titles are readable
/// where working directories and environments are not, such as in a container.
std::vector<int> postgres_processes(const std::string& mark);

/// Asks the instances to end their sessions, write a checkpoint and stop. It blocks for a moment.
void ask_postgres_to_stop(const std::string& mark) noexcept;

/// Ends these processes and waits until they are gone. It blocks.
///
/// Parameters: `gently` is how long they may take after being asked; the rest is killed.
/// Errors: errc::system_failed if one does not die.
void end_postgres_processes(const std::string& mark, std::chrono::milliseconds gently);

}  // namespace bitdotio
