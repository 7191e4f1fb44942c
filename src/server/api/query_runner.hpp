// Runs one query of the HTTP API on our own connection.
#pragma once

#include <bitdotio/models.hpp>

#include "server/catalog/storage_rule.hpp"
#include "server/hosts/database_host.hpp"

#include <boost/asio/awaitable.hpp>

#include <chrono>
#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace bitdotio {

namespace asio = boost::asio;

/// How a query of the HTTP API is run.
struct query_terms {
    query_terms() = default;

    /// Longer than people wait for an answer, shorter than proxies do.
    std::chrono::milliseconds timeout{300'000};
    /// The limit of an answer, in bytes of memory: JSON in one piece takes several times as much.
    std::size_t largest_answer = std::size_t{32} << 20;
    /// Refuses more than one statement, as PostgreSQL itself does.
    bool single = false;
    /// Is awaited before the single statement is committed, when all its triggers have run; false
    /// undoes it. Empty for none.
    std::function<asio::awaitable<bool>()> may_commit;
};

/// Runs the statements in one implicit transaction; the last one's rows are the answer.
///
/// Parameters: `where` is a database that the caller holds meanwhile.
/// Errors: those of connection::open and connection::script; errc::query_failed if
///     query_terms::may_commit has undone the statement.
asio::awaitable<query_result> run_query(session_target where, std::string sql, query_terms terms);

/// Whether a statement's first word is DROP, DELETE, TRUNCATE or VACUUM: these are allowed in a
/// database that is over its storage limit. Nothing for others.
std::optional<freeing> frees_space(std::string_view sql) noexcept;

}  // namespace bitdotio
