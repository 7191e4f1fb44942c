// Reads the tables of a stranger's file through a process without rights.
#pragma once

#include "server/formats/table_reader.hpp"
#include "server/jail/answer_stream.hpp"
#include "server/jail/reader_process.hpp"

#include <atomic>
#include <cstdint>
#include <exception>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace bitdotio {

/// A file whose readers run in another process: what a file does to its reader, it does there.
///
/// The process has a gigabyte of memory, and processor time by the size of the file. If it ends
/// before its time, by a signal or a limit, the file cannot be read, and nothing else has happened.
///
/// Errors: errc::bad_input for what cannot be read, errc::system_failed if the machine has no such
///     process, errc::cancelled after `stop`.
/// Thread safety: `stop` may be called from any thread; all else, the readers of its tables too,
/// from
///     one thread at a time. All but `stop` blocks.
class jailed_file : public std::enable_shared_from_this<jailed_file> {
public:
    /// Is called with how the process ended, if that was not as it should; must not throw.
    using listener = std::function<void(const std::string& how, double processor_seconds)>;

    /// Parameters: `name` is the file's as its user calls it; `died` may be empty.
    jailed_file(std::filesystem::path file, std::string name, header_row header,
                listener died = nullptr);

    /// Starts the process, and returns the tables of the file; call it once. One reader reads at a
    /// time: opening one ends the one before.
    ///
    /// Lifetime: they keep this object.
    std::vector<table_source> tables();

    /// Ends the process at once, or lets it not begin; whoever reads gets errc::cancelled.
    void stop() noexcept;
    /// Waits for the end of the process, some milliseconds. Nothing can be read afterwards.
    void close();

    /// The process, while there is one.
    int pid() const noexcept { return process_->pid(); }

private:
    class reader;

    std::exception_ptr how_it_ended();
    std::exception_ptr took_too_long();
    std::exception_ptr end(const error& why, const std::string& how);
    void start();
    error told_failure(row_protocol::answer what);
    row_protocol::answer next_answer();
    void expect(row_protocol::answer wanted);
    void begin(std::uint32_t table);
    void ask_for_rows();

    const std::filesystem::path path_;
    const std::string name_;
    const header_row header_;
    const listener died_;
    std::uint64_t size_ = 0;
    std::atomic<bool> stopped_{false};
    std::atomic<reader_process*> running_{nullptr};  ///< for `stop`
    std::unique_ptr<reader_process> process_;
    std::unique_ptr<answer_stream> answers_;
    std::optional<error> failure_;  ///< there is nothing to be read after it
    std::size_t owed_ = 0;          ///< answers to `rows` that have not come
    std::uint64_t turn_ = 0;        ///< counts the readers
};

}  // namespace bitdotio
