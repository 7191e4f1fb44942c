// Signs links: HMAC-SHA256 over the job and the end of the link's life.
#include "server/api/download_link.hpp"

#include "server/api/path_pattern.hpp"
#include "server/base/hexadecimal.hpp"
#include "server/base/replace_file.hpp"

#include <bitdotio/error.hpp>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>

#include <array>
#include <charconv>
#include <span>
#include <utility>

namespace bitdotio {

download_link download_link::open(const std::filesystem::path& file) {
    if (auto known = read_file(file); known && known->size() >= 64) {
        return download_link(std::move(*known));
    }
    std::array<unsigned char, 32> random;
    if (RAND_bytes(random.data(), static_cast<int>(random.size())) != 1) {
        throw error(errc::system_failed, "the system has no random numbers to give");
    }
    std::string secret = hexadecimal(random);
    OPENSSL_cleanse(random.data(), random.size());
    replace_file(file, secret);
    return download_link(std::move(secret));
}

std::string download_link::signature(std::string_view id, std::string_view expires) const {
    const std::string signed_text = "download\n" + std::string(id) + "\n" + std::string(expires);
    std::array<unsigned char, EVP_MAX_MD_SIZE> code;
    unsigned size = 0;
    if (!HMAC(EVP_sha256(), secret_.data(), static_cast<int>(secret_.size()),
              reinterpret_cast<const unsigned char*>(signed_text.data()), signed_text.size(),
              code.data(), &size)) {
        throw error(errc::system_failed, "OpenSSL could not sign a link");
    }
    return hexadecimal(std::span(code).first(size));
}

std::string download_link::sign(std::string_view id, time expires) const {
    const std::string when = std::to_string(expires.time_since_epoch().count());
    return "expires=" + when + "&signature=" + signature(id, when);
}

download_link::verdict download_link::check(std::string_view id, std::string_view query,
                                            time now) const {
    const std::string when = query_parameter(query, "expires").value_or("");
    const std::string given = query_parameter(query, "signature").value_or("");
    const std::string right = signature(id, when);
    if (given.size() != right.size() ||
        CRYPTO_memcmp(given.data(), right.data(), right.size()) != 0) {
        return verdict::forged;
    }
    std::int64_t seconds = 0;
    std::from_chars(when.data(), when.data() + when.size(), seconds);
    return time(std::chrono::seconds(seconds)) > now ? verdict::good : verdict::expired;
}

}  // namespace bitdotio
