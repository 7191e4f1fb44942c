// Foreign programs, run with a deadline and without secrets on their command lines.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace test {

struct program_result {
    int status = -1;     ///< exit status; 128 + signal if it was killed
    std::string output;  ///< standard output and standard error
};

using environment = std::vector<std::pair<std::string, std::string>>;

/// Runs a program found in PATH and waits for it; after 60 s it is killed.
program_result run_program(const std::vector<std::string>& arguments, const environment& added);

}  // namespace test
