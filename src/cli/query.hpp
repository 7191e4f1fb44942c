// The command "query", over the API or over a connection.
#pragma once

#include "cli/query_input.hpp"
#include "cli/row_writer.hpp"
#include "cli/service.hpp"

#include <chrono>
#include <optional>
#include <vector>

namespace bitdotio::cli {

/// What a query asks for, once all its words are checked.
struct query_wish {
    std::optional<database_name> database;
    std::vector<bound_statement> statements;
    row_format format = row_format::json;
    std::chrono::milliseconds timeout{0};  ///< for each statement; 0 for the service's own
    bool paged = false;
    bool color = false;
    bool counts = false;  ///< tell how many rows there were
    bool verbose = false;
};

struct direct_target;

/// Runs the statements over a Postgres connection, in order, and prints what they return as it
/// comes.
work query_directly(direct_target target, query_wish wish);

/// "(1 row)"
std::string count_text(std::uint64_t rows);

/// The command "query".
std::vector<command> query_commands();

}  // namespace bitdotio::cli
