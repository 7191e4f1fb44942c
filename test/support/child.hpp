// Another program, run by a test: its words, its input, its output, its end.
#pragma once

#include <sys/types.h>
#include <chrono>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace test {

/// How a program ended.
struct ending {
    int status = -1;  ///< its exit status, or 128 and the number of the signal that ended it
    std::string out;
    std::string err;
};

/// A running program. Its functions fail with std::runtime_error instead of hanging.
class child {
public:
    /// Parameters: `environment` is added to this process's, from which all BITIO_ variables are
    ///     taken away.
    child(std::vector<std::string> words, std::map<std::string, std::string> environment);
    /// Kills it if it still runs.
    ~child();
    child(const child&) = delete;
    child& operator=(const child&) = delete;

    pid_t id() const { return id_; }
    void send(int signal) const;
    /// Writes at most 64 KiB to its standard input, then ends the input.
    void give(const std::string& input);
    /// Returns all its output once a line that begins with `start` is complete.
    std::string read_until(const std::string& start,
                           std::chrono::milliseconds limit = std::chrono::seconds(60));
    /// Ends its input and waits for its end.
    ending wait(std::chrono::milliseconds limit = std::chrono::seconds(60));

private:
    bool read_some(std::chrono::steady_clock::time_point deadline);

    pid_t id_ = -1;
    bool running_ = false;
    int in_ = -1;
    int out_ = -1;
    int err_ = -1;
    ending ending_;
};

/// Runs a program to its end.
ending run_program(std::vector<std::string> words, std::map<std::string, std::string> environment,
                   const std::string& input = "");

/// A directory of its own, which other users can traverse, removed at the end.
class temporary_directory {
public:
    temporary_directory();
    ~temporary_directory();
    temporary_directory(const temporary_directory&) = delete;
    temporary_directory& operator=(const temporary_directory&) = delete;

    const std::filesystem::path& path() const { return path_; }
    std::filesystem::path operator/(const char* name) const { return path_ / name; }

private:
    std::filesystem::path path_;
};

/// Whether a process has this directory, or one below it, as its working directory or in its words.
bool has_processes(const std::filesystem::path& directory);

}  // namespace test
