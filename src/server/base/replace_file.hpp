// Replaces files so that a crash leaves either the old file or the whole new one.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

namespace bitdotio {

/// Replaces a file by writing another, syncing it and renaming it. It blocks.
///
/// Parameters: `mode` of the file, 0600 unless others may read it.
/// Errors: errc::system_failed naming the file; the old one is untouched then.
void replace_file(const std::filesystem::path& file, std::string_view text, unsigned mode = 0600);

/// The text of a file; nothing if there is none. It blocks.
///
/// Errors: errc::system_failed naming the file if it exists and cannot be read.
std::optional<std::string> read_file(const std::filesystem::path& file);

}  // namespace bitdotio
