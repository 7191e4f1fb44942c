// PostgreSQL's protocol split into messages: the bytes of one direction, unchanged.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace test {

/// The sender: the client or the server.
enum class side { frontend, backend };

/// Types for messages without a type byte.
inline constexpr char startup_message = '>';
inline constexpr char cancel_request = '!';
inline constexpr char encryption_request = '?';  ///< SSLRequest or GSSENCRequest
inline constexpr char opaque = '#';              ///< whatever follows, which cannot be read

/// A message with its type and length, ready to be sent on.
struct wire_message {
    char type = 0;
    std::string bytes;
};

/// Collects the bytes of one direction of one connection into whole messages.
///
/// After an encryption request nothing can be read any more: whatever arrives is a message.
///
/// See: PostgreSQL manual, 55.7 "Message Formats".
class message_splitter {
public:
    explicit message_splitter(side from) : at_beginning_(from == side::frontend) {}

    void feed(std::string_view bytes) { buffer_.append(bytes); }
    /// The next whole message, if it is there.
    std::optional<wire_message> next();
    /// Whether all received bytes have been taken.
    bool is_between_messages() const { return buffer_.empty(); }
    /// From here on the other direction is encrypted, and so is this one.
    void stop_reading() { opaque_ = true; }
    bool is_opaque() const { return opaque_; }
    /// The bytes of a message that is not whole yet.
    std::string take_rest();

private:
    wire_message take(char type, std::size_t size);

    std::string buffer_;
    bool at_beginning_;
    bool opaque_ = false;
};

}  // namespace test
