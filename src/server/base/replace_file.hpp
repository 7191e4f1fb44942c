// Files that are either as they were or wholly new, whatever crashes.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

namespace bitdotio {

/// Replaces a file by writing another, syncing it and renaming it. It blocks.
///
/// Parameters: `mode` of the file, 0600 unless it is for others to read.
/// Errors: errc::system_failed naming the file; the old one is untouched then.
void replace_file(const std::filesystem::path& file, std::string_view text, unsigned mode = 0600);

/// The text of a file, nothing if there is none. It blocks.
///
/// Errors: errc::system_failed naming the file if it is there and cannot be read.
std::optional<std::string> read_file(const std::filesystem::path& file);

}  // namespace bitdotio
