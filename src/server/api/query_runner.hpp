// Runs one query of the HTTP API on our own connection.
#pragma once

#include <bitdotio/connection.hpp>
#include <bitdotio/models.hpp>

#include "server/api/answer_spool.hpp"
#include "server/api/http_listener.hpp"
#include "server/catalog/storage_rule.hpp"

#include <boost/asio/awaitable.hpp>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
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
    /// The limit of an answer, in bytes of JSON.
    std::uint64_t largest_answer = std::uint64_t{64} << 20;
    /// Where answers that are not short are put until they are sent.
    std::filesystem::path directory;
    /// What all answers may take of the disk there together; null for no limit.
    std::shared_ptr<answer_budget> room;
    data_format format = data_format::rows;
    /// Refuses more than one statement, as PostgreSQL itself does.
    bool single = false;
    /// Is awaited before the single statement is committed, when all its triggers have run; false
    /// undoes it. Empty for none.
    std::function<asio::awaitable<bool>()> may_commit;
};

/// What came of a query: an answer with status 200, and the number of its rows.
struct query_answer {
    query_answer() = default;

    http_response response;
    std::int64_t rows = 0;
    /// A statement has changed what sessions of the database begin with.
    bool changed_settings = false;
    /// Whether anything may have been written; true unless it is known.
    bool may_have_written = true;
};

/// Runs the statements in one implicit transaction; the last one's rows are the answer.
///
/// It is complete, and the transaction committed, when this returns. Rows become JSON as they come:
/// however many they are, some hundred KiB and the longest row are in memory.
///
/// Parameters: `session` is of a database that the caller holds meanwhile, and lives until then; it
///     is closed unless the query succeeds.
/// Errors: those of connection::script; errc::timeout; errc::result_too_large; errc::server_busy if
///     too many answers wait on disk; errc::query_failed if query_terms::may_commit has undone the
///     statement.
/// Cancellation: terminal, partial, total; the statement is stopped, and rolled back unless it had
///     been committed.
asio::awaitable<query_answer> run_query(connection& session, std::string sql, query_terms terms);

/// Whether a statement's first word is DROP, DELETE, TRUNCATE or VACUUM: these are allowed in a
/// database that is over its storage limit. Nothing for others.
std::optional<freeing> frees_space(std::string_view sql) noexcept;

}  // namespace bitdotio
