// A transaction: committed when you say so, rolled back otherwise.
#pragma once

#include <bitdotio/params.hpp>
#include <bitdotio/result.hpp>
#include <bitdotio/statement.hpp>

#include <boost/asio/awaitable.hpp>

#include <memory>

namespace bitdotio {

namespace asio = boost::asio;

class postgres_session;

/// An open transaction on a connection.
///
/// One that is destroyed unfinished is rolled back before anyone uses its connection again: in the
/// pool, off the caller's path; on a connection of your own, ahead of its next statement.
///
/// Nothing is retried inside a transaction: after errc::connection_lost it is gone, and the whole
/// of it must be run again. Loss while COMMIT is under way is errc::commit_outcome_unknown.
///
/// Thread safety: as its connection: from any thread, one operation at a time.
class transaction {
public:
    transaction(transaction&&) noexcept = default;
    transaction& operator=(transaction&&) noexcept;
    ~transaction();

    /// As connection::query. After a statement failed, only `rollback` makes sense: the server
    /// answers all else with SQLSTATE 25P02.
    template <class... Values>
    asio::awaitable<result> query(statement sql, const Values&... values) {
        return run(std::move(sql), params(values...));
    }
    asio::awaitable<result> run(statement sql, params values);

    /// Makes it permanent.
    ///
    /// Errors: errc::commit_outcome_unknown if the connection broke, the deadline passed or the
    ///     caller cancelled while COMMIT was under way and the server did not answer;
    ///     errc::query_failed if a statement had failed before and the server rolled back.
    /// Cancellation: terminal, partial, total.
    asio::awaitable<void> commit();

    /// Undoes it. A connection that is lost has already undone it: that is no error.
    asio::awaitable<void> rollback();

    /// Whether neither commit nor rollback was called.
    bool is_open() const noexcept { return session_ != nullptr; }

private:
    friend class connection;
    friend class pool;
    // `lease` is what gives the connection back, if it is a pool's.
    transaction(std::shared_ptr<postgres_session> session, std::shared_ptr<void> lease) noexcept;

    void abandon() noexcept;

    std::shared_ptr<postgres_session> session_;
    std::shared_ptr<void> lease_;
};

}  // namespace bitdotio
