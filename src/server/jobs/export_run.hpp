// Exports a table or the rows of a query to a file.
#pragma once

#include <bitdotio/jobs.hpp>

#include "server/jobs/worker_threads.hpp"

#include <boost/asio/awaitable.hpp>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>

namespace bitdotio {

class connection;

/// The one statement of a text, without what psql would take around it: semicolons, comments and
/// white space before and after it.
///
/// Errors: errc::bad_input if there are two statements, or none.
std::string only_statement(std::string_view text);

/// Runs the query in a read-only transaction that sees one state of the database. Rows come through
/// COPY and are written on `threads`; memory holds a piece of them.
///
/// Parameters: `session` is with a database that the caller holds meanwhile, and is closed;
///     `largest` is the limit of the file, in bytes; `moved` is told of bytes that came.
/// Errors: those of connection and of only_statement; job_failure ("unrepresentable") for values
/// the format cannot hold;
///     job_failure ("too_large"), which is seen within a few MiB after the limit;
///     errc::system_failed if the file cannot be written. The file is unfinished then.
/// Cancellation: terminal.
/// Lifetime: `threads` must outlive it.
asio::awaitable<void> run_export(worker_threads& threads, connection session, export_options order,
                                 std::filesystem::path file, std::uint64_t largest,
                                 std::function<void(std::size_t)> moved = nullptr);

}  // namespace bitdotio
