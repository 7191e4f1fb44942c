// SCRAM-SHA-256 from the server's side, with and without channel binding. No I/O.
#pragma once

#include <bitdotio/error.hpp>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace bitdotio {

/// Thrown for messages of a client that break the rules; its code is errc::protocol_violated.
class scram_violation : public error {
public:
    /// Parameters: `state` is a literal.
    scram_violation(std::string_view state, const std::string& message)
        : error(errc::protocol_violated, message), state_(state) {}

    /// The SQLSTATE with which PostgreSQL refuses the same.
    std::string_view state() const noexcept { return state_; }

private:
    std::string_view state_;
};

/// What a verifier says; see scram_verifier.
struct scram_secret {
    scram_secret() = default;

    int iterations = 0;
    std::string salt;
    std::string stored_key;  ///< the hash of the client's key
    std::string server_key;
};

/// Reads what scram_verifier wrote; nullopt for anything else.
std::optional<scram_secret> parse_scram_verifier(std::string_view text);

/// One authentication, from the server's side.
///
/// Call `challenge` and `receive` in this order; then ask it about as many passwords as there may
/// be. The client need not say whose password it has.
///
/// Thread safety: one thread at a time; once `receive` has returned, any number.
/// See: RFC 5802, RFC 7677, RFC 5929 (tls-server-end-point); PostgreSQL manual, 55.3.1.
class scram_server {
public:
    static constexpr std::string_view mechanism = "SCRAM-SHA-256";
    static constexpr std::string_view bound_mechanism = "SCRAM-SHA-256-PLUS";

    /// Parameters: `salt` as octets, and `iterations`, of the passwords that may be shown; `nonce`
    ///     is printable, without commas, and never used again; `channel` is the hash of the
    ///     certificate that the client was shown, empty if the channel cannot be bound.
    scram_server(std::string salt, int iterations, std::string nonce, std::string channel);

    /// What to offer, the best first.
    std::vector<std::string_view> mechanisms() const;
    /// The server's first message, for the client's.
    ///
    /// Parameters: `chosen` is the client's mechanism.
    /// Errors: scram_violation.
    std::string challenge(std::string_view chosen, std::string_view client_first);
    /// Takes the client's final message.
    ///
    /// Errors: scram_violation if it is malformed, or not about this channel and this challenge. A
    ///     wrong proof is not one.
    void receive(std::string_view client_final);
    /// Whether the client has the password of this verifier; takes the same time either way.
    bool is_proven_by(const scram_secret& kept) const;
    /// The server's final message, by which it proves that it has the verifier.
    std::string signature(const scram_secret& kept) const;

private:
    const std::string salt_;
    const int iterations_;
    const std::string own_nonce_;
    const std::string channel_;
    std::string binding_;       ///< what the client must say of the channel, in base64
    bool is_bound_ = false;     ///< it has chosen bound_mechanism
    std::string nonce_;         ///< the client's and ours
    std::string client_first_;  ///< without its header
    std::string server_first_;
    std::string exchanged_;  ///< what proof and signature are about
    std::string proof_;
};

}  // namespace bitdotio
