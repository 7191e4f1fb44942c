// DECLARE, FETCH, MOVE, CLOSE.
#include <bitdotio/cursor.hpp>

#include "postgres/transaction_scope.hpp"

#include <algorithm>
#include <cstdlib>
#include <utility>

namespace bitdotio {

namespace {

// The largest count that FETCH and MOVE take.
constexpr std::int64_t farthest = 2'147'483'647;

}  // namespace

cursor::cursor(std::shared_ptr<transaction_scope> scope, std::size_t level, std::string name,
               statement marks) noexcept
    : scope_(std::move(scope)), level_(level), name_(std::move(name)), marks_(std::move(marks)) {}

asio::awaitable<cursor> cursor::declare(std::shared_ptr<transaction_scope> scope, std::size_t level,
                                        direction towards, statement sql, params values) {
    const std::string name = scope->new_cursor_name();
    const std::string text = "DECLARE " + name +
                             (towards == direction::scroll ? " SCROLL" : " NO SCROLL") +
                             " CURSOR FOR " + sql.sql();
    sql.replace_sql("").unprepared();
    statement opening = sql;
    opening.replace_sql(text);
    co_await transaction_scope::run(scope, level, std::move(opening), std::move(values));
    co_return cursor(scope, level, name, std::move(sql));
}

// Statements with a cursor's name in them are not worth keeping prepared.
asio::awaitable<result> cursor::run(std::string sql) {
    statement next = marks_;
    next.replace_sql(std::move(sql));
    return transaction_scope::run(scope(), level_, std::move(next), params());
}

const std::shared_ptr<transaction_scope>& cursor::scope() const {
    if (!scope_) {
        throw error(errc::protocol_violated, "the cursor was never opened, or was moved from")
            .with(outcome::not_sent);
    }
    return scope_;
}

// The server takes 0 for the row that it stands on, and counts no further than it can number rows.
asio::awaitable<result> cursor::fetch_towards(const char* which_way, std::size_t count) {
    const auto open = scope();
    if (count == 0) {
        co_await open->enter(level_);
        co_return result();
    }
    const std::string number = count > farthest ? "ALL" : std::to_string(count);
    co_return co_await run("FETCH " + (which_way + (" " + number)) + " FROM " + name_);
}

asio::awaitable<result> cursor::fetch(std::size_t count) {
    return fetch_towards("FORWARD", count);
}

asio::awaitable<result> cursor::fetch_backward(std::size_t count) {
    return fetch_towards("BACKWARD", count);
}

asio::awaitable<std::uint64_t> cursor::move(std::int64_t count) {
    const auto open = scope();
    co_await open->enter(level_);
    std::uint64_t all = 0;
    while (count != 0) {
        const std::int64_t step = std::clamp<std::int64_t>(count, -farthest, farthest);
        const result moved =
            co_await run("MOVE FORWARD " + std::to_string(step) + " FROM " + name_);
        all += moved.affected_rows();
        if (moved.affected_rows() < static_cast<std::uint64_t>(std::abs(step))) {
            break;  // its end
        }
        count -= step;
    }
    co_return all;
}

asio::awaitable<void> cursor::close() {
    co_await run("CLOSE " + name_);
}

}  // namespace bitdotio
