// A file to import, open for reading: readers are handed a descriptor, never a path. It blocks.
#pragma once

#include <bitdotio/error.hpp>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <memory>
#include <string>

namespace bitdotio {

/// An open file of known size, which can be read anywhere.
///
/// Thread safety: may be read by several threads at once.
class input_file {
public:
    /// Takes a descriptor over.
    ///
    /// Errors: errc::system_failed naming the cause.
    explicit input_file(int descriptor) : descriptor_(descriptor) {
        struct stat about {};
        if (descriptor_ < 0) fail("opened");
        if (::fstat(descriptor_, &about) != 0) fail("read");
        size_ = static_cast<std::uint64_t>(about.st_size);
    }
    explicit input_file(const std::filesystem::path& file)
        : input_file(::open(file.c_str(), O_RDONLY | O_CLOEXEC)) {}
    input_file(const input_file&) = delete;
    input_file& operator=(const input_file&) = delete;
    ~input_file() { ::close(descriptor_); }

    int descriptor() const noexcept { return descriptor_; }
    std::uint64_t size() const noexcept { return size_; }

    /// Reads bytes from `offset` on; fewer than asked for, and none, only at the end.
    std::size_t read_at(std::uint64_t offset, char* into, std::size_t most) const {
        std::size_t size = 0;
        while (size < most) {
            const ssize_t got =
                ::pread(descriptor_, into + size, most - size, static_cast<off_t>(offset + size));
            if (got < 0 && errno == EINTR) continue;
            if (got < 0) fail("read");
            if (got == 0) break;
            size += static_cast<std::size_t>(got);
        }
        return size;
    }

private:
    [[noreturn]] static void fail(const char* what) {
        throw error(errc::system_failed,
                    std::string("a file cannot be ") + what + ": " + std::strerror(errno));
    }

    int descriptor_;
    std::uint64_t size_ = 0;
};

using input_handle = std::shared_ptr<const input_file>;

}  // namespace bitdotio
