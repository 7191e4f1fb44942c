// What a killed server or postmaster left running.
#pragma once

#include <chrono>
#include <string>
#include <vector>

namespace bitdotio {

/// The processes of PostgreSQL instances whose cluster_name contains `mark`, also those that have
/// lost their postmaster. It blocks.
///
/// PostgreSQL shows its cluster_name in the title of each of its processes, and titles can be read
/// where working directories and environments cannot, such as in a container.
std::vector<int> postgres_processes(const std::string& mark);

/// Asks the instances to end their sessions, write a checkpoint and stop. It blocks for a moment.
void ask_postgres_to_stop(const std::string& mark) noexcept;

/// Ends them all and waits until they are gone. It blocks.
///
/// Parameters: `gently` asks first and gives them that long; what is left then is killed.
/// Errors: errc::system_failed if one does not die.
void end_postgres_processes(const std::string& mark, std::chrono::milliseconds gently);

}  // namespace bitdotio
