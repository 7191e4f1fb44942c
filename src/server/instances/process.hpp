// Starts system programs without leaking anything of ours, and waits without blocking.
#pragma once

#include <bitdotio/error.hpp>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace bitdotio {

namespace asio = boost::asio;

/// A user of the operating system, to run a program as.
struct system_user {
    system_user() = default;

    std::string name;
    unsigned uid = 0;
    unsigned gid = 0;
    /// Whether the process must change to this user, which only root can.
    bool change = false;
};

/// The user PostgreSQL runs as: this process's own, or, as root, `name`, else "postgres", else
/// "nobody". It blocks.
///
/// Errors: errc::bad_input if `name` is unknown, is root, or cannot be switched to.
system_user unprivileged_user(const std::string& name);

/// What to start, and how.
///
/// The child gets PATH and LC_ALL, no other environment, no descriptor but its standard ones, a
/// session of its own (so that Ctrl-C in a terminal reaches us alone), and default signals.
struct command {
    command() = default;

    /// The program's path, then its arguments.
    std::vector<std::string> arguments;
    std::filesystem::path directory = "/";
    std::filesystem::path input = "/dev/null";
    /// Standard output and error are appended to this file, opened as the user it runs as.
    std::filesystem::path output = "/dev/null";
    /// A descriptor above 2 for both instead of that file; it must stay open until the child has
    /// started. -1 for none.
    int output_handle = -1;
    system_user run_as;
    /// The signal it gets when this process dies; 0 for none.
    int death_signal = 0;
};

/// A started process. Destruction does not end the process.
///
/// Thread safety: one strand.
class child {
public:
    /// Starts a process. It forks on one of run_blocking's threads, which live as long as the
    /// execution context: only then does the death signal mean our end and not a thread's.
    ///
    /// Errors: errc::system_failed naming the program and the cause.
    static asio::awaitable<child> start(command what);

    child(child&&) noexcept = default;
    child& operator=(child&&) noexcept = default;

    int pid() const noexcept { return pid_; }

    /// Sends a signal; does nothing if the process has ended.
    void signal(int number) noexcept;

    /// Waits for its end and returns the exit code, or -signal.
    ///
    /// Cancellation: terminal, partial, total.
    asio::awaitable<int> wait();

    /// Whether it has ended and `wait` returns at once.
    bool has_ended() noexcept;

private:
    child(int pid, asio::posix::stream_descriptor handle);

    int pid_ = 0;
    asio::posix::stream_descriptor handle_;  ///< a pidfd, readable when the process has ended
    bool reaped_ = false;
    int status_ = 0;
};

/// Starts a program and waits for it to succeed.
///
/// Errors: errc::system_failed if it cannot be started, fails, or takes longer than `limit` (then
///     it is killed), with the last lines of its output.
asio::awaitable<void> run_program(command what, std::chrono::seconds limit);

/// The last lines of a file, at most some 1,000 characters; empty if it cannot be read. It blocks.
std::string tail_of(const std::filesystem::path& file);

}  // namespace bitdotio
