// A statement: its SQL and what the caller allows about it.
#pragma once

#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace bitdotio {

namespace wire {
// The time, or errc::bad_input naming the option if it is negative.
std::chrono::milliseconds checked_timeout(std::chrono::milliseconds value, const char* name);
}  // namespace wire

/// The text of a statement with the marks that say how it may be run.
///
/// A string converts to it, so most callers never name this type:
/// `co_await c.query("SELECT 1")`, or `co_await c.query(statement("SELECT 1").timeout(2s))`.
///
/// Thread safety: a value.
class statement {
public:
    statement(std::string sql) : sql_(std::move(sql)) {}
    statement(std::string_view sql) : sql_(sql) {}
    statement(const char* sql) : sql_(sql) {}

    const std::string& sql() const noexcept { return sql_; }
    /// Replaces the text and keeps the marks.
    statement& replace_sql(std::string sql) {
        sql_ = std::move(sql);
        return *this;
    }

    /// Fails with errc::timeout after this time, from the start of each run, in a pool from the
    /// call on; overrides connect_options::statement_timeout. Zero means no limit, and so does a
    /// time beyond the clock's end.
    ///
    /// Errors: errc::bad_input if it is negative.
    statement&& timeout(std::chrono::milliseconds value) && {
        timeout_ = wire::checked_timeout(value, "statement::timeout");
        return std::move(*this);
    }
    statement& timeout(std::chrono::milliseconds value) & {
        timeout_ = wire::checked_timeout(value, "statement::timeout");
        return *this;
    }
    std::optional<std::chrono::milliseconds> timeout() const noexcept { return timeout_; }

    /// Asks for text instead of binary results: for types that this library cannot read in binary;
    /// they then read as strings.
    statement&& text_results() && {
        text_results_ = true;
        return std::move(*this);
    }
    statement& text_results() & {
        text_results_ = true;
        return *this;
    }
    bool wants_text_results() const noexcept { return text_results_; }

    /// Never keeps it prepared, however often it runs: for statements that differ each time.
    statement&& unprepared() && {
        prepared_ = false;
        return std::move(*this);
    }
    statement& unprepared() & {
        prepared_ = false;
        return *this;
    }
    bool may_be_prepared() const noexcept { return prepared_; }

    /// Fails with errc::result_too_large when its rows, or those of all statements of a script,
    /// take more memory than this, in bytes; the statement is stopped then. Without it, and in
    /// pipelines and streams, there is no limit. Such a statement is never kept prepared.
    statement&& largest_result(std::size_t size) && {
        largest_result_ = size;
        return std::move(*this);
    }
    statement& largest_result(std::size_t size) & {
        largest_result_ = size;
        return *this;
    }
    std::optional<std::size_t> largest_result() const noexcept { return largest_result_; }

    /// Says that running it twice does no harm: it sets what it sets, or finds its own mark. Then a
    /// pool sends it again if the connection broke and the outcome is unknown, and once if it lost
    /// against another (SQLSTATE 40001, 40P01); a stream only while no row has been handed out.
    /// Nobody checks the promise.
    ///
    /// It applies only where the statement is a transaction of its own: never inside a transaction,
    /// on a connection of your own, on an acquired connection, or in a pipeline.
    statement&& idempotent() && {
        idempotent_ = true;
        return std::move(*this);
    }
    statement& idempotent() & {
        idempotent_ = true;
        return *this;
    }
    bool is_idempotent() const noexcept { return idempotent_; }

    /// Says that it changes nothing, functions it calls included. Otherwise as `idempotent`.
    statement&& read_only() && {
        read_only_ = true;
        return std::move(*this);
    }
    statement& read_only() & {
        read_only_ = true;
        return *this;
    }
    bool is_read_only() const noexcept { return read_only_; }

    /// Whether its caller said that running it twice does no harm.
    bool may_run_twice() const noexcept { return idempotent_ || read_only_; }

private:
    std::string sql_;
    std::optional<std::chrono::milliseconds> timeout_;
    std::optional<std::size_t> largest_result_;
    bool text_results_ = false;
    bool prepared_ = true;
    bool idempotent_ = false;
    bool read_only_ = false;
};

}  // namespace bitdotio
