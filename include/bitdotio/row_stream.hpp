// The rows of a big result, piece by piece, in bounded memory.
#pragma once

#include <bitdotio/error.hpp>
#include <bitdotio/open_part.hpp>
#include <bitdotio/result.hpp>

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
    explicit row_chunk(std::vector<result> parts) noexcept;

    std::size_t size() const noexcept { return size_; }
    /// Errors: errc::unexpected_shape if there is no such row.
    row_view operator[](std::size_t row) const&;
    // Name the chunk on the line before.
    row_view operator[](std::size_t row) && = delete;

    /// Calls `visit` with each row.
    template <class Visit>
    void each(Visit visit) const {
        for (const result& part : parts_) {
            for (const row_view row : part) {
                visit(row);
            }
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
        rows.reserve(size());
        each([&](const row_view& row) { rows.push_back(row.template as<T>()); });
        return rows;
    }

private:
    std::vector<result> parts_;  // a row each, unless libpq gives more at once
    std::size_t size_ = 0;
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
    /// come; from libpq 17 on, which makes that cheaper, in pieces as large as the first `most`,
    /// but of at most 100. If the statement fails, the rows of an unfinished piece are gone.
    ///
    /// Errors: those of connection::query, also after rows have been delivered: only the end means
    ///     that the statement succeeded. The stream is over then, and the connection stays usable
    ///     unless the error says otherwise.
    /// Cancellation: terminal, partial, total; the statement is stopped on the server, the
    ///     connection stays usable.
    asio::awaitable<std::optional<row_chunk>> next(std::size_t most = 1'000);

private:
    wire::open_part<postgres_session> stream_;
    replacement after_failure_;
    std::chrono::milliseconds step_timeout_{0};
    bool rows_seen_ = false;
    bool over_ = false;  // read to its end, or failed
};

}  // namespace bitdotio
