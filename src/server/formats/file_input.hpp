// Reads a file from beginning to end. It blocks.
#pragma once

#include "server/formats/input_file.hpp"

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

namespace bitdotio {

/// A place in an open file, and the part of it that was read last.
///
/// Thread safety: one thread at a time.
class file_input {
public:
    explicit file_input(input_handle file) : file_(std::move(file)) {}

    /// Reads the next bytes; none only at the end.
    ///
    /// Errors: errc::system_failed naming the cause.
    std::string_view read() {
        buffer_.resize(256 * 1024);
        const std::size_t size = file_->read_at(at_, buffer_.data(), buffer_.size());
        at_ += size;
        return std::string_view(buffer_).substr(0, size);
    }

private:
    input_handle file_;
    std::uint64_t at_ = 0;
    std::string buffer_;
};

}  // namespace bitdotio
