// Bodies that show how far they are, and standard input as a file.
#pragma once

#include <bitdotio/error.hpp>

#include "cli/exit_codes.hpp"
#include "cli/progress.hpp"
#include "service/file_transfer.hpp"

#include <memory>
#include <string>

namespace bitdotio::cli {

/// A body that is sent, with a bar.
class counted_source final : public body_source {
public:
    counted_source(std::shared_ptr<body_source> from, const std::string& what);

    std::uint64_t size() const override { return from_->size(); }
    asio::awaitable<std::string> next() override;
    /// Takes the bar away.
    void finish() { bar_.reset(); }

private:
    std::shared_ptr<body_source> from_;
    std::unique_ptr<progress> bar_;
};

/// A body that comes, into a file or else to standard output, with a bar.
class counted_sink final : public body_sink {
public:
    counted_sink(std::shared_ptr<file_sink> file, const std::string& what);

    asio::awaitable<void> write(std::string piece) override;
    /// Takes the bar away.
    void finish() { bar_.reset(); }

private:
    std::shared_ptr<file_sink> file_;
    std::unique_ptr<progress> bar_;
};

/// The name of an exported file as the service gives it, if that is a name and nothing else: no
/// path, no hidden file, nothing that a command could take for an option or a terminal for more
/// than text; else "export" and the ending of the format.
std::string safe_file_name(const std::string& given, const std::string& ending);

/// A place for a file of which nobody else has the name. What stands there is removed with this,
/// unless it is kept.
class reserved_file {
public:
    /// Errors: errc::bad_input if there is a file; errc::system_failed if none can be made.
    explicit reserved_file(std::string name);
    ~reserved_file();
    reserved_file(const reserved_file&) = delete;
    reserved_file& operator=(const reserved_file&) = delete;

    void keep() noexcept { name_.clear(); }

private:
    std::string name_;
};

/// Standard input as a file of known size: itself if it is one, else a copy on the disk, in TMPDIR,
/// that has no name and is gone with this. Memory holds a piece.
class spooled_input {
public:
    /// Errors: errc::bad_input if it cannot be read, errc::system_failed if there is no room.
    explicit spooled_input(bool wanted);
    ~spooled_input();
    spooled_input(const spooled_input&) = delete;
    spooled_input& operator=(const spooled_input&) = delete;

    std::string path() const;

private:
    int file_ = -1;
};

}  // namespace bitdotio::cli
