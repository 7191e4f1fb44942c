// Reads a file of text from beginning to end. It blocks.
#pragma once

#include <bitdotio/error.hpp>

#include "server/formats/input_file.hpp"
#include "server/formats/utf8.hpp"

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

namespace bitdotio {

/// A place in an open file, and the part of it that was read last. A file that begins with a byte
/// order mark of UTF-16 is read as UTF-8, without that mark.
///
/// Thread safety: one thread at a time.
class file_input {
public:
    explicit file_input(input_handle file) : file_(std::move(file)) {}

    /// Reads the next bytes; none only at the end.
    ///
    /// Errors: errc::system_failed naming the cause; errc::bad_input if the file ends within a
    ///     character of UTF-16.
    std::string_view read() {
        buffer_.resize(256 * 1024);
        const std::size_t size = file_->read_at(at_, buffer_.data(), buffer_.size());
        std::string_view bytes = std::string_view(buffer_).substr(0, size);
        if (at_ == 0) {
            order_ = order_of(bytes);
            if (order_ != order::none) bytes.remove_prefix(2);
        }
        at_ += size;
        if (order_ == order::none) return bytes;
        return decoded(bytes);
    }

    /// Whether all of the file has been read.
    bool at_end() const noexcept { return at_ >= file_->size(); }

private:
    enum class order { none, little_endian, big_endian };

    // A zero after the mark of UTF-16 makes it that of UTF-32.
    static order order_of(std::string_view begin) noexcept {
        if (begin.starts_with(std::string_view("\xff\xfe\0\0", 4))) return order::none;
        if (begin.starts_with("\xff\xfe")) return order::little_endian;
        return begin.starts_with("\xfe\xff") ? order::big_endian : order::none;
    }

    // Pieces have an even number of bytes, except for the last. What is no UTF-16 becomes what is
    // no UTF-8, so that the reader refuses it where it stands.
    std::string_view decoded(std::string_view bytes) {
        text_.clear();
        const std::size_t low = order_ == order::little_endian ? 0 : 1;
        for (std::size_t i = 0; i + 1 < bytes.size(); i += 2) {
            const auto unit = static_cast<unsigned char>(bytes[i + low]) |
                              static_cast<unsigned char>(bytes[i + 1 - low]) << 8;
            units_.put(static_cast<std::uint16_t>(unit), text_);
        }
        if (bytes.size() % 2 != 0) {
            throw error(errc::bad_input, "the file ends within a character of UTF-16");
        }
        if (at_end()) units_.end(text_);
        return text_;
    }

    input_handle file_;
    std::uint64_t at_ = 0;
    order order_ = order::none;
    utf16_units units_;
    std::string buffer_;
    std::string text_;  ///< made of the buffer, if that is UTF-16
};

}  // namespace bitdotio
