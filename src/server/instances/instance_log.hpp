// Takes what an instance writes to standard error, and keeps the last of it in bounded files.
#pragma once

#include "base/strand.hpp"
#include "server/instances/process.hpp"

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

namespace bitdotio {

namespace asio = boost::asio;

class failure_report;

/// How much of what comes may be written. A pure rule.
///
/// Thread safety: a value. Time is an argument.
class log_budget {
public:
    using time_point = std::chrono::steady_clock::time_point;

    /// At once, and the bytes of a file.
    static constexpr std::size_t burst = std::size_t{1} << 20;
    /// In the long run, in bytes a second.
    static constexpr std::size_t rate = std::size_t{64} << 10;

    /// What to write of `text`: all of it, or nothing. After what was left out, a line says so.
    std::string take(std::string_view text, time_point now);

private:
    double left_ = burst;
    time_point last_{};
    std::uint64_t left_out_ = 0;
};

/// Reads an instance's standard error from a pipe and writes it to `file`. When that would become
/// longer than log_budget::burst it is renamed to "<file>.1", and a new one is begun.
///
/// Any session can write to the log, as fast as it likes (RAISE LOG). What comes faster than
/// log_budget allows is left out; nothing waits, because with its log the whole instance would
/// hang. The last lines are always kept in memory.
///
/// Thread safety: its functions may be called from any thread.
/// Lifetime: held by shared_ptr; await `finish` after `begin`.
class instance_log : public std::enable_shared_from_this<instance_log> {
public:
    /// Makes the pipe.
    ///
    /// Parameters: `owner` is whose the file will be.
    /// Errors: errc::system_failed.
    instance_log(const asio::any_io_executor& executor, std::filesystem::path file,
                 system_user owner);
    ~instance_log();
    instance_log(const instance_log&) = delete;
    instance_log& operator=(const instance_log&) = delete;

    /// The descriptor that the process writes to, until `begin`.
    int write_end() const noexcept { return write_end_; }

    /// Begins to read, when the process has been started or could not be.
    void begin(failure_report report);

    /// Takes what has come by now, and no more; returns the last lines, at most some 1,000
    /// characters. To be called once the process has ended.
    ///
    /// Cancellation: none.
    asio::awaitable<std::string> finish();

private:
    asio::awaitable<void> pump();
    asio::awaitable<std::string> do_finish();
    asio::awaitable<void> keep(std::string_view text);

    const strand strand_;
    const std::filesystem::path file_;
    const system_user owner_;
    int write_end_ = -1;
    asio::posix::stream_descriptor read_end_;
    asio::steady_timer ended_;  ///< cancelled when `pump` has ended
    log_budget budget_;
    std::string tail_;
    bool reading_ = false;
    bool ending_ = false;
};

}  // namespace bitdotio
