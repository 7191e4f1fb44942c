// Derives passwords: HMAC-SHA256 of a role's name.
#include "server/backend/backend_secret.hpp"
#include "server/base/replace_file.hpp"
#include "server/catalog/key_secret.hpp"
#include "server/hosts/scram_client.hpp"

#include <bitdotio/error.hpp>

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <array>
#include <utility>

namespace bitdotio {

namespace {

constexpr std::size_t id_size = 36;
constexpr std::size_t secret_size = 44;  // 32 octets in base64
constexpr std::size_t salt_size = 16;
// As PostgreSQL itself does. The password is random: one would do, but some require as many.
constexpr int iterations = 4096;

}  // namespace

backend_secret::backend_secret(std::string server, std::string secret)
    : server_(std::move(server)), secret_(std::move(secret)) {}

backend_secret backend_secret::open(const std::filesystem::path& file) {
    if (const auto known = read_file(file)) {
        // A new one in its place would disown all databases.
        if (known->size() != id_size + 1 + secret_size + 1 || (*known)[id_size] != ' ') {
            throw error(errc::system_failed, "the file " + file.string() + " is damaged");
        }
        return backend_secret(known->substr(0, id_size), known->substr(id_size + 1, secret_size));
    }
    backend_secret made(new_id(), base64(random_octets(32)));
    replace_file(file, made.server_ + " " + made.secret_ + "\n");
    return made;
}

std::string backend_secret::password(std::string_view role) const {
    std::array<unsigned char, EVP_MAX_MD_SIZE> code;
    unsigned size = 0;
    if (!HMAC(EVP_sha256(), secret_.data(), static_cast<int>(secret_.size()),
              reinterpret_cast<const unsigned char*>(role.data()), role.size(), code.data(),
              &size)) {
        throw error(errc::system_failed, "OpenSSL could not compute a hash");
    }
    return base64(std::string_view(reinterpret_cast<const char*>(code.data()), size));
}

std::string backend_secret::verifier(std::string_view role) const {
    return scram_verifier(password(role), random_octets(salt_size), iterations);
}

}  // namespace bitdotio
