// The handles of a pool and of what it lends.
#include <bitdotio/pool.hpp>

#include "failure.hpp"
#include "pool_core.hpp"
#include "postgres_session.hpp"

#include <utility>

namespace bitdotio {

pooled_connection::pooled_connection(std::shared_ptr<pool_core> pool,
                                     std::shared_ptr<postgres_session> session)
    : pool_(std::move(pool)), connection_(std::move(session)) {}

pooled_connection& pooled_connection::operator=(pooled_connection&& other) noexcept {
    if (this != &other) {
        release();
        pool_ = std::move(other.pool_);
        connection_.session_ = std::move(other.connection_.session_);
    }
    return *this;
}

pooled_connection::~pooled_connection() {
    release();
}

void pooled_connection::release() noexcept {
    const auto pool = std::exchange(pool_, nullptr);
    auto session = std::exchange(connection_.session_, nullptr);
    if (pool && session) {
        pool->give_back(std::move(session));
    }
}

pool::pool(asio::any_io_executor executor, connect_options connect, pool_options options)
    : core_(std::make_shared<pool_core>(std::move(executor), std::move(connect),
                                        std::move(options))) {
    core_->start();
}

asio::awaitable<pooled_connection> pool::acquire() {
    return core_->acquire();
}

asio::awaitable<result> pool::run(statement sql, params values) {
    const auto core = core_;
    bool resent = false;
    for (int attempt = 1;; ++attempt) {
        pooled_connection lent = co_await core->acquire();
        try {
            co_return co_await lent->run(sql, values);
        } catch (const error& failure) {
            // What was never sent moves on as often as it must; what was sent and provably not
            // executed is sent again once.
            const bool sent = failure.outcome() != outcome::not_sent;
            if (!provably_not_executed(failure) || (sent && resent)) {
                throw failure.with_attempts(attempt);
            }
            resent = resent || sent;
            core->count_retry();
        }
    }
}

asio::awaitable<std::uint64_t> pool::count(statement sql, params values) {
    const result answer = co_await run(std::move(sql), std::move(values));
    co_return answer.affected_rows();
}

asio::awaitable<pipeline_results> pool::run(pipeline batch) {
    pooled_connection lent = co_await acquire();
    co_return co_await lent->run(std::move(batch));
}

asio::awaitable<row_stream> pool::start_stream(statement sql, params values) {
    const auto lent = std::make_shared<pooled_connection>(co_await acquire());
    const std::uint64_t stream =
        co_await lent->session()->start_rows(std::move(sql), std::move(values));
    co_return row_stream(lent->session(), lent, stream);
}

asio::awaitable<bitdotio::transaction> pool::begin(transaction_options options) {
    const auto core = core_;
    const std::string begin = options.begin_statement();
    for (bool again = false;; again = true) {
        const auto lent = std::make_shared<pooled_connection>(co_await core->acquire());
        try {
            // An empty transaction changes nothing: BEGIN may always be sent again.
            co_await (*lent)->script(begin);
            co_return bitdotio::transaction(lent->session(), lent);
        } catch (const error& failure) {
            if (failure.code() != errc::connection_lost ||
                (again && failure.outcome() != outcome::not_sent)) {
                throw;
            }
            core->count_retry();
        }
    }
}

asio::awaitable<pool_statistics> pool::statistics() {
    return core_->statistics();
}

asio::awaitable<void> pool::close() {
    return core_->close();
}

}  // namespace bitdotio
