// The beginning of PostgreSQL's protocol as bytes: clients' first packets and our answers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace bitdotio {

/// Asks for TLS; answered with one byte.
struct ssl_request {};
/// Asks for GSSAPI encryption; answered with one byte.
struct gss_request {};

/// The pair by which a client names its own session, to cancel what runs there.
struct cancel_key {
    cancel_key() = default;
    cancel_key(std::uint32_t pid_, std::uint32_t secret_) : pid(pid_), secret(secret_) {}

    std::uint32_t pid = 0;
    std::uint32_t secret = 0;

    friend auto operator<=>(const cancel_key&, const cancel_key&) = default;
};

/// What a client asks of a session: protocol version and settings, in the order they came.
struct startup_message {
    startup_message() = default;

    std::uint16_t major = 0;
    std::uint16_t minor = 0;
    std::vector<std::pair<std::string, std::string>> parameters;

    /// The value of a parameter; nullopt if it was not sent.
    std::optional<std::string_view> find(std::string_view name) const;
    /// The names that begin with "_pq_.": protocol options, none of which we know.
    std::vector<std::string> protocol_options() const;
};

/// The name of a database as a client means it: "user%2Fdb" is "user/db", because not every driver
/// decodes the slash in a URL's path. A name that has a slash stays as it is.
std::string meant_database(std::string_view sent);

using opening = std::variant<ssl_request, gss_request, cancel_key, startup_message>;

/// The size in bytes, the length field included, that a first packet may have.
inline constexpr std::size_t max_opening_size = 10'000;

/// The length that a packet's first four bytes announce, including themselves; nullopt if no
/// first packet has that length.
std::optional<std::size_t> opening_size(std::string_view first_four_bytes);

/// Reads a whole first packet, its length field included.
///
/// Errors: errc::protocol_violated, saying what is malformed, in PostgreSQL's words.
opening parse_opening(std::string_view packet);

/// The bytes of the messages that a gateway itself sends.
///
/// See: PostgreSQL manual, 55.7 "Message Formats".
namespace wire_message {
/// A FATAL ErrorResponse.
std::string fatal(std::string_view sqlstate, std::string_view message, std::string_view hint = {});
std::string cleartext_password_request();
std::string sasl_request(const std::vector<std::string_view>& mechanisms);
std::string sasl_continue(std::string_view text);
std::string sasl_final(std::string_view text);
/// Says that the newest protocol is 3.0; `options` are those we did not know.
std::string negotiate_protocol_version(const std::vector<std::string>& options);
/// A StartupMessage of version 3.0 that asks for `user` and `database`, the other parameters of
/// `original` kept except protocol options. Its "options" come after `options`, and so outrank
/// them.
std::string startup(const startup_message& original, std::string_view user,
                    std::string_view database, std::string_view options = {});
std::string cancel_request(cancel_key key);
std::string backend_key_data(cancel_key key);

// What a gateway sends to a server as its client.
std::string ssl_request();
std::string password(std::string_view text);
std::string sasl_initial_response(std::string_view mechanism, std::string_view text);
std::string sasl_response(std::string_view text);
std::string query(std::string_view text);
std::string terminate();
}  // namespace wire_message

/// The whole size of the message with a type byte at the beginning of `bytes`; nullopt while its
/// length field is not there yet.
std::optional<std::size_t> message_size(std::string_view bytes);

/// Reads a BackendKeyData message; nullopt if `message` is not one.
std::optional<cancel_key> parse_backend_key_data(std::string_view message);

/// Which way to authenticate an AuthenticationXXX message asks for; nullopt for other messages.
std::optional<std::uint32_t> authentication_kind(std::string_view message);

/// A field of an ErrorResponse, such as 'C' for its SQLSTATE.
std::optional<std::string> error_field(std::string_view message, char type);

/// A client's choice of a mechanism, and its first message in it.
struct sasl_opening {
    sasl_opening() = default;

    std::string mechanism;
    std::string text;
};

/// Reads the body of a SASLInitialResponse; nullopt if it is malformed or has no message.
std::optional<sasl_opening> parse_sasl_initial_response(std::string_view body);

/// The password in the body of a PasswordMessage; nullopt if it is malformed.
std::optional<std::string> parse_password(std::string_view body);

}  // namespace bitdotio
