// The bit command and `bit serve`, each with a profile that is a test's own.
#pragma once

#include "support/child.hpp"
#include "support/test_server.hpp"

#include <filesystem>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace test {

/// The environment in which bit finds and makes its profile in a directory.
inline std::map<std::string, std::string> profile_in(const std::filesystem::path& directory) {
    return {{"BITIO_PROFILE", (directory / "profile.json").string()}};
}

/// Starts `bit serve`, whose profile and temporary files are in a directory.
///
/// Parameters: `program` is bit, `words` follow "serve".
inline child start_serve(const std::string& program, std::vector<std::string> words,
                         const std::filesystem::path& directory) {
    words.insert(words.begin(), {program, "serve"});
    auto environment = profile_in(directory);
    environment["TMPDIR"] = directory.string();
    return child(std::move(words), std::move(environment));
}

/// A server in this process with its profile, and bit pointed at it.
class profiled_server {
public:
    /// Parameters: `wanted` are the server's further options.
    explicit profiled_server(std::string program, bitdotio::local_server_options wanted = {})
        : server(options(std::move(wanted), directory / "profile.json")),
          program_(std::move(program)) {}

    /// Runs bit to its end.
    ending bit(std::vector<std::string> words, const std::string& input = "") const {
        words.insert(words.begin(), program_);
        return run_program(std::move(words), environment(), input);
    }
    std::map<std::string, std::string> environment() const { return profile_in(directory.path()); }

    temporary_directory directory;
    test_server server;

private:
    static bitdotio::local_server_options options(bitdotio::local_server_options made,
                                                  const std::filesystem::path& profile) {
        made.profile_file = profile;
        return made;
    }

    std::string program_;
};

}  // namespace test
