// The process that reads a stranger's file: started, ended, and asked how it ended.
#pragma once

#include <bitdotio/jobs.hpp>

#include <chrono>
#include <filesystem>
#include <string>
#include <string_view>

namespace bitdotio {

/// A child process without rights, which has the file and one end of a socket. It has a fresh
/// memory: none of the server's keys and passwords, none of its locks.
///
/// It ends with this object, with this process, or when its socket ends.
///
/// Thread safety: `kill` may be called from any thread; all else from one at a time. All but `kill`
///     blocks for some milliseconds.
class reader_process {
public:
    /// Parameters: `name` is the file's as its user calls it.
    /// Errors: errc::system_failed naming the cause.
    reader_process(const std::filesystem::path& file, std::string_view name, header_row header);
    /// Kills it.
    ~reader_process();
    reader_process(const reader_process&) = delete;
    reader_process& operator=(const reader_process&) = delete;

    int pid() const noexcept { return pid_; }
    int socket() const noexcept { return socket_; }

    /// Kills it at once.
    void kill() noexcept;

    /// How it ended.
    struct end {
        int signal = 0;  ///< 0 if it ended by itself, or if the program around us took its end
        std::chrono::duration<double> processor{};
    };
    /// Waits for its end, which must be near.
    end wait();

private:
    int pid_ = 0;
    int handle_ = -1;  ///< a pidfd: its number stays its own
    int socket_ = -1;
    bool ended_ = false;
    end how_;
};

}  // namespace bitdotio
