// The handle of a transaction.
#include <bitdotio/transaction.hpp>

#include "postgres/postgres_session.hpp"
#include "postgres/transaction_scope.hpp"

#include <utility>

namespace bitdotio {

transaction::transaction(std::shared_ptr<postgres_session> session, std::shared_ptr<void> lease,
                         bool resolvable)
    : scope_(
          std::make_shared<transaction_scope>(std::move(session), std::move(lease), resolvable)) {}

transaction::transaction(std::shared_ptr<transaction_scope> scope, std::size_t level) noexcept
    : scope_(std::move(scope)), level_(level) {}

transaction& transaction::operator=(transaction&& other) noexcept {
    if (this != &other) {
        abandon();
        scope_ = std::move(other.scope_);
        level_ = other.level_;
    }
    return *this;
}

transaction::~transaction() {
    abandon();
}

void transaction::abandon() noexcept {
    if (scope_) {
        scope_->abandon(level_);
    }
    scope_.reset();
}

const std::shared_ptr<transaction_scope>& transaction::scope() const {
    if (!scope_) {
        throw error(errc::protocol_violated, "the transaction is already committed or rolled back")
            .with(outcome::not_sent);
    }
    return scope_;
}

asio::awaitable<result> transaction::run(statement sql, params values) {
    const auto open = scope();
    co_return co_await open->run(level_, std::move(sql), std::move(values));
}

asio::awaitable<pipeline_results> transaction::run(pipeline batch) {
    const auto session = co_await scope()->enter(level_);
    for (std::size_t i = 0; i < batch.size(); ++i) {
        scope_->note(batch.sql(i));
    }
    const auto shared = std::make_shared<const pipeline>(std::move(batch));
    co_return co_await session->run_pipeline(shared);
}

asio::awaitable<std::vector<result>> transaction::script(statement sql) {
    const auto open = scope();
    co_return co_await open->script(level_, std::move(sql));
}

asio::awaitable<std::uint64_t> transaction::count(statement sql, params values) {
    const result answer = co_await run(std::move(sql), std::move(values));
    co_return answer.affected_rows();
}

asio::awaitable<row_stream> transaction::start_stream(statement sql, params values) {
    const auto session = co_await scope()->enter(level_);
    const auto lease = scope_->lease();
    const std::uint64_t stream = co_await session->start_rows(std::move(sql), std::move(values));
    co_return row_stream(session, lease, stream);
}

asio::awaitable<copy_in> transaction::copy_from(statement sql) {
    const auto session = co_await scope()->enter(level_);
    const auto lease = scope_->lease();
    const copy_start start = co_await session->start_copy(std::move(sql), true);
    co_return copy_in(session, lease, start.stream, start.format);
}

asio::awaitable<copy_out> transaction::copy_to(statement sql) {
    const auto session = co_await scope()->enter(level_);
    const auto lease = scope_->lease();
    const copy_start start = co_await session->start_copy(std::move(sql), false);
    co_return copy_out(session, lease, start.stream, start.format);
}

asio::awaitable<transaction> transaction::begin() {
    const auto open = scope();
    const std::size_t level = co_await open->nest(level_);
    co_return transaction(open, level);
}

asio::awaitable<void> transaction::commit() {
    const auto open = scope();
    co_await open->enter(level_);  // while a nested one is open, this stays open too
    scope_.reset();
    try {
        co_await open->commit(level_);
    } catch (...) {
        open->abandon(level_);  // unless it is over
        throw;
    }
}

asio::awaitable<void> transaction::rollback() {
    const auto open = scope();
    scope_.reset();
    co_await open->rollback(level_);
}

}  // namespace bitdotio
