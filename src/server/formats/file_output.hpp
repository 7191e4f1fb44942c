// Writes a file from beginning to end. It blocks.
#pragma once

#include <bitdotio/error.hpp>

#include <fcntl.h>
#include <unistd.h>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <string>
#include <string_view>

namespace bitdotio {

/// A new file (mode 0600), and the bytes not yet written to it.
///
/// Thread safety: one thread at a time.
class file_output {
public:
    /// Errors: errc::system_failed naming the cause, such as a full disk; also in other functions.
    explicit file_output(const std::filesystem::path& file)
        : descriptor_(::open(file.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600)) {
        if (descriptor_ < 0) fail("made");
    }
    file_output(const file_output&) = delete;
    file_output& operator=(const file_output&) = delete;
    ~file_output() { ::close(descriptor_); }

    void write(std::string_view bytes) {
        size_ += bytes.size();
        if (waiting_.size() + bytes.size() < 256 * 1024) {
            waiting_.append(bytes);
            return;
        }
        flush();
        put(bytes);
    }

    /// The bytes so far.
    std::uint64_t size() const noexcept { return size_; }

    /// Writes the rest and syncs it to the disk.
    void finish() {
        flush();
        if (::fdatasync(descriptor_) != 0) fail("written");
    }

private:
    void flush() {
        put(waiting_);
        waiting_.clear();
    }

    void put(std::string_view bytes) {
        while (!bytes.empty()) {
            const ssize_t written = ::write(descriptor_, bytes.data(), bytes.size());
            if (written < 0 && errno == EINTR) continue;
            if (written < 0) fail("written");
            bytes.remove_prefix(static_cast<std::size_t>(written));
        }
    }

    [[noreturn]] static void fail(const char* what) {
        throw error(errc::system_failed,
                    std::string("a file cannot be ") + what + ": " + std::strerror(errno));
    }

    int descriptor_;
    std::string waiting_;
    std::uint64_t size_ = 0;
};

}  // namespace bitdotio
