// A transaction's ends: commit, rollback, and being dropped.
#include <bitdotio/transaction.hpp>

#include "postgres_session.hpp"

#include <utility>

namespace bitdotio {

namespace {

error finished() {
    return error(errc::protocol_violated, "the transaction is already committed or rolled back")
        .with(outcome::not_sent);
}

}  // namespace

transaction::transaction(std::shared_ptr<postgres_session> session,
                         std::shared_ptr<void> lease) noexcept
    : session_(std::move(session)), lease_(std::move(lease)) {}

transaction& transaction::operator=(transaction&& other) noexcept {
    if (this != &other) {
        abandon();
        session_ = std::move(other.session_);
        lease_ = std::move(other.lease_);
    }
    return *this;
}

transaction::~transaction() {
    abandon();
}

// With a lease, the pool sees the open transaction when it comes back.
void transaction::abandon() noexcept {
    if (session_ && !lease_) {
        session_->roll_back_first();
    }
    session_.reset();
    lease_.reset();
}

asio::awaitable<result> transaction::run(statement sql, params values) {
    if (!session_) {
        throw finished();
    }
    return session_->run(std::move(sql), std::move(values));
}

asio::awaitable<void> transaction::commit() {
    // Whatever COMMIT ends in, it is over: there is nothing left to roll back here.
    const auto session = std::exchange(session_, nullptr);
    const auto lease = std::exchange(lease_, nullptr);
    if (!session) {
        throw finished();
    }
    co_await session->commit();
}

asio::awaitable<void> transaction::rollback() {
    const auto session = std::exchange(session_, nullptr);
    const auto lease = std::exchange(lease_, nullptr);
    if (!session) {
        throw finished();
    }
    try {
        co_await session->script("ROLLBACK");
    } catch (const error& failure) {
        if (failure.code() != errc::connection_lost) {
            throw;
        }
    }
}

}  // namespace bitdotio
