// Runs a program where there is neither key nor server.
#pragma once

#include "support/child.hpp"

#include <map>
#include <string>
#include <utility>
#include <vector>

namespace test {

inline ending run_alone(const std::string& program, std::vector<std::string> words,
                        std::map<std::string, std::string> environment = {}) {
    const temporary_directory nowhere;
    environment.emplace("BITIO_PROFILE", (nowhere.path() / "none.json").string());
    words.insert(words.begin(), program);
    return run_program(std::move(words), std::move(environment));
}

}  // namespace test
