// The server's state in one SQLite file that survives any crash.
#pragma once

#include "server/catalog/catalog_rows.hpp"

#include <filesystem>
#include <memory>

namespace bitdotio {

/// Keeps the rows of `catalog_rows`.
///
/// The file has mode 0600. Its journal is a write-ahead log synced at every commit: what `apply`
/// has returned from is there after a crash of the process, the system or the power. Which form it
/// has stands in the table "migrations"; an older one is brought up to date when it is opened.
///
/// Thread safety: one thread at a time. Everything here blocks: call it through run_blocking.
/// Errors of all functions: errc::system_failed naming the file; what failed has changed nothing.
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

    /// All of them, in their order, or none.
    void apply(const catalog_changes& changes);

private:
    class impl;
    std::unique_ptr<impl> impl_;
};

}  // namespace bitdotio
