// Imports a file's tables into a database, in one transaction.
#pragma once

#include <bitdotio/connection.hpp>
#include <bitdotio/jobs.hpp>
#include <bitdotio/transaction.hpp>

#include "server/jail/jailed_file.hpp"
#include "server/jobs/table_load.hpp"
#include "server/jobs/worker_threads.hpp"

#include <boost/asio/awaitable.hpp>

#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace bitdotio {

/// What to import.
struct import_order {
    import_order() = default;

    std::filesystem::path file;
    std::string file_name;  ///< as the user calls it
    import_options options;
    /// Is told of bytes on their way into PostgreSQL; may be empty.
    std::function<void(std::size_t)> moved;
    /// Is told if the process that reads the file ends before its time; may be empty.
    jailed_file::listener died;
};

/// Reads on `threads`, from a process in a jail, and writes through COPY; memory holds a slice of
/// the file. Cancelling ends that process at once.
///
/// Lifetime: `threads` must outlive it; one call of each function, each awaited in place. Await
///     `close` last, also after a failure.
class import_run {
public:
    using step = std::function<asio::awaitable<void>()>;

    import_run(worker_threads& threads, import_order order);

    /// Finds the tables in the file.
    ///
    /// Errors: errc::bad_input.
    asio::awaitable<void> look();

    /// Loads the file. A missing table is made; an existing one gets further rows. Afterwards
    /// everything is there, or nothing.
    ///
    /// Parameters: `session` is with a database that the caller holds meanwhile, and is closed;
    ///     `again` is awaited before each further attempt; `before_commit` when all is written and
    ///     nothing is visible yet: if it throws, the load is undone.
    /// Errors: errc::bad_input for what cannot be read; those of connection.
    asio::awaitable<void> load(connection session, step again, step before_commit);

    /// Ends the process that reads.
    ///
    /// Cancellation: none.
    asio::awaitable<void> close();

private:
    asio::awaitable<void> read(std::function<void()> work);
    asio::awaitable<bool> attempt(connection& session, step& before_commit);
    asio::awaitable<void> prepare(transaction& scope, table_load& table);
    std::string table_of(const table_load& table) const;
    std::string copy_statement(const table_load& table) const;

    worker_threads& threads_;
    const import_order order_;
    const std::shared_ptr<jailed_file> file_;
    std::vector<table_load> tables_;
    std::vector<std::string> table_names_;  ///< of PostgreSQL's tables, one for each
    std::vector<load_column> target_;       ///< the columns of the table that is being loaded
};

}  // namespace bitdotio
