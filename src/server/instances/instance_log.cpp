// Reads the pipe, and writes, renames and bounds the files.
#include "server/instances/instance_log.hpp"

#include "base/blocking.hpp"
#include "base/deadline.hpp"
#include "server/base/event_log.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>
#include <vector>

namespace bitdotio {

namespace {

constexpr std::size_t pipe_piece = std::size_t{64} << 10;
// What is kept in memory, and what of it is told.
constexpr std::size_t tail_room = 4'000;
constexpr std::size_t tail_told = 1'000;
// What is taken at the end: a process that outlives its postmaster may still write.
constexpr int last_pieces = 64;

// Appends to the log. The directory belongs to the user PostgreSQL runs as, so no link in it is
// followed. It blocks.
void append_bounded(const std::filesystem::path& file, const std::string& text,
                    const system_user& owner) {
    const std::string name = file.filename();
    const std::string former = name + ".1";
    const int directory =
        ::open(file.parent_path().c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (directory < 0) return;
    const auto open_log = [&] {
        return ::openat(directory, name.c_str(),
                        O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);
    };
    int log = open_log();
    struct stat about {};
    if (log >= 0 && ::fstat(log, &about) == 0 && S_ISREG(about.st_mode) &&
        static_cast<std::uint64_t>(about.st_size) + text.size() > log_budget::burst) {
        ::close(log);
        ::renameat(directory, name.c_str(), directory, former.c_str());
        // Of an earlier version that bounded nothing.
        if (about.st_size > static_cast<off_t>(4 * log_budget::burst)) {
            ::unlinkat(directory, former.c_str(), 0);
        }
        log = open_log();
    }
    if (log >= 0) {
        if (owner.change && ::fchown(log, owner.uid, owner.gid) != 0) {
            // It stays ours: only we write to it.
        }
        // A full disk takes no log, and the database goes on.
        [[maybe_unused]] const ssize_t ignored = ::write(log, text.data(), text.size());
        ::close(log);
    }
    ::close(directory);
}

}  // namespace

std::string log_budget::take(std::string_view text, time_point now) {
    if (last_ != time_point{}) {
        const double seconds = std::chrono::duration<double>(now - last_).count();
        left_ = std::min<double>(burst, left_ + seconds * static_cast<double>(rate));
    }
    last_ = now;
    const std::string note = left_out_ == 0 ? ""
                                            : "\n[" + std::to_string(left_out_) +
                                                  " bytes came too fast and are left "
                                                  "out]\n";
    const auto size = static_cast<double>(text.size() + note.size());
    // After something was left out, a good part must be there before a line is written again.
    if (size > left_ || (left_out_ > 0 && left_ < static_cast<double>(rate))) {
        left_out_ += text.size();
        return {};
    }
    left_ -= size;
    left_out_ = 0;
    return note + std::string(text);
}

instance_log::instance_log(const asio::any_io_executor& executor, std::filesystem::path file,
                           system_user owner)
    : strand_(executor),
      file_(std::move(file)),
      owner_(std::move(owner)),
      read_end_(strand_),
      ended_(strand_, no_deadline) {
    std::array<int, 2> ends{-1, -1};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) {
        throw error(errc::system_failed,
                    std::string("cannot make a pipe for a log: ") + std::strerror(errno));
    }
    read_end_.assign(ends[0]);
    write_end_ = ::fcntl(ends[1], F_DUPFD_CLOEXEC, 3);  // above the standard ones
    ::close(ends[1]);
}

instance_log::~instance_log() {
    if (write_end_ >= 0) ::close(write_end_);
}

void instance_log::begin(failure_report report) {
    ::close(std::exchange(write_end_, -1));
    reading_ = true;
    auto ended = [self = shared_from_this(),
                  report = std::move(report)](std::exception_ptr thrown) noexcept {
        report(thrown);
        self->reading_ = false;
        self->ended_.cancel();
    };
    spawn_alone(strand_, pump(), std::move(ended));
}

asio::awaitable<void> instance_log::pump() {
    std::vector<char> room(pipe_piece);
    boost::system::error_code failure;
    while (!failure && !ending_) {
        const std::size_t size = co_await read_end_.async_read_some(
            asio::buffer(room), asio::redirect_error(asio::use_awaitable, failure));
        co_await keep(std::string_view(room.data(), size));
    }
    // What is in the pipe now is the last, even if another process still has the other end.
    read_end_.non_blocking(true, failure);
    for (int piece = 0; piece < last_pieces; ++piece) {
        boost::system::error_code empty;
        const std::size_t size = read_end_.read_some(asio::buffer(room), empty);
        if (size == 0) break;
        co_await keep(std::string_view(room.data(), size));
    }
    read_end_.close(failure);
}

asio::awaitable<void> instance_log::keep(std::string_view text) {
    if (text.empty()) co_return;
    tail_ += text;
    if (tail_.size() > tail_room) tail_.erase(0, tail_.size() - tail_told);
    std::string kept = budget_.take(text, std::chrono::steady_clock::now());
    if (kept.empty()) co_return;
    std::function<void()> write = [file = file_, kept = std::move(kept), owner = owner_] {
        append_bounded(file, kept, owner);
    };
    try {
        co_await run_blocking(std::move(write));
    } catch (const error&) {
        // There is no thread for it. Reading goes on, or PostgreSQL would wait for us.
    }
}

asio::awaitable<std::string> instance_log::finish() {
    co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
    co_return co_await on_strand(strand_, shared_from_this(), do_finish());
}

asio::awaitable<std::string> instance_log::do_finish() {
    boost::system::error_code ignored;
    ending_ = true;
    read_end_.cancel(ignored);
    while (reading_) {
        co_await ended_.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
    }
    std::string_view told = tail_;
    if (told.size() > tail_told) {
        told.remove_prefix(told.size() - tail_told);
        told.remove_prefix(std::min(told.find('\n') + 1, told.size()));
    }
    while (!told.empty() && told.back() == '\n') {
        told.remove_suffix(1);
    }
    co_return std::string(told);
}

}  // namespace bitdotio
