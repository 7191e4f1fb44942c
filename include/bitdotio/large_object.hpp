// Large objects: values of up to 4 TiB, read and written in pieces like files.
#pragma once

#include <bitdotio/transaction.hpp>
#include <bitdotio/types.hpp>

#include <boost/asio/awaitable.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>

namespace bitdotio {

/// An open large object. It is open until its transaction ends, also when this handle is dropped.
///
/// Errors of all: those of transaction::query; a large object that does not exist is SQLSTATE
///     42704.
/// Cancellation: terminal, partial, total. Like a failed statement, a cancelled one ends the
///     transaction it is in, and undoes what was written in it.
/// Thread safety: as its transaction: from any thread, one operation at a time.
/// See: PostgreSQL manual, chapter 35 "Large Objects".
class large_object {
public:
    enum class mode { read, write, read_write };
    enum class origin { begin = 0, current = 1, end = 2 };

    /// No large object: every use fails with errc::protocol_violated, as of one moved from.
    large_object() noexcept = default;

    /// Creates an empty large object and returns its number, a new one unless `wanted` is given.
    static asio::awaitable<oid> create(transaction& in, oid wanted = 0);
    static asio::awaitable<void> unlink(transaction& in, oid object);
    static asio::awaitable<large_object> open(transaction& in, oid object, mode how);

    /// Reads the bytes from the present position, fewer at the end, none after it: 16 MiB with each
    /// trip. However large `count` is, memory is taken only for what is there.
    asio::awaitable<bytes> read(std::size_t count);
    /// Writes at the present position. A piece can be about 100 MB; smaller ones are better.
    asio::awaitable<void> write(bytes data);
    /// Moves the position, also beyond the end: the gap reads as zeroes. Returns the new position.
    asio::awaitable<std::int64_t> seek(std::int64_t offset, origin from = origin::begin);
    asio::awaitable<std::int64_t> tell();
    /// Cuts it, or extends it with zeroes.
    asio::awaitable<void> truncate(std::int64_t size);
    asio::awaitable<void> close();

private:
    large_object(std::shared_ptr<transaction_scope> scope, std::size_t level,
                 int descriptor) noexcept;

    asio::awaitable<result> run(statement sql, params values);

    std::shared_ptr<transaction_scope> scope_;
    std::size_t level_ = 0;
    int descriptor_ = -1;  // the server's
};

}  // namespace bitdotio
