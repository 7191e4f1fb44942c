// Computes keys, proofs and signatures with OpenSSL.
#include "server/hosts/scram_client.hpp"

#include <bitdotio/error.hpp>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>

#include <charconv>
#include <optional>
#include <utility>

namespace bitdotio {

namespace {

// "n": no channel is bound. "biws" is its base64.
constexpr std::string_view no_binding = "n,,";
constexpr std::string_view no_binding_in_base64 = "biws";
// A server must not keep us busy for long.
constexpr int most_iterations = 100'000;

const unsigned char* octets_of(std::string_view text) {
    return reinterpret_cast<const unsigned char*>(text.data());
}

unsigned char* octets_of(std::string& text) {
    return reinterpret_cast<unsigned char*>(text.data());
}

error no_hash() {
    return error(errc::system_failed, "OpenSSL could not compute a hash");
}

// Commas and equal signs are separators.
std::string escaped(std::string_view name) {
    std::string text;
    for (const char c : name) {
        if (c == ',') {
            text += "=2C";
        } else if (c == '=') {
            text += "=3D";
        } else {
            text += c;
        }
    }
    return text;
}

}  // namespace

namespace scram {

std::string hmac(std::string_view key, std::string_view text) {
    std::string code(hash_size, '\0');
    unsigned size = 0;
    if (!HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()), octets_of(text), text.size(),
              octets_of(code), &size)) {
        throw no_hash();
    }
    return code;
}

std::string sha256(std::string_view text) {
    std::string digest(hash_size, '\0');
    if (EVP_Digest(text.data(), text.size(), octets_of(digest), nullptr, EVP_sha256(), nullptr) !=
        1) {
        throw no_hash();
    }
    return digest;
}

std::string salted(std::string_view password, std::string_view salt, int iterations) {
    std::string key(hash_size, '\0');
    if (PKCS5_PBKDF2_HMAC(password.data(), static_cast<int>(password.size()), octets_of(salt),
                          static_cast<int>(salt.size()), iterations, EVP_sha256(), hash_size,
                          octets_of(key)) != 1) {
        throw no_hash();
    }
    return key;
}

std::optional<std::string> octets_from(std::string_view base64_text) {
    if (base64_text.empty() || base64_text.size() % 4 != 0) return std::nullopt;
    std::string octets(base64_text.size() / 4 * 3, '\0');
    if (EVP_DecodeBlock(octets_of(octets), octets_of(base64_text),
                        static_cast<int>(base64_text.size())) < 0) {
        return std::nullopt;
    }
    // OpenSSL counts the octets that '=' stands for.
    const std::size_t padding = base64_text.size() - (base64_text.find_last_not_of('=') + 1);
    if (padding > 2) return std::nullopt;
    octets.resize(octets.size() - padding);
    return octets;
}

std::optional<std::string_view> take(std::string_view& message, char name) {
    if (message.size() < 2 || message[0] != name || message[1] != '=') return std::nullopt;
    const std::size_t end = message.find(',');
    const std::string_view value = message.substr(2, end == std::string_view::npos ? end : end - 2);
    message.remove_prefix(end == std::string_view::npos ? message.size() : end + 1);
    return value;
}

}  // namespace scram

scram_client::scram_client(std::string password, std::string nonce, std::string user)
    : password_(std::move(password)),
      nonce_(std::move(nonce)),
      first_bare_("n=" + escaped(user) + ",r=" + nonce_) {}

scram_client::~scram_client() {
    OPENSSL_cleanse(password_.data(), password_.size());
}

std::string scram_client::first() const {
    return std::string(no_binding) + first_bare_;
}

std::string scram_client::answer(std::string_view server_first) {
    std::string_view rest = server_first;
    const auto nonce = scram::take(rest, 'r');
    const auto salt_text = scram::take(rest, 's');
    const auto count_text = scram::take(rest, 'i');
    const auto salt = salt_text ? scram::octets_from(*salt_text) : std::nullopt;
    int iterations = 0;
    if (count_text) {
        std::from_chars(count_text->data(), count_text->data() + count_text->size(), iterations);
    }
    // Its nonce must begin with ours; otherwise somebody replays an old answer.
    if (!nonce || !salt || !nonce->starts_with(nonce_) || nonce->size() == nonce_.size() ||
        iterations < 1 || iterations > most_iterations) {
        throw error(errc::protocol_violated, "the server's SCRAM challenge is malformed");
    }
    std::string key = scram::salted(password_, *salt, iterations);
    const std::string client_key = scram::hmac(key, "Client Key");
    const std::string server_key = scram::hmac(key, "Server Key");
    OPENSSL_cleanse(key.data(), key.size());
    const std::string without_proof =
        "c=" + std::string(no_binding_in_base64) + ",r=" + std::string(*nonce);
    const std::string exchanged =
        first_bare_ + "," + std::string(server_first) + "," + without_proof;
    std::string proof = scram::hmac(scram::sha256(client_key), exchanged);
    for (std::size_t i = 0; i < scram::hash_size; ++i) {
        proof[i] = static_cast<char>(proof[i] ^ client_key[i]);
    }
    server_signature_ = scram::hmac(server_key, exchanged);
    return without_proof + ",p=" + base64(proof);
}

void scram_client::check(std::string_view server_final) const {
    std::string_view rest = server_final;
    const auto text = scram::take(rest, 'v');
    const auto signature = text ? scram::octets_from(*text) : std::nullopt;
    if (server_signature_.empty() || !signature || signature->size() != server_signature_.size() ||
        CRYPTO_memcmp(signature->data(), server_signature_.data(), signature->size()) != 0) {
        throw error(errc::authentication_failed,
                    "the server did not prove that it knows the password: it may be another one");
    }
}

std::string scram_verifier(std::string_view password, std::string_view salt, int iterations) {
    std::string key = scram::salted(password, salt, iterations);
    std::string client_key = scram::hmac(key, "Client Key");
    const std::string stored_key = scram::sha256(client_key);
    const std::string server_key = scram::hmac(key, "Server Key");
    OPENSSL_cleanse(key.data(), key.size());
    OPENSSL_cleanse(client_key.data(), client_key.size());
    return "SCRAM-SHA-256$" + std::to_string(iterations) + ":" + base64(salt) + "$" +
           base64(stored_key) + ":" + base64(server_key);
}

std::string random_octets(std::size_t count) {
    std::string octets(count, '\0');
    if (RAND_bytes(octets_of(octets), static_cast<int>(count)) != 1) {
        throw error(errc::system_failed, "the system has no random numbers to give");
    }
    return octets;
}

std::string base64(std::string_view octets) {
    std::string text((octets.size() + 2) / 3 * 4 + 1, '\0');
    const int size =
        EVP_EncodeBlock(octets_of(text), octets_of(octets), static_cast<int>(octets.size()));
    text.resize(static_cast<std::size_t>(size));
    return text;
}

}  // namespace bitdotio
