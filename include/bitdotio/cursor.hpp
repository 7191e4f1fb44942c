// A server-side cursor: a big result within a transaction, fetched in portions, in either
// direction.
#pragma once

#include <bitdotio/transaction.hpp>

#include <boost/asio/awaitable.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

namespace bitdotio {

/// A cursor of a transaction. The transaction can do other things between two fetches.
///
/// It lasts until its transaction ends, also when this handle is dropped; `close` frees it earlier.
/// No cursor outlives its transaction: in a pool it would meet a stranger. The statement's timeout
/// and text results apply to each fetch.
///
/// Errors of all: those of transaction::query.
/// Cancellation: terminal, partial, total. Like a failed statement, a cancelled one ends the
///     transaction it is in, and the cursor with it.
/// Thread safety: as its transaction: from any thread, one operation at a time.
/// See: PostgreSQL manual, SQL commands DECLARE, FETCH, MOVE.
class cursor {
public:
    enum class direction { forward_only, scroll };

    /// No cursor: every use fails with errc::protocol_violated, as of one moved from.
    cursor() = default;

    /// Opens a cursor for a query with its values bound.
    template <class... Values>
    static asio::awaitable<cursor> open(transaction& in, statement sql, const Values&... values) {
        wire::bound bound(std::move(sql), values...);
        return declare(in.scope(), in.level(), direction::forward_only, std::move(bound.sql),
                       std::move(bound.values));
    }
    template <class... Values>
        requires wire::with_temporary_aggregate<Values...>
    static asio::awaitable<cursor> open(transaction& in, statement sql, Values&&... values) {
        wire::refuse_temporary_aggregate<Values...>();
        return open(in, std::move(sql), std::as_const(values)...);
    }
    /// Opens a cursor that can also go back.
    template <class... Values>
    static asio::awaitable<cursor> open_scroll(transaction& in, statement sql,
                                               const Values&... values) {
        wire::bound bound(std::move(sql), values...);
        return declare(in.scope(), in.level(), direction::scroll, std::move(bound.sql),
                       std::move(bound.values));
    }
    template <class... Values>
        requires wire::with_temporary_aggregate<Values...>
    static asio::awaitable<cursor> open_scroll(transaction& in, statement sql, Values&&... values) {
        wire::refuse_temporary_aggregate<Values...>();
        return open_scroll(in, std::move(sql), std::as_const(values)...);
    }

    /// The next `count` rows, fewer at the end, none after it. 0 asks the server nothing.
    asio::awaitable<result> fetch(std::size_t count);
    /// The `count` rows before, the nearest first. Only for a cursor that can scroll.
    asio::awaitable<result> fetch_backward(std::size_t count);
    /// Moves over `count` rows, backward if negative; returns how many rows it moved over.
    asio::awaitable<std::uint64_t> move(std::int64_t count);
    asio::awaitable<void> close();

    /// Its name on the server, for "… WHERE CURRENT OF".
    const std::string& name() const noexcept { return name_; }

private:
    cursor(std::shared_ptr<transaction_scope> scope, std::size_t level, std::string name,
           statement marks) noexcept;

    static asio::awaitable<cursor> declare(std::shared_ptr<transaction_scope> scope,
                                           std::size_t level, direction towards, statement sql,
                                           params values);
    asio::awaitable<result> run(std::string sql);
    asio::awaitable<result> fetch_towards(const char* which_way, std::size_t count);
    const std::shared_ptr<transaction_scope>& scope() const;

    std::shared_ptr<transaction_scope> scope_;
    std::size_t level_ = 0;
    std::string name_;
    statement marks_{""};  // the marks of the query; its text is gone
};

}  // namespace bitdotio
