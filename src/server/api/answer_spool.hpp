// Holds an answer until it is complete: in memory while it is short, else in a nameless file.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

namespace bitdotio {

/// Bounds how many bytes of answers wait on disk together.
///
/// Thread safety: its functions may be called from any thread.
class answer_budget {
public:
    explicit answer_budget(std::uint64_t most) noexcept : most_(most) {}

    std::uint64_t most() const noexcept { return most_; }
    std::uint64_t used() const noexcept { return used_.load(std::memory_order_relaxed); }
    /// Whether there was room; then it is taken until `give_back`.
    bool take(std::uint64_t size) noexcept;
    void give_back(std::uint64_t size) noexcept {
        used_.fetch_sub(size, std::memory_order_relaxed);
    }

private:
    const std::uint64_t most_;
    std::atomic<std::uint64_t> used_{0};
};

/// Bytes that are written from beginning to end, then read. The file has no name, so that nothing
/// is left of it when it is closed, or the server killed.
///
/// Thread safety: one thread at a time. What is said to block does.
class answer_spool {
public:
    /// The most that is kept in memory.
    static constexpr std::size_t in_memory = 64 * 1024;

    /// Parameters: `directory` is where a file is made; it may have up to `most` bytes, and all
    ///     files together what `room` has; null for no such limit.
    answer_spool(std::filesystem::path directory, std::uint64_t most,
                 std::shared_ptr<answer_budget> room = nullptr)
        : directory_(std::move(directory)), most_(most), room_(std::move(room)) {}
    ~answer_spool();
    answer_spool(const answer_spool&) = delete;
    answer_spool& operator=(const answer_spool&) = delete;

    /// Whether a file is used, or would be for that many bytes more: then `write` and `clear` may
    /// block.
    bool may_block(std::size_t more) const noexcept {
        return file_ >= 0 || waiting_.size() + more > in_memory;
    }

    /// Errors: errc::result_too_large; errc::server_busy if all answers together have no more room;
    ///     errc::system_failed naming the cause, such as a full disk.
    void write(std::string_view piece);
    /// Forgets all that was written.
    void clear();

    std::uint64_t size() const noexcept { return filed_ + waiting_.size(); }
    bool is_in_memory() const noexcept { return file_ < 0; }
    /// All bytes, if they are in memory.
    std::string take_memory() noexcept { return std::move(waiting_); }
    /// Up to `most` bytes from there on; blocks if they are in a file. Nothing is written any more.
    std::string read(std::uint64_t from, std::size_t most);

private:
    void flush();
    void open();
    void give_back() noexcept;

    std::filesystem::path directory_;
    std::uint64_t most_;
    std::shared_ptr<answer_budget> room_;
    std::uint64_t taken_ = 0;  // of the room
    std::string waiting_;      // not in the file yet
    std::uint64_t filed_ = 0;  // bytes in the file
    int file_ = -1;
};

}  // namespace bitdotio
