// The rows of a big result, piece by piece, in bounded memory.
#pragma once

#include <bitdotio/error.hpp>
#include <bitdotio/open_part.hpp>
#include <bitdotio/result.hpp>
#include <bitdotio/row_plan.hpp>

#include <boost/asio/awaitable.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

namespace bitdotio {

namespace asio = boost::asio;

/// Some rows of a stream, in order; never empty, unless none were asked for.
///
/// Thread safety: a value that is not copied.
class row_chunk {
public:
    /// No rows.
    row_chunk() noexcept = default;
    /// Made by row_stream.
    explicit row_chunk(wire::row_span rows) noexcept : rows_(std::move(rows)) {}
    row_chunk(row_chunk&&) noexcept = default;
    row_chunk& operator=(row_chunk&&) noexcept = default;

    std::size_t size() const noexcept { return rows_.size; }
    /// Errors: errc::unexpected_shape if there is no such row.
    row_view operator[](std::size_t row) const&;
    // Name the chunk on the line before.
    row_view operator[](std::size_t row) && = delete;

    /// Calls `visit` with each row.
    template <class Visit>
    void each(Visit visit) const {
        for (std::size_t row = 0; row < rows_.size; ++row) {
            visit(view(row));
        }
    }

    /// All rows as `T`, see row_view::as.
    template <class T>
    std::vector<T> rows_as() && {
        static_assert(!wire::refers_to_result<T>(),
                      "a view would dangle, because the chunk is a temporary: name the chunk on "
                      "the line before, or read a std::string");
        return std::as_const(*this).template rows_as<T>();
    }
    template <class T>
    std::vector<T> rows_as() const& {
        std::vector<T> rows;
        if (rows_.size == 0) {
            return rows;
        }
        rows.reserve(rows_.size);
        require_columns(wire::field_count<T>());
        const wire::cell* cells = rows_.cells;
        for (std::size_t row = 0; row < rows_.size; ++row, cells += rows_.shape.count) {
            rows.push_back(wire::read_row<T>(rows_.shape, cells, row));
        }
        return rows;
    }

private:
    row_view view(std::size_t row) const noexcept {
        return {rows_.described, row, rows_.shape, rows_.cells + row * rows_.shape.count};
    }
    void require_columns(std::size_t expected) const;

    wire::row_span rows_;
};

/// The answer of a statement while it is still coming.
///
/// Rows are read from the network only when they are asked for: a slow reader slows the server
/// down, and memory holds about one chunk. Until the stream has been read to its end or is dropped,
/// the connection does nothing else.
///
/// Dropping it midway is cheap: the statement is stopped on the server, in a pool off the caller's
/// path, on a connection of your own before its next operation.
///
/// Thread safety: as its connection: from any thread, one operation at a time.
class row_stream {
public:
    /// The stream that replaces one that failed, to be open by `until`, or throws its failure.
    using replacement = std::function<asio::awaitable<row_stream>(
        error failure, bool rows_seen, std::shared_ptr<void> lease,
        std::chrono::steady_clock::time_point until)>;

    /// No stream: `next` fails with errc::protocol_violated, as that of a stream moved from.
    row_stream() noexcept = default;
    /// Made by `stream`.
    ///
    /// Parameters: `after_failure` is called once; empty if nothing may replace the stream;
    ///     `step_timeout` is the limit of a step in which it is replaced, 0 for none.
    explicit row_stream(
        wire::open_part<postgres_session> stream, replacement after_failure = nullptr,
        std::chrono::milliseconds step_timeout = std::chrono::milliseconds(0)) noexcept;

    /// The next rows, at least one and at most `most`; nothing at the end, and again after it. 0
    /// gives an empty chunk, which is not the end, and reads nothing.
    ///
    /// The timeout of the statement applies to each call by itself. Rows are handed on as they
    /// come: a chunk has those that have come already, up to about 256 KiB of them. Those that came
    /// together with them are kept here for the next call, which then waits for nothing. From libpq
    /// 17 on, which makes that cheaper, rows come in pieces as large as the first `most`, but of at
    /// most 100. If the statement fails, the rows of an unfinished piece are gone.
    ///
    /// Errors: those of connection::query, also after rows have been delivered: only the end means
    ///     that the statement succeeded. The stream is over then, and the connection stays usable
    ///     unless the error says otherwise.
    /// Cancellation: terminal, partial, total; the statement is stopped on the server, the
    ///     connection stays usable.
    asio::awaitable<std::optional<row_chunk>> next(std::size_t most = 1'000);

    /// The next row as a tuple, a struct or its only value, see row_view::as; nothing at the end.
    /// It may be mixed with `next`. Views into the row live until the next call.
    ///
    /// Errors: those of row_view::as, after which the stream goes on with the next row; those of
    ///     `next`.
    /// Cancellation: as `next`.
    template <class T>
    asio::awaitable<std::optional<T>> next_row() {
        if (!has_rows()) {
            const bool there = co_await load(1'000);
            if (!there) {
                co_return std::nullopt;
            }
        }
        require_columns(wire::field_count<T>());
        const wire::cell* const cells = rest_.cells;
        rest_.drop_first();  // the row stays where it is until the next rows are loaded
        co_return wire::read_row<T>(rest_.shape, cells, given_++);
    }

private:
    bool has_rows() const noexcept;
    asio::awaitable<bool> load(std::size_t most);
    void require_columns(std::size_t expected);

    wire::open_part<postgres_session> stream_;
    replacement after_failure_;
    std::chrono::milliseconds step_timeout_{0};
    wire::row_span rest_;  // rows that have come, and nobody has asked for yet
    std::size_t given_ = 0;
    bool rows_seen_ = false;
    bool over_ = false;  // read to its end, or failed
};

}  // namespace bitdotio
