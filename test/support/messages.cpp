// Splits bytes into messages: a type byte, four bytes of length, and exceptions at the beginning.
#include "support/messages.hpp"

#include <cstdint>
#include <utility>

namespace test {

namespace {

std::uint32_t number_at(const std::string& bytes, std::size_t at) {
    std::uint32_t value = 0;
    for (std::size_t i = at; i < at + 4; ++i) {
        value = value << 8 | static_cast<unsigned char>(bytes[i]);
    }
    return value;
}

char type_without_byte(std::uint32_t code) {
    switch (code) {
        case 80877102: return cancel_request;
        case 80877103:
        case 80877104: return encryption_request;
        default: return startup_message;
    }
}

}  // namespace

std::optional<wire_message> message_splitter::next() {
    if (opaque_) {
        return buffer_.empty() ? std::nullopt : std::optional(take(opaque, buffer_.size()));
    }
    const std::size_t type_size = at_beginning_ ? 0 : 1;
    if (buffer_.size() < type_size + 4) {
        return std::nullopt;
    }
    const std::size_t size = type_size + number_at(buffer_, type_size);
    if (buffer_.size() < size) {
        return std::nullopt;
    }
    if (!at_beginning_) {
        return take(buffer_[0], size);
    }
    const char type = size < 8 ? opaque : type_without_byte(number_at(buffer_, 4));
    at_beginning_ = false;
    opaque_ = type == encryption_request || type == opaque;
    return take(type, size);
}

std::string message_splitter::take_rest() {
    return std::exchange(buffer_, {});
}

wire_message message_splitter::take(char type, std::size_t size) {
    wire_message taken{type, buffer_.substr(0, size)};
    buffer_.erase(0, size);
    return taken;
}

}  // namespace test
