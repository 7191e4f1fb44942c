// Reads a client's messages strictly, and checks its proof.
#include "server/hosts/scram_server.hpp"
#include "server/hosts/scram_client.hpp"

#include <openssl/crypto.h>

#include <algorithm>
#include <charconv>
#include <utility>

namespace bitdotio {

namespace {

constexpr std::string_view end_point = "p=tls-server-end-point";

scram_violation malformed_scram() {
    return scram_violation("08P01", "malformed SCRAM message");
}

bool is_scram_nonce(std::string_view text) {
    return !text.empty() &&
           std::all_of(text.begin(), text.end(), [](char c) { return c > 0x20 && c < 0x7f; });
}

// What stands before `end` at the front of `text`, taken off together with it.
std::optional<std::string_view> take_until(std::string_view& text, char end) {
    const std::size_t at = text.find(end);
    if (at == std::string_view::npos) return std::nullopt;
    const std::string_view taken = text.substr(0, at);
    text.remove_prefix(at + 1);
    return taken;
}

}  // namespace

std::optional<scram_secret> parse_scram_verifier(std::string_view text) {
    const auto name = take_until(text, '$');
    const auto count = take_until(text, ':');
    const auto salt = take_until(text, '$');
    const auto stored_key = take_until(text, ':');
    if (!name || *name != scram_server::mechanism || !count || !salt || !stored_key) {
        return std::nullopt;
    }
    auto salt_octets = scram::octets_from(*salt);
    auto stored_octets = scram::octets_from(*stored_key);
    auto server_octets = scram::octets_from(text);
    scram_secret kept;
    std::from_chars(count->data(), count->data() + count->size(), kept.iterations);
    if (kept.iterations < 1 || !salt_octets || !stored_octets || !server_octets ||
        stored_octets->size() != scram::hash_size || server_octets->size() != scram::hash_size) {
        return std::nullopt;
    }
    kept.salt = std::move(*salt_octets);
    kept.stored_key = std::move(*stored_octets);
    kept.server_key = std::move(*server_octets);
    return kept;
}

scram_server::scram_server(std::string salt, int iterations, std::string nonce, std::string channel)
    : salt_(std::move(salt)),
      iterations_(iterations),
      own_nonce_(std::move(nonce)),
      channel_(std::move(channel)) {}

std::vector<std::string_view> scram_server::mechanisms() const {
    if (channel_.empty()) return {mechanism};
    return {bound_mechanism, mechanism};
}

std::string scram_server::challenge(std::string_view chosen, std::string_view client_first) {
    const auto offered = mechanisms();
    if (std::find(offered.begin(), offered.end(), chosen) == offered.end()) {
        throw scram_violation("08P01", "client selected an invalid SASL authentication mechanism");
    }
    is_bound_ = chosen == bound_mechanism;
    // The header: what the client makes of channel binding, and an identity nobody may take on.
    std::string_view rest = client_first;
    const auto binding = take_until(rest, ',');
    if (!binding || is_bound_ != binding->starts_with("p=")) throw malformed_scram();
    if (is_bound_ && *binding != end_point) {
        throw scram_violation("08P01", "unsupported SCRAM channel-binding type");
    }
    if (!is_bound_ && *binding != "n" && *binding != "y") throw malformed_scram();
    // "y" says that the client could bind the channel and that we did not offer it. If we did,
    // somebody in between has taken the offer away.
    if (*binding == "y" && !channel_.empty()) {
        throw scram_violation("28000", "SCRAM channel binding negotiation error");
    }
    if (rest.starts_with("a=")) {
        throw scram_violation("0A000",
                              "client uses authorization identity, but it is not supported");
    }
    if (!rest.starts_with(',')) throw malformed_scram();
    rest.remove_prefix(1);
    if (rest.starts_with("m=")) {
        throw scram_violation("0A000", "client requires an unsupported SCRAM extension");
    }
    client_first_ = rest;
    const auto user = scram::take(rest, 'n');  // PostgreSQL too has it from the startup message
    const auto nonce = scram::take(rest, 'r');
    if (!user || !nonce || !is_scram_nonce(*nonce) || !rest.empty()) throw malformed_scram();
    binding_ = base64(std::string(*binding) + ",," + (is_bound_ ? channel_ : std::string()));
    nonce_ = std::string(*nonce) + own_nonce_;
    server_first_ = "r=" + nonce_ + ",s=" + base64(salt_) + ",i=" + std::to_string(iterations_);
    return server_first_;
}

void scram_server::receive(std::string_view client_final) {
    std::string_view rest = client_final;
    const auto binding = scram::take(rest, 'c');
    const auto nonce = scram::take(rest, 'r');
    const auto proof_text = scram::take(rest, 'p');
    auto proof = proof_text ? scram::octets_from(*proof_text) : std::nullopt;
    if (server_first_.empty() || !binding || !nonce || !proof ||
        proof->size() != scram::hash_size || !rest.empty()) {
        throw malformed_scram();
    }
    if (*binding != binding_) {
        if (!is_bound_) throw malformed_scram();
        throw scram_violation("28000", "SCRAM channel binding check failed");
    }
    if (*nonce != nonce_) throw scram_violation("08P01", "invalid SCRAM response");
    const std::string_view without_proof = client_final.substr(0, client_final.rfind(",p="));
    exchanged_ = client_first_ + "," + server_first_ + "," + std::string(without_proof);
    proof_ = std::move(*proof);
}

bool scram_server::is_proven_by(const scram_secret& kept) const {
    if (proof_.empty() || kept.stored_key.size() != scram::hash_size) return false;
    std::string client_key = scram::hmac(kept.stored_key, exchanged_);
    for (std::size_t i = 0; i < scram::hash_size; ++i) {
        client_key[i] = static_cast<char>(client_key[i] ^ proof_[i]);
    }
    const std::string hash = scram::sha256(client_key);
    OPENSSL_cleanse(client_key.data(), client_key.size());
    return CRYPTO_memcmp(hash.data(), kept.stored_key.data(), scram::hash_size) == 0;
}

std::string scram_server::signature(const scram_secret& kept) const {
    return "v=" + base64(scram::hmac(kept.server_key, exchanged_));
}

}  // namespace bitdotio
