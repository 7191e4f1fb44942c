// The server's state in one SQLite file that survives any crash.
#pragma once

#include "server/catalog/catalog_rows.hpp"

#include <filesystem>
#include <memory>

namespace bitdotio {

/// Keeps the rows of `catalog_rows`.
///
/// The file has mode 0600. Its journal is a write-ahead log synced at every commit: once `apply`
/// has returned, the changes survive a crash of the process or the system and a loss of power. The
/// table "migrations" says which form the file has; an older form is updated when it is opened.
///
/// Thread safety: one thread at a time. Everything here blocks: call it through run_blocking.
/// Errors of all functions: errc::system_failed naming the file; a failed call changes nothing.
class catalog_file {
public:
    /// Opens the file, or begins it.
    ///
    /// Errors: errc::system_failed too if it was written by a newer server, or is damaged.
    explicit catalog_file(std::filesystem::path file);
    catalog_file(catalog_file&&) noexcept;
    catalog_file& operator=(catalog_file&&) = delete;
    ~catalog_file();

    catalog_rows load();

    /// Writes all changes in order, or none.
    void apply(const catalog_changes& changes);

private:
    class impl;
    std::unique_ptr<impl> impl_;
};

}  // namespace bitdotio
