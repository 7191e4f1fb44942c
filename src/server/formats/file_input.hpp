// Reads a file from beginning to end. It blocks.
#pragma once

#include <bitdotio/error.hpp>

#include <fcntl.h>
#include <unistd.h>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>

namespace bitdotio {

/// An open file, and the part of it that was read last.
///
/// Thread safety: one thread at a time.
class file_input {
public:
    /// Errors: errc::system_failed naming the cause.
    explicit file_input(const std::filesystem::path& file)
        : descriptor_(::open(file.c_str(), O_RDONLY | O_CLOEXEC)) {
        if (descriptor_ < 0) fail("opened");
        ::posix_fadvise(descriptor_, 0, 0, POSIX_FADV_SEQUENTIAL);
    }
    file_input(const file_input&) = delete;
    file_input& operator=(const file_input&) = delete;
    ~file_input() { ::close(descriptor_); }

    /// Reads the next bytes; fewer than asked for, and none, only at the end.
    std::string_view read() {
        buffer_.resize(256 * 1024);
        std::size_t size = 0;
        while (size < buffer_.size()) {
            const ssize_t got = ::read(descriptor_, buffer_.data() + size, buffer_.size() - size);
            if (got < 0 && errno == EINTR) continue;
            if (got < 0) fail("read");
            if (got == 0) break;
            size += static_cast<std::size_t>(got);
        }
        return std::string_view(buffer_).substr(0, size);
    }

private:
    [[noreturn]] static void fail(const char* what) {
        throw error(errc::system_failed,
                    std::string("a file cannot be ") + what + ": " + std::strerror(errno));
    }

    int descriptor_;
    std::string buffer_;
};

}  // namespace bitdotio
