// The profile: where the service is and its key, in a file that only its owner can read.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include <cstdint>

namespace bitdotio {

/// Written by `bit serve` when it starts, read by clients. Empty fields are not in the file.
struct profile {
    std::string api_url;
    std::string postgres_host;
    std::uint16_t postgres_port = 0;
    std::string ca_file;
    std::string key;
};

/// BITIO_PROFILE, else bitdotio/profile.json below XDG_CONFIG_HOME or ~/.config; empty if none of
/// these is set.
std::filesystem::path default_profile_file();

/// Reads a profile; nothing if there is no such file.
///
/// Errors: errc::bad_input if it is not a profile, or others than its owner may read it.
std::optional<profile> read_profile(const std::filesystem::path& file);

/// Writes the whole file or nothing, with mode 0600; makes its directories, with mode 0700.
///
/// Errors: errc::system_failed naming the file and the cause.
void write_profile(const std::filesystem::path& file, const profile& value);

}  // namespace bitdotio
