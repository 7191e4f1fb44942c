// A server program under a test's control: started, watched, stopped, never left running.
#pragma once

#include "support/background.hpp"
#include "support/child.hpp"

#include "server/instances/process.hpp"

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace test {

/// A port of 127.0.0.1 on which nothing listens, from a range that no outgoing connection gets, so
/// that a server which stops and starts gets the same port again.
std::uint16_t free_port();

/// A program that serves until it gets a signal, in a directory of its own, as an unprivileged
/// user. The destructor kills it.
///
/// Thread safety: none. Everything here blocks, and fails with std::runtime_error, which ends with
/// the last lines of the program's log, instead of hanging.
class daemon {
public:
    daemon();
    ~daemon();
    daemon(const daemon&) = delete;
    daemon& operator=(const daemon&) = delete;

    /// A directory of the user's own, which also contains the log.
    const std::filesystem::path& home() const { return home_; }
    const bitdotio::system_user& user() const { return user_; }
    /// Makes a file the program may read; `content` may be secret.
    void write(const std::filesystem::path& file, const std::string& content) const;
    /// Gives a file or directory to the program's user.
    void give(const std::filesystem::path& file) const;

    /// Runs another program to its end, as the same user.
    void run_once(std::vector<std::string> words);
    /// Starts the program and returns once `ready()` is true.
    template <class Ready>
    void start(std::vector<std::string> words, int death_signal, Ready ready) {
        launch(std::move(words), death_signal);
        while (!ready()) {
            await_progress();
        }
    }
    bool is_running();
    int pid() const { return process_ ? process_->pid() : 0; }
    void signal(int number);
    /// Sends a signal that ends it, and waits for its end.
    void end(int number);

    background& executor() { return background_; }

private:
    void launch(std::vector<std::string> words, int death_signal);
    void await_progress();
    std::runtime_error failure(const std::string& words) const;
    bitdotio::command command(std::vector<std::string> words) const;

    temporary_directory directory_;
    std::filesystem::path home_;
    bitdotio::system_user user_;
    background background_;
    std::optional<bitdotio::child> process_;
    std::chrono::steady_clock::time_point deadline_;
};

}  // namespace test
