// SCRAM-SHA-256: client and server prove that they know a password without sending it.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace bitdotio {

/// One authentication, from the client's side.
///
/// Call `first`, `answer` and `check` in this order. Channels are not bound.
///
/// Thread safety: one thread at a time.
/// See: RFC 5802, RFC 7677; PostgreSQL manual, 55.3.1 "SCRAM-SHA-256 Authentication".
class scram_client {
public:
    /// The name of the mechanism.
    static constexpr std::string_view mechanism = "SCRAM-SHA-256";

    /// Parameters: `password` in ASCII; `nonce` is printable, without commas, and never used again;
    ///     `user` is empty for PostgreSQL, which has it from the startup message.
    scram_client(std::string password, std::string nonce, std::string user = "");
    ~scram_client();
    scram_client(const scram_client&) = delete;
    scram_client& operator=(const scram_client&) = delete;

    /// The client's first message.
    std::string first() const;
    /// The client's final message, for the server's first one.
    ///
    /// Errors: errc::protocol_violated if it is malformed, or not an answer to ours.
    std::string answer(std::string_view server_first);
    /// Checks that the server knows the password too.
    ///
    /// Errors: errc::authentication_failed if it does not.
    void check(std::string_view server_final) const;

private:
    std::string password_;
    const std::string nonce_;
    const std::string first_bare_;
    std::string server_signature_;  ///< what the server must send to prove itself
};

/// What a server keeps of a password: it is not enough to log in or to learn the password.
///
/// Parameters: `salt` as octets.
/// See: PostgreSQL manual, 53.8 "pg_authid".
std::string scram_verifier(std::string_view password, std::string_view salt, int iterations);

/// The steps that both sides take.
///
/// Errors: errc::system_failed if OpenSSL computes no hash.
namespace scram {
/// The size of every key, proof and signature in octets.
inline constexpr std::size_t hash_size = 32;

std::string hmac(std::string_view key, std::string_view text);
std::string sha256(std::string_view text);
/// The password by PBKDF2, from which all keys are made.
std::string salted(std::string_view password, std::string_view salt, int iterations);
/// What was written in base64; nullopt if it was not.
std::optional<std::string> octets_from(std::string_view base64_text);
/// The value of an attribute such as "r=…", taken off the front of `message`; nullopt if another
/// one stands there.
std::optional<std::string_view> take(std::string_view& message, char name);
}  // namespace scram

/// Octets from the system's source of random numbers.
///
/// Errors: errc::system_failed.
std::string random_octets(std::size_t count);

/// See: RFC 4648, section 4.
std::string base64(std::string_view octets);

}  // namespace bitdotio
