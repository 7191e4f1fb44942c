// Makes random characters and hashes them, with OpenSSL.
#include "server/catalog/key_secret.hpp"
#include "server/base/hexadecimal.hpp"

#include <bitdotio/error.hpp>
#include <bitdotio/types.hpp>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

#include <array>
#include <cstdint>
#include <span>
#include <utility>

namespace bitdotio {

namespace {

constexpr std::string_view mark = "v2_";
constexpr std::size_t id_size = 12;
// 43 characters of 62: a little more than 256 bits.
constexpr std::size_t secret_size = 43;

void fill_randomly(std::span<unsigned char> octets) {
    if (RAND_bytes(octets.data(), static_cast<int>(octets.size())) != 1) {
        throw error(errc::system_failed, "the system has no random numbers to give");
    }
}

// Looked up once: OpenSSL would otherwise look it up for each hash, which takes as long again.
const EVP_MD* sha256() {
    static const EVP_MD* const found = [] {
        const EVP_MD* const sha = EVP_MD_fetch(nullptr, "SHA256", nullptr);
        if (!sha) throw error(errc::system_failed, "OpenSSL has no SHA-256");
        return sha;
    }();
    return found;
}

std::string digest_of(const std::string& salt, const api_key& key) {
    std::array<unsigned char, 32> digest;
    std::string salted = salt + key.reveal();
    const int done =
        EVP_Digest(salted.data(), salted.size(), digest.data(), nullptr, sha256(), nullptr);
    OPENSSL_cleanse(salted.data(), salted.size());
    if (done != 1) {
        throw error(errc::system_failed, "OpenSSL could not compute a hash");
    }
    return hexadecimal(digest);
}

bool has_digest(const key_row& kept, const api_key& key) {
    const std::string digest = digest_of(kept.salt, key);
    return digest.size() == kept.digest.size() &&
           CRYPTO_memcmp(digest.data(), kept.digest.data(), digest.size()) == 0;
}

void append_letters(std::string& text, std::size_t count) {
    constexpr std::string_view letters =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    constexpr unsigned char fair =
        248;  // the last multiple of 62: above it some letters would be likelier
    const std::size_t wanted = text.size() + count;
    while (text.size() < wanted) {
        std::array<unsigned char, 64> octets;
        fill_randomly(octets);
        for (const unsigned char octet : octets) {
            if (octet < fair && text.size() < wanted) {
                text.push_back(letters[octet % letters.size()]);
            }
        }
        OPENSSL_cleanse(octets.data(), octets.size());
    }
}

}  // namespace

std::string new_id() {
    uuid id;
    fill_randomly(id.octets);
    id.octets[6] = static_cast<std::uint8_t>((id.octets[6] & 0x0f) | 0x40);  // version 4
    id.octets[8] = static_cast<std::uint8_t>((id.octets[8] & 0x3f) | 0x80);  // RFC 4122
    return to_string(id);
}

api_key new_key() {
    std::string text(mark);
    text.reserve(mark.size() + id_size + 1 + secret_size);  // no reallocation leaves a copy
    append_letters(text, id_size);
    text += '_';
    append_letters(text, secret_size);
    const api_key key(text);
    OPENSSL_cleanse(text.data(), text.size());
    return key;
}

std::string key_id(const api_key& key) {
    const std::string& text = key.reveal();
    if (text.size() != mark.size() + id_size + 1 + secret_size ||
        text[mark.size() + id_size] != '_') {
        return {};
    }
    return text.substr(mark.size(), id_size);
}

key_row hashed(const api_key& key, std::string account, catalog_time now) {
    std::array<unsigned char, 16> salt;
    fill_randomly(salt);
    key_row kept;
    kept.id = key_id(key);
    kept.account = std::move(account);
    kept.salt = hexadecimal(salt);
    kept.digest = digest_of(kept.salt, key);
    kept.created = now;
    return kept;
}

bool matches(const key_row& kept, const api_key& key) {
    return !kept.revoked && has_digest(kept, key);
}

key_verdict judge(const std::map<std::string, key_row>& keys, const api_key& key) {
    static const key_row decoy = hashed(new_key(), "", catalog_time());
    const auto found = keys.find(key_id(key));
    // A revoked key has no digest any more.
    const bool known = found != keys.end() && !found->second.revoked;
    const bool right = has_digest(known ? found->second : decoy, key);
    key_verdict verdict;
    verdict.hashes = 1;
    if (known && right) verdict.row = &found->second;
    return verdict;
}

}  // namespace bitdotio
