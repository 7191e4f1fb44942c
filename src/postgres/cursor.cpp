// DECLARE, FETCH, MOVE, CLOSE.
#include <bitdotio/cursor.hpp>

#include "postgres/transaction_scope.hpp"

#include <utility>

namespace bitdotio {

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
    co_await scope->run(level, std::move(opening), std::move(values));
    co_return cursor(scope, level, name, std::move(sql));
}

// Statements with a cursor's name in them are not worth keeping prepared.
asio::awaitable<result> cursor::run(std::string sql) {
    statement next = marks_;
    next.replace_sql(std::move(sql));
    return scope_->run(level_, std::move(next), params());
}

asio::awaitable<result> cursor::fetch(std::size_t count) {
    return run("FETCH FORWARD " + std::to_string(count) + " FROM " + name_);
}

asio::awaitable<result> cursor::fetch_backward(std::size_t count) {
    return run("FETCH BACKWARD " + std::to_string(count) + " FROM " + name_);
}

asio::awaitable<std::uint64_t> cursor::move(std::int64_t count) {
    const result moved = co_await run("MOVE FORWARD " + std::to_string(count) + " FROM " + name_);
    co_return moved.affected_rows();
}

asio::awaitable<void> cursor::close() {
    co_await run("CLOSE " + name_);
}

}  // namespace bitdotio
