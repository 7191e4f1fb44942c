// The data directory of a server, locked against other servers while it runs.
#pragma once

#include <filesystem>

namespace bitdotio {

/// A locked data directory; a temporary one is removed with it.
///
/// Thread safety: one thread at a time. Everything here blocks: call it through run_blocking.
class data_directory {
public:
    /// Makes the directory if it is missing, and locks it until destruction.
    ///
    /// Parameters: `path` empty for a temporary one.
    /// Errors: errc::conflict if another server has it; errc::system_failed naming the path.
    static data_directory open(std::filesystem::path path);

    data_directory(data_directory&& other) noexcept;
    data_directory& operator=(data_directory&&) = delete;
    /// Unlocks it, and removes it if it is temporary.
    ~data_directory();

    const std::filesystem::path& path() const noexcept { return path_; }
    bool is_temporary() const noexcept { return temporary_; }

    /// What the destructor does, once. Files that cannot be removed stay.
    void close() noexcept;

private:
    data_directory(std::filesystem::path path, bool temporary, int lock) noexcept;

    std::filesystem::path path_;
    bool temporary_;
    int lock_;
};

}  // namespace bitdotio
