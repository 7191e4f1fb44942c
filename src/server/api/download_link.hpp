// Signed links that let anyone who has them download one file for a while.
#pragma once

#include <chrono>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>

namespace bitdotio {

/// Signs and checks links with HMAC-SHA256 and a secret of the server.
///
/// Thread safety: an immutable value.
class download_link {
public:
    using time = std::chrono::sys_seconds;

    explicit download_link(std::string secret) : secret_(std::move(secret)) {}

    /// Uses the secret in `file` (mode 0600), or makes one. It blocks.
    ///
    /// Errors: errc::system_failed naming the file.
    static download_link open(const std::filesystem::path& file);

    /// The query of a link: "expires=…&signature=…".
    std::string sign(std::string_view id, time expires) const;

    enum class verdict { good, expired, forged };
    /// Checks the query of a link for `id`, in the same time whatever is wrong with it.
    verdict check(std::string_view id, std::string_view query, time now) const;

private:
    std::string signature(std::string_view id, std::string_view expires) const;

    std::string secret_;
};

}  // namespace bitdotio
