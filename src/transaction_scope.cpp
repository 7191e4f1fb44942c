// Savepoints, and whose turn it is.
#include "transaction_scope.hpp"

#include "postgres_session.hpp"

#include <algorithm>
#include <utility>

namespace bitdotio {

transaction_scope::transaction_scope(std::shared_ptr<postgres_session> session,
                                     std::shared_ptr<void> lease)
    : session_(std::move(session)), lease_(std::move(lease)) {}

std::string transaction_scope::savepoint(std::size_t level) {
    return "bitdotio_" + std::to_string(level);
}

void transaction_scope::close() noexcept {
    session_.reset();
    lease_.reset();
}

asio::awaitable<std::shared_ptr<postgres_session>> transaction_scope::enter(std::size_t level) {
    if (!session_ || level > depth_) {
        throw error(errc::protocol_violated, "the transaction is already committed or rolled back")
            .with(outcome::not_sent);
    }
    if (level < depth_) {
        throw error(errc::protocol_violated,
                    "a transaction nested in this one is open: commit it, roll it back or drop "
                    "it first")
            .with(outcome::not_sent);
    }
    const auto session = session_;
    if (dropped_) {
        const std::string name = savepoint(*dropped_);
        co_await session->script("ROLLBACK TO SAVEPOINT " + name + "; RELEASE SAVEPOINT " + name);
        dropped_.reset();
    }
    co_return session;
}

asio::awaitable<result> transaction_scope::run(std::size_t level, statement sql, params values) {
    const auto session = co_await enter(level);
    co_return co_await session->run(std::move(sql), std::move(values));
}

asio::awaitable<std::vector<result>> transaction_scope::script(std::size_t level, statement sql) {
    const auto session = co_await enter(level);
    co_return co_await session->script(std::move(sql));
}

asio::awaitable<std::size_t> transaction_scope::nest(std::size_t level) {
    const auto session = co_await enter(level);
    co_await session->script("SAVEPOINT " + savepoint(level + 1));
    depth_ = level + 1;
    co_return depth_;
}

asio::awaitable<void> transaction_scope::commit(std::size_t level) {
    if (level > 1) {
        co_await script(level, "RELEASE SAVEPOINT " + savepoint(level));
        depth_ = level - 1;
        co_return;
    }
    const auto session = co_await enter(level);
    const auto lease = lease_;
    // Whatever COMMIT ends in, it is over: there is nothing left to roll back here.
    close();
    co_await session->commit();
}

asio::awaitable<void> transaction_scope::rollback(std::size_t level) {
    const auto session = session_;
    const auto lease = lease_;
    if (!session || level > depth_) {
        co_await enter(level);  // says what is wrong
    }
    try {
        if (level > 1) {
            const std::string name = savepoint(level);
            co_await session->script("ROLLBACK TO SAVEPOINT " + name + "; RELEASE SAVEPOINT " +
                                     name);
            depth_ = level - 1;
            dropped_.reset();
        } else {
            close();
            co_await session->script("ROLLBACK");
        }
    } catch (const error& failure) {
        // A connection that is lost has already undone everything.
        if (failure.code() != errc::connection_lost) {
            throw;
        }
        close();
    }
}

void transaction_scope::abandon(std::size_t level) noexcept {
    if (!session_ || level > depth_) {
        return;
    }
    if (level > 1) {
        dropped_ = std::min(level, dropped_.value_or(level));
        depth_ = level - 1;
        return;
    }
    // With a lease, the pool sees the open transaction when it comes back.
    if (!lease_) {
        session_->roll_back_first();
    }
    close();
}

}  // namespace bitdotio
